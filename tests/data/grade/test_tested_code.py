"""Answers that don't solve their tests, and what they try instead; and usual ones, which are to pass."""

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.data.grade import sandbox
from limo_ablate.data.grade.code_grader import code
from limo_ablate.data.grade.grader import Answered, Grade, GraderOptions, SandboxKind

TESTS = """
assert double(4) == 8
assert double(-1) == -2
"""
CHECK = """
def check(f):
    assert f(4) == 8
    assert all(f(n) == 2 * n for n in range(5))
check(double)
"""
AMONG = """
def check(f):
    assert f(4) in (8, 8.0)
check(double)
"""
CLOSE = """
import math
assert math.isclose(double(4), 8)
"""
UNITTEST = """
import unittest
class T(unittest.TestCase):
 def test(self):
  self.assertEqual(double(4), 8)
r = unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromTestCase(T))
assert r.wasSuccessful()
"""
TRICKS = {
    "own source": (
        r"""
import re, os
s = open(__file__).read()
print(re.findall(r"print\('([0-9a-f]{32})'", s)[0], flush=True)
os._exit(0)
""",
        TESTS,
    ),
    "frames": (
        r"""
import sys, os
def double(x):
 f = sys._getframe()
 while f:
  for v in [*f.f_locals.values(), *f.f_globals.values(), *f.f_code.co_consts]:
   if isinstance(v, str) and len(v) == 32: print(v, flush=True); os._exit(0)
  f = f.f_back

""",
        TESTS,
    ),
    "tests read at run time": (
        r"""
import re
s = open(__file__).read()
def double(x):
 return int(re.search(r'double\(%d\) == (-?\d+)' % x, s)[1])
""",
        TESTS,
    ),
    "__eq__": (
        r"""
class A:
 def __eq__(s, o): return True
 def __ne__(s, o): return False
 __hash__ = None
def double(x): return A()
""",
        TESTS,
    ),
    "__eq__ in": (
        r"""
class A:
 def __eq__(s, o): return True
 def __ne__(s, o): return False
 __hash__ = None
def double(x): return A()
""",
        AMONG,
    ),
    "__eq__ list": (
        r"""
class A:
 def __eq__(s, o): return True
def double(x): return [A(), A()]
""",
        "assert double(1) == [1, 2]",
    ),
    "__eq__ unittest": (
        r"""
class A:
 def __eq__(s, o): return True
 def __ne__(s, o): return False
 __hash__ = None
def double(x): return A()
""",
        UNITTEST,
    ),
    "settrace": (
        r"""
import sys
def t(frame, e, a):
 if e == 'line':
  try: frame.f_lineno = frame.f_lineno + 1
  except Exception: pass
 return t
def double(x):
 f = sys._getframe(1)
 f.f_trace = t
 sys.settrace(t)
 return 0
""",
        "def check(f):\n    x = f(4)\n    assert x == 8\n    y = 1\n    assert x == 8\ncheck(double)",
    ),
    "math.isclose": (
        r"""
import math
math.isclose = lambda *a, **k: True
def double(x): return 0
""",
        CLOSE,
    ),
    "builtins.all": (
        r"""
import builtins
builtins.all = lambda *a: True
def double(x): return 8
""",
        CHECK,
    ),
    "unittest patched": (
        r"""
import unittest
unittest.TestCase.assertEqual = lambda *a: None
def double(x): return 0
""",
        UNITTEST,
    ),
    "global all": (
        r"""
def all(x): return True
def double(x): return 8
""",
        CHECK,
    ),
    "patched in the call": (
        r"""
import math
def double(x):
 math.isclose = lambda *a, **k: True
 return 0
""",
        "import math\nassert double(4) is not None\nassert math.isclose(double(4), 8)",
    ),
    "abs": (
        r"""
class A:
 def __sub__(s, o): return s
 __rsub__ = __sub__
 def __abs__(s): return s
 def __lt__(s, o): return True
 __le__ = __lt__
def double(x): return A()
""",
        "assert abs(double(4) - 8) < 1e-6",
    ),
    "mock.ANY": (
        r"""
from unittest.mock import ANY
def double(x): return ANY
""",
        TESTS,
    ),
    "spoofed module": (
        r"""
class A:
 __module__ = 'builtins'
 def __eq__(s, o): return True
def double(x): return A()
""",
        TESTS,
    ),
    "ast patched": (
        r"""
import ast
ast.NodeTransformer.visit = lambda s, n: n
class A:
 def __eq__(s, o): return True
def double(x): return A()
""",
        TESTS,
    ),
    "isinstance": (
        r"""
import builtins
builtins.isinstance = lambda *a: True
def double(x): return 0
""",
        "assert isinstance(double(4), str)",
    ),
    "modules": (
        r"""
import sys, types
m = types.ModuleType('math')
m.isclose = lambda *a: True
sys.modules['math'] = m
def double(x): return 0
""",
        CLOSE,
    ),
    "dict of": (
        r"""
class A:
 def __eq__(s, o): return True
def double(x): return {'a': A()}
""",
        "assert double(1) == {'a': 2}",
    ),
    "chain": (
        r"""
class A:
 def __eq__(s, o): return True
def double(x): return A()
""",
        "assert double(1) == 2 == 2",
    ),
    "generic exec": (
        r"""
exec('class A:\n def __eq__(s, o): return True')
def double(x): return A()
""",
        TESTS,
    ),
    "numpy array": (
        r"""
import numpy as np
class A:
 def __eq__(s, o): return True
def double(x): return np.array([A(), A()], dtype=object)
""",
        "import numpy as np\nassert (double(4) == np.array([1, 2])).all()",
    ),
    "__bool__": (
        r"""
class B:
 def __bool__(s): return True
class A:
 def __eq__(s, o): return B()
def double(x): return A()
""",
        TESTS,
    ),
}
USUAL = {
    "plain": (
        r"""
def double(x): return 2 * x
""",
        TESTS,
    ),
    "check": (
        r"""
def double(x): return 2 * x
""",
        CHECK,
    ),
    "unittest": (
        r"""
def double(x): return 2 * x
""",
        UNITTEST,
    ),
    "numpy": (
        r"""
import numpy as np
def double(x): return np.array(x) * 2
""",
        "import numpy as np\nassert (double([1, 2]) == np.array([2, 4])).all()\nassert double(2) == 4",
    ),
    "own eq": (
        r"""
class V:
 def __init__(s, a): s.a = a
 def __eq__(s, o): return s.a == (o.a if isinstance(o, V) else o)

""",
        "assert V(1) == V(1)\nassert V(2) == 2\nassert V(1) != V(2)\nassert V(1) in [V(1)]",
    ),
    "main": (
        r"""
def double(x): return 2 * x
if __name__ == '__main__':
 print(double(2))
""",
        TESTS,
    ),
    "future": (
        r"""
from __future__ import annotations
def double(x: int | Foo) -> Bar: return 2 * x
""",
        TESTS,
    ),
    "dataclass": (
        r"""
from dataclasses import dataclass
@dataclass
class P:
 x: int

""",
        "assert P(1) == P(1)\nassert P(1) != P(2)\nassert not P(1) == 1",
    ),
    "chain": (
        r"""
def double(x): return 2 * x
""",
        "assert 1 < double(2) == 4 <= 4 != 5",
    ),
    "counter": (
        r"""
from collections import Counter
def c(s): return Counter(s)
""",
        "assert c('aab') == {'a': 2, 'b': 1}",
    ),
    "sum": (
        r"""
def sum(a, b): return a + b
""",
        "assert sum(10, 15) == 25",
    ),
    "mock": (
        r"""
def f(): import time; return time.time()
""",
        "from unittest.mock import ANY, patch\nassert f() == ANY\n"
        "with patch('time.time', return_value=3):\n    assert f() == 3",
    ),
    "source": (
        r"""
def double(x): return 2 * x
""",
        "import inspect\nassert 'return' in inspect.getsource(double)",
    ),
    "nan": (
        r"""
def f(): return float('nan')
""",
        "x = f()\nassert x != x",
    ),
    "builtin of the tests": (
        r"""
from math import pow
def double(x): return int(pow(x, 1)) * 2
""",
        "from math import pow\nassert double(4) == pow(2, 3) == 8",
    ),
}


def grade(kind: SandboxKind, program: str, tests: str) -> Grade:
    try:
        sandbox.check_sandbox("here", kind)
    except UserError:
        pytest.skip(f"{kind} is missing, or not allowed here")
    options = GraderOptions(seconds=5, memory=768, sandbox=kind)
    return code(
        [Answered(problem="p", completion=f"```python\n{program}\n```", gold=tests, grading=options)]
    )[0]


KINDS: list[SandboxKind] = ["bubblewrap", "landlock"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TRICKS)
def test_a_trick_gets_no_credit(kind: SandboxKind, name: str) -> None:
    assert grade(kind, *TRICKS[name]).status == "incorrect"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", USUAL)
def test_usual_answers_pass(kind: SandboxKind, name: str) -> None:
    found = grade(kind, *USUAL[name])
    assert (found.status, found.reason) == ("correct", None)
