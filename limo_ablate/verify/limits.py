"""Limits of the verifier: model output may be hostile, so anything that can blow up is bounded in advance.

Reaching a limit never makes an answer wrong: the verdict is `undecided`, with the limit as its reason.
"""

from __future__ import annotations

MAX_ANSWER = 8_000
"""Characters of an extracted answer that are parsed; the longest gold of LIMO's ten benchmarks has 560."""

MAX_GOLD = 50_000
"""Characters of a gold answer that is searched for its answer, as a whole solution may be."""

MAX_SENTENCE = 600
"""Characters of a last sentence that may state an answer."""

MAX_TAIL = 4_000
"""Characters at the end of a completion that are searched for a stated answer (boxes are found anywhere)."""

MAX_BOXES = 24
"""Boxes considered, from the end; the longest list among known gold answers has 16 items."""

MAX_QUESTIONS = 8
"""New questions in a completion looked at: of the text before each, the first with an answer counts."""

MAX_TOKENS = 4_000
MAX_NODES = 3_000
"""Nodes of a parsed answer."""

MAX_DEPTH = 40
"""Nesting of brackets and commands; the parser recurses about eight Python frames a level."""

MAX_DIGITS = 2_000
"""Digits of one numeral; Python's own conversion is quadratic."""

MAX_EXPONENT = 20_000
"""Power of ten in scientific notation."""

MAX_BITS = 80_000
"""Bits of an exact integer: 2024! has 19,500, (10^9)! more than memory. Operations stay under a
millisecond."""

MAX_FACTORIAL = 6_000
MAX_TERMS = 10_000
"""Terms of a finite sum or product."""

MAX_DETERMINANT = 5
"""Rows of a determinant: 120 products."""

MAX_ITEMS = 400
"""Items of a list, set or tuple, or entries of a matrix."""

MAX_MATCHES = 4_000
"""Comparisons of items when a list is compared without order."""

MAX_UNIT_POWERS = 60
"""Powers of the units of a quantity, added up: m/s^2 has 3. What converts them is computed exactly."""

MAX_LOG10 = 4_000
"""Decimal magnitude up to which irrational values are computed."""

PRECISION = 60
"""Digits to which two irrational constants, or functions at a point, must agree."""

MAX_PRECISION = 1_500
"""Working digits when the numbers as written have many digits themselves."""

THREAD_SECONDS = 0.2
"""Processor time of all checks of a verdict in the calling thread; a single step may exceed it slightly."""

WORKER_SECONDS = 2.0
"""Processor time of all SymPy comparisons of a verdict in their worker."""

WORKER_START_SECONDS = 60.0
"""Processor time of a worker's start, which imports SymPy; not part of any comparison's time."""

WORKER_BYTES = 512 * 2**20
"""Address space that a SymPy worker may use beyond what it has after its imports."""


class LimitReached(Exception):
    """A bound above was reached; the message names it."""
