"""Limits of the verifier: model output is hostile, so what can explode is bounded before it starts.

A limit that is reached never makes an answer wrong: the verdict is `undecided`, with the limit as its reason.
"""

from __future__ import annotations

MAX_ANSWER = 8_000
"""Characters of an extracted answer that are parsed; the longest gold of LIMO's ten benchmarks has 560."""

MAX_TAIL = 4_000
"""Characters from the end of a completion searched for a stated answer (a box is looked for everywhere)."""

MAX_BOXES = 24
"""Boxes looked at from the end; the longest list of a known gold has 16 items."""

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
"""Terms of a finite sum or product that are added up."""

MAX_DETERMINANT = 5
"""Rows of a determinant that is computed: 120 products."""

MAX_ITEMS = 400
"""Items of a list, set or tuple, entries of a matrix."""

MAX_MATCHES = 4_000
"""Comparisons of items when a list is compared without order."""

MAX_LOG10 = 4_000
"""Decimal magnitude up to which irrational values are computed."""

PRECISION = 60
"""Digits to which two irrational constants, or functions at a point, must agree."""

MAX_PRECISION = 1_500
"""Digits worked with when the numbers written down have many themselves."""

CHEAP_SECONDS = 0.1
"""All checks in the calling thread together; looked at between evaluations."""

WORKER_SECONDS = 2.0
"""One SymPy comparison, by the worker's own clock."""

WORKER_START_SECONDS = 60.0
"""A worker's start, which imports SymPy; it is not part of any comparison's time."""

WORKER_BYTES = 512 * 2**20
"""Address space a SymPy worker may take beyond what it has after its imports."""


class LimitReached(Exception):
    """A bound above was reached; the message names it."""
