"""Compares with SymPy, as the last resort. Its objects are built from the tree: no text is parsed or
evaluated.

Runs in a worker process; nothing else imports SymPy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import sympy

from limo_ablate.verify.limits import LimitReached
from limo_ablate.verify.nodes import Call, Node, Relation, Symbol, rebuild

_Function = Callable[..., Any]


def equal(gold: Node, answer: Node) -> tuple[bool | None, str]:
    """Whether gold - answer is zero; None and a reason if SymPy can't decide."""
    difference = build(gold) - build(answer)
    if difference == 0:
        return True, ""
    if difference.free_symbols:
        return _zero_at_points(difference)
    return _zero_constant(difference)


def _zero_constant(difference: Any) -> tuple[bool | None, str]:
    value = _value(difference, 40)
    if not value.is_number or value.has(sympy.nan, sympy.zoo, sympy.oo) or not value.is_comparable:
        value = sympy.simplify(difference)
        return (True, "") if value == 0 else (None, "SymPy can't simplify the difference")
    if abs(value) > sympy.Float("1e-20"):
        return False, "different values"
    return True, ""


def _zero_at_points(difference: Any) -> tuple[bool | None, str]:
    letters = sorted(difference.free_symbols, key=str)
    for draw in (3, 5):
        point = {letter: sympy.Rational(draw * (k + 2), 7) for k, letter in enumerate(letters)}
        value = _value(difference.subs(point), 30)
        if value.is_comparable and abs(value) > sympy.Float("1e-15"):
            return False, "not the same function"
    simplified = sympy.simplify(difference)
    return (True, "") if simplified == 0 else (None, "SymPy can't simplify the difference")


def _value(constant: Any, digits: int) -> Any:
    """Its value. Integrals are computed once each, to these digits.

    Within a difference that is zero, SymPy would repeat each quadrature with ever more digits, up to `maxn`:
    seconds instead of hundredths of one.
    """
    values = {part: part.evalf(digits) for part in constant.atoms(sympy.Integral) if not part.free_symbols}
    return constant.xreplace(values).evalf(digits, maxn=200)


def build(node: Node) -> Any:
    """The SymPy object of a scalar tree."""
    from limo_ablate.verify.algebra import evaluate

    replaced: dict[str, Any] = {}

    def opaque(part: Node) -> Node:
        if isinstance(part, Call) and part.name in _OPERATORS:
            name = f"\\operator{len(replaced)}"
            replaced[name] = _OPERATORS[part.name](part, replaced)
            return Symbol(name)
        return part

    return evaluate(rebuild(node, opaque), SympyAlgebra(replaced))


class SympyAlgebra:
    def __init__(self, replaced: Mapping[str, Any]) -> None:
        self.replaced = replaced

    def number(self, value: Fraction) -> Any:
        return sympy.Rational(value.numerator, value.denominator)

    def constant(self, name: str) -> Any:
        return {"pi": sympy.pi, "e": sympy.E, "i": sympy.I, "inf": sympy.oo}[name]

    def symbol(self, name: str) -> Any:
        return self.replaced[name] if name in self.replaced else sympy.Symbol(name, real=True)

    def add(self, a: Any, b: Any) -> Any:
        return a + b

    def mul(self, a: Any, b: Any) -> Any:
        return a * b

    def power(self, a: Any, b: Any) -> Any:
        if a.is_number and b.is_number and abs(sympy.N(b)) > 10_000:
            raise LimitReached("a huge power")
        return a**b

    def root(self, a: Any, exponent: Fraction) -> Any:
        if exponent.denominator % 2 and a.is_negative:
            return (-1) ** exponent.numerator * self.power(-a, self.number(exponent))
        return self.power(a, self.number(exponent))

    def call(self, name: str, args: list[Any]) -> Any:
        return _FUNCTIONS[name](*args)

    def bind(self, name: str, value: int) -> Any:
        raise NotImplementedError("sums are built whole")


def _build_part(node: Node, replaced: Mapping[str, Any]) -> Any:
    from limo_ablate.verify.algebra import evaluate

    return evaluate(node, SympyAlgebra(replaced))


def _series(node: Call, replaced: Mapping[str, Any]) -> Any:
    from limo_ablate.verify.algebra import series_bounds

    variable, lower, upper = series_bounds(node)
    index = sympy.Symbol(variable, real=True)
    kind = sympy.Sum if node.name == "sum" else sympy.Product
    bounds = (index, _build_part(lower, replaced), _build_part(upper, replaced))
    return kind(_build_part(node.args[0], replaced), bounds).doit()


def _integral(node: Call, replaced: Mapping[str, Any]) -> Any:
    body, variable, *bounds = node.args
    letter = _build_part(variable, replaced)
    limits = (letter, *(_build_part(bound, replaced) for bound in bounds)) if bounds else letter
    return sympy.Integral(_build_part(body, replaced), limits)


def _limit(node: Call, replaced: Mapping[str, Any]) -> Any:
    body, approach = node.args
    if not isinstance(approach, Relation) or approach.operators != ("to",):
        raise ValueError("a limit without where it goes")
    letter, target = (_build_part(part, replaced) for part in approach.operands)
    return sympy.limit(_build_part(body, replaced), letter, target)


_OPERATORS: Mapping[str, _Function] = {
    "sum": _series,
    "product": _series,
    "integral": _integral,
    "limit": _limit,
}

_FUNCTIONS: Mapping[str, _Function] = {
    **{name: getattr(sympy, name) for name in
       ["sin", "cos", "tan", "cot", "sec", "csc", "asin", "acos", "atan", "acot", "asec", "acsc", "sinh",
       "cosh", "tanh", "coth", "asinh", "acosh", "atanh", "factorial", "binomial", "floor", "erf", "gcd",
       "lcm", "sign", "re", "im", "arg"]},
    "ceil": sympy.ceiling, "ln": sympy.log, "log": sympy.log, "abs": sympy.Abs, "max": sympy.Max,
    "min": sympy.Min,
    "mod": sympy.Mod,
}  # fmt: skip
