"""Binding powers of the operators, and the tokens at which an expression ends."""

from __future__ import annotations

from limo_ablate.verify.vocabulary import LOGIC, RELATIONS, SET_OPERATORS, TIMES

OVER, LOGIC_LEVEL, RELATION, SET_LEVEL, RATIO, SUM, PRODUCT, SIGN, POWER = 1, 2, 10, 14, 16, 20, 30, 25, 50
"""Binding powers, loosest first. A sign binds looser than a product: -2x^2 = -(2x^2)."""


ENDS = frozenset((")", "]", "}", "\\}", ",", ";", "&", "\\\\", "rangle", "rfloor", "rceil", "rvert", "rVert"))


NO_ATOM = (
    frozenset(RELATIONS) | frozenset(SET_OPERATORS) | frozenset(LOGIC) | TIMES
    | frozenset(("/", "div", "+", "-", "pm", "mp", "^", "_", "!", "'", "%", "\\%", ":", "mid", "colon", "°",
                 "&", "over",
                 "\\\\", "cdots", "ldots", "dots", "degree", "bmod", "pmod", "choose", '"'))
)  # fmt: skip


APPLIED = frozenset(["f", "g", "h", "F", "G", "H"])
"""Letters that, before a bracket, are functions and no factors."""
