"""Runs an answer, then its tests, inside the sandbox: the program that `code_grader` hands to it.

An answer that does not solve its tests gets no credit for ending early, for what it prints, for changing what
the tests call (builtins, functions of modules that the tests import), for values that compare as equal to
anything, or for a tracer that skips lines. The texts come by a descriptor that is closed before the answer
runs, and what is to be printed at the end by another one, which is read when the tests have ended.

All is one process, so that a program written against this very file may still deceive it. Imports nothing of
the package.
"""

from __future__ import annotations

import ast
import builtins
import json
import linecache
import operator
import os
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

PLAIN = (bool, int, float, complex, str, bytes, type(None))
OPERATIONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
    ast.Gt: operator.gt, ast.GtE: operator.ge, ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}  # fmt: skip
"""Comparisons of tests that are looked at; `is` can't be changed by an answer."""


def run(texts: int, ending: int) -> None:
    """`texts`, `ending`: descriptors of the answer and its tests as JSON, and of what to print at the end."""
    write, read = os.write, os.read
    with open(texts, encoding="utf-8") as file:
        answer, tests = json.load(file)
    tree = ast.parse(tests, "tests.py")
    held = Held(_imported(tree))
    checks = Checks(tree, answer)
    for name in ("settrace", "setprofile"):
        setattr(sys, name, _refused)
    module = types.ModuleType("__main__")
    module.__file__ = "answer.py"
    sys.modules["__main__"] = module
    linecache.cache["answer.py"] = (len(answer), None, answer.splitlines(keepends=True), "answer.py")
    exec(compile(answer, "answer.py", "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    held.restore()
    module.__dict__.update(checks.names())
    exec(checks.compiled, module.__dict__)  # noqa: S102
    held.require_unchanged(checks.assigned)
    for stream in (sys.stdout, sys.__stdout__):
        with suppress(AttributeError, ValueError):
            stream.flush()  # type: ignore[union-attr]
    write(1, b"\n" + read(ending, 100))


def _refused(*_: object) -> None:
    raise PermissionError("a tracer is not allowed here")


def _imported(tree: ast.AST) -> set[str]:
    """Modules that the tests and this file rely on, which are imported by this."""
    names = {"ast", "builtins"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    for name in sorted(names):
        with suppress(Exception):  # what is missing fails where the tests import it
            __import__(name)
    return {name.partition(".")[0] for name in names}


class Held:
    """What the tests may call: the modules below `roots`, with what of them and of their classes can be
    called."""

    def __init__(self, roots: set[str]) -> None:
        self._modules = {n: m for n, m in sys.modules.items() if n.partition(".")[0] in roots}
        self._values = [one for name, module in self._modules.items() for one in _callables(name, module)]

    def restore(self) -> None:
        """Undoes what the answer has replaced, before the tests run."""
        sys.modules.update(self._modules)
        for owner, name, value in self._values:
            if getattr(owner, name, None) is not value:
                setattr(owner, name, value)

    def require_unchanged(self, assigned: set[str]) -> None:
        """Raises AssertionError where the answer replaced some of it while the tests called it.

        `assigned`: attributes that the tests themselves replace.
        """
        for name, module in self._modules.items():
            if sys.modules.get(name) is not module:
                raise AssertionError(f"the answer replaced the module {name}")
        for owner, name, value in self._values:
            now = getattr(owner, name, None)
            own = vars(now).get("watches", now) if isinstance(now, types.FunctionType) else now
            if own is not value and name not in assigned:
                raise AssertionError(f"the answer replaced {owner.__name__}.{name}")


def _callables(name: str, module: Any) -> Iterator[tuple[Any, str, Any]]:
    for key, value in [*vars(module).items()] if isinstance(module, types.ModuleType) else ():
        if callable(value):
            yield module, key, value
        if isinstance(value, type) and value.__module__ == name and name != "builtins":
            yield from ((value, k, v) for k, v in [*vars(value).items()] if isinstance(v, types.FunctionType))


class Checks(ast.NodeTransformer):
    """The tests, with comparisons that are looked at."""

    def __init__(self, tree: ast.Module, answer: str) -> None:
        self._name = f"_{os.urandom(8).hex()}"
        self._with_mock = "mock" in {part for name in _names(tree) for part in name.split(".")}
        self.assigned = {
            n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)
        }
        self._own = _shadowed(tree, answer)
        fixed = ast.fix_missing_locations(self.visit(tree))
        self.compiled = compile(fixed, "tests.py", "exec", dont_inherit=True)
        self._builtins = {f"{self._name}_{name}": getattr(builtins, name) for name in self._own}

    def names(self) -> dict[str, Any]:
        """What the tests call by names that only they know; changes unittest, where that is there."""
        if "unittest" in sys.modules:
            self._watch(sys.modules["unittest"].TestCase)
        return {self._name: self._compared, **self._builtins}

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id in self._own and isinstance(node.ctx, ast.Load):
            return ast.copy_location(ast.Name(f"{self._name}_{node.id}", ast.Load()), node)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        kinds = [OPERATIONS.get(type(op)) for op in node.ops]
        values = [node.left, *node.comparators]
        own_scope = (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)
        if None in kinds or (len(kinds) > 1 and any(isinstance(n, own_scope) for n in ast.walk(node))):
            return node
        nothing = ast.arguments([], [], None, [], [], None, [])
        later: list[ast.expr] = [ast.Lambda(nothing, value) for value in values[2:]]
        numbers = [ast.Constant(list(OPERATIONS).index(type(op))) for op in node.ops]
        call = ast.Call(
            ast.Name(self._name, ast.Load()), [ast.Tuple([*numbers], ast.Load()), *values[:2], *later], []
        )
        return ast.copy_location(call, node)

    def _compared(self, numbers: tuple[int, ...], left: Any, right: Any, *later: Callable[[], Any]) -> Any:
        operations = list(OPERATIONS.values())
        for place, number in enumerate(numbers):
            right = right if place == 0 else later[place - 1]()
            result = operations[number](left, right)
            self._require_meaning(list(OPERATIONS)[number], left, right)
            if place == len(numbers) - 1 or not result:
                return result
            left = right
        return None

    def _require_meaning(self, kind: type[ast.cmpop], left: Any, right: Any) -> None:
        """Raises AssertionError for values of the answer's own that any comparison holds for."""
        if type(left) in PLAIN and type(right) in PLAIN:
            return
        if kind in (ast.In, ast.NotIn):
            if self._is_odd(right) and _holds(lambda: object() in right):
                raise AssertionError("the answer's value contains anything")
            first = (
                next(iter(right), None) if isinstance(right, list | tuple | set | frozenset | dict) else None
            )
            kind, right = ast.Eq, first
        for one, other in _pairs(left, right):
            for value, against in ((one, other), (other, one)):
                if self._is_odd(value) and self._is_senseless(kind, value, against):
                    raise AssertionError("the answer's value compares as equal to anything")

    def _is_senseless(self, kind: type[ast.cmpop], value: Any, against: Any) -> bool:
        if kind in (ast.Eq, ast.NotEq):
            others = (object(), _unlike(against))
            return any(
                _holds(partial(operator.eq, value, one)) or _fails(partial(operator.ne, value, one))
                for one in others
            )
        low, high = float("-inf"), float("inf")
        return any(_holds(test) for test in (
            lambda: value < low, lambda: value > high, lambda: low > value, lambda: high < value,
            lambda: value <= low and value >= high,
        ))  # fmt: skip

    def _is_odd(self, value: Any) -> bool:
        """Whether its type is the answer's own, or made to be equal to anything."""
        kind = type(value)
        if kind in PLAIN or kind in (list, tuple, dict, set, frozenset):
            return False
        if kind.__module__.startswith("unittest.mock"):
            return not self._with_mock
        home = sys.modules.get(kind.__module__)
        return kind.__module__ == "__main__" or getattr(home, kind.__name__, None) is not kind

    def _watch(self, case: Any) -> None:
        """Comparisons of unittest's own."""
        for name, kind in (("assertEqual", ast.Eq), ("assertAlmostEqual", ast.Eq), ("assertIn", ast.In),
                           ("assertLess", ast.Lt), ("assertGreater", ast.Lt)):  # fmt: skip
            setattr(case, name, self._watched(getattr(case, name), kind))

    def _watched(self, method: Any, kind: type[ast.cmpop]) -> Any:
        def watched(case: Any, first: Any, second: Any, *more: Any, **named: Any) -> None:
            method(case, first, second, *more, **named)
            self._require_meaning(kind, first, second)

        watched.watches = method  # type: ignore[attr-defined]
        return watched


def _shadowed(tree: ast.Module, answer: str) -> set[str]:
    """Builtins that the tests use and the answer defines anew, where something else of it is tested."""
    try:
        defined = _bound(ast.parse(answer)) - _bound(tree)
    except SyntaxError:
        return set()
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in defined}
    own = {name for name in used if hasattr(builtins, name)}
    return own if used - own else set()


def _bound(tree: ast.Module) -> set[str]:
    """Names that are given a value anywhere."""
    nodes = [*ast.walk(tree)]
    found = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    found |= {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    found |= {n.arg for n in nodes if isinstance(n, ast.arg)}
    return found | {n.asname or n.name for n in nodes if isinstance(n, ast.alias)}


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.name for alias in node.names)
            yield getattr(node, "module", None) or ""


def _pairs(left: Any, right: Any) -> Iterator[tuple[Any, Any]]:
    """The values, and those that are compared in them."""
    pairs = [(left, right)]
    while pairs:
        one, other = pairs.pop()
        yield one, other
        if type(one) in (list, tuple) and type(one) is type(other):
            pairs += zip(one, other, strict=False)
        elif getattr(getattr(one, "dtype", None), "kind", "") == "O":  # of numpy
            pairs += [(value, None) for value in one.ravel().tolist()]
        elif type(one) is dict and type(other) is dict:
            pairs += [(value, other[key]) for key, value in one.items() if key in other]


def _unlike(value: Any) -> Any:
    """Another value of its kind."""
    noise = int.from_bytes(os.urandom(4)) + 3
    if isinstance(value, int | float) and value == value and abs(value) < 2**50:
        return type(value)(value + noise) if type(value) in (int, float) else noise
    return f"{value}{noise}" if isinstance(value, str) else [noise] if isinstance(value, list) else object()


def _holds(test: Callable[[], Any]) -> bool:
    """Whether it says yes; what raises does not."""
    try:
        return bool(test())
    except Exception:
        return False


def _fails(test: Callable[[], Any]) -> bool:
    try:
        return not test()
    except Exception:
        return False
