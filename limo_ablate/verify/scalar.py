"""Whether two scalar expressions are equal: exactly, at sample points, to many digits, or by SymPy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

from limo_ablate.verify.algebra import Undefined, Unsupported, evaluate
from limo_ablate.verify.deadline import check_time
from limo_ablate.verify.floats import Floats, Reals
from limo_ablate.verify.limits import LimitReached
from limo_ablate.verify.multiprecision import agree
from limo_ablate.verify.nodes import (
    Add,
    Constant,
    Mul,
    Node,
    NotParsed,
    Symbol,
    calls,
    rebuild,
    symbols,
    walk,
)
from limo_ablate.verify.rational import Rational, exact
from limo_ablate.verify.residues import Residues
from limo_ablate.verify.sample_points import FIRST_DRAWS, needs_integers, sample_points, sample_residue
from limo_ablate.verify.show import show
from limo_ablate.verify.verdict import Outcome, different, same, undecided

FLOAT_TOLERANCE = 1e-9
"""Relative difference from which double precision shows that two values differ."""


def equal(gold: Node, answer: Node) -> Outcome:
    """Whether two scalar trees are mathematically equal; symmetric, and without rounding."""
    if gold == answer:
        return same("identical")
    try:
        check_time()
        if infinite(gold) or infinite(answer):
            return _compare_infinities(gold, answer)
        names = sorted(symbols(gold) | symbols(answer))
        if names:
            return _compare_functions(gold, answer, names)
        return _compare_constants(gold, answer)
    except LimitReached as limit:
        return undecided("limit", str(limit))
    except Undefined as error:
        return different("undefined", f"one of the two has no value: {error}")
    except NotParsed as error:
        return different("undefined", str(error))
    except RecursionError:
        return undecided("limit", "nested too deep")


def infinite(node: Node) -> bool:
    return node == Constant("inf") or (isinstance(node, Mul) and any(map(infinite, node.factors)))


def _compare_infinities(gold: Node, answer: Node) -> Outcome:
    signs = [_sign_of_infinity(node) for node in (gold, answer)]
    if signs[0] == signs[1] and signs[0]:
        return same("infinity")
    return different("infinity", "not the same infinity")


def _sign_of_infinity(node: Node) -> int:
    """+1 or -1; 0 if `node` is finite or has no sign."""
    if node == Constant("inf"):
        return 1
    if isinstance(node, Mul) and infinite(node):
        sign = 1
        for factor in node.factors:
            sign *= _sign_of_infinity(factor) if infinite(factor) else _sign_of_number(factor)
        return sign
    return 0


def _sign_of_number(node: Node) -> int:
    value = exact(node)
    return 0 if value is None else (value > 0) - (value < 0)


def approximate(node: Node) -> float | None:
    """The real value of a constant in double precision, or None."""
    try:
        return float(evaluate(node, Reals()))
    except (Unsupported, Undefined, LimitReached, NotParsed):
        pass
    try:
        value = evaluate(node, Floats())
    except (Unsupported, Undefined, LimitReached, NotParsed):
        return None
    return float(value.real) if abs(value.imag) <= 1e-12 * max(1.0, abs(value.real)) else None


def _compare_constants(gold: Node, answer: Node) -> Outcome:
    exacts = []
    limit: LimitReached | None = None
    for node in (gold, answer):
        try:
            exacts.append(evaluate(node, Rational()))
        except Unsupported:
            pass
        except LimitReached as error:
            limit = error
    if len(exacts) == 2:
        return same("exact") if exacts[0] == exacts[1] else different("exact", "different rational numbers")
    if needs_sympy(gold) or needs_sympy(answer):
        return _by_sympy(gold, answer)
    real = not has_i(gold, answer)
    for form in (True, False) if real else (False,):
        try:
            if _far_apart(gold, answer, {}, real=form):
                return different("numeric", "different values")
            break
        except Unsupported:
            if limit:
                raise limit from None
        except Undefined:
            if not form:
                raise
    return _agree_to_many_digits(gold, answer, [{}], real=real)


def has_i(*nodes: Node) -> bool:
    return any(node == Constant("i") for node in walk(*nodes))


def _far_apart(gold: Node, answer: Node, point: Mapping[str, Fraction], *, real: bool) -> bool:
    """Whether double precision shows a difference. Raises Unsupported or Undefined where it can't compute."""
    algebra = Reals(point) if real else Floats(point)
    a, b = evaluate(gold, algebra), evaluate(answer, algebra)
    size = max(abs(a), abs(b))
    if algebra.scale > 1e4 * size:  # intermediate numbers dwarf the results: rounding explains differences
        size = algebra.scale
    return bool(abs(a - b) > FLOAT_TOLERANCE * size)


def _agree_to_many_digits(
    gold: Node, answer: Node, sample_points: list[dict[str, Fraction]], *, real: bool
) -> Outcome:
    try:
        for point in sample_points:
            if not agree(gold, answer, point, real=real):
                return different("numeric", "different values")
    except Unsupported as error:
        return (
            _by_sympy(gold, answer)
            if needs_sympy(gold, answer)
            else undecided("unsupported", f"can't compute {error}")
        )
    return same("numeric")


def _compare_functions(gold: Node, answer: Node, names: list[str]) -> Outcome:
    if needs_sympy(gold, answer) and any(call.name in ("integral", "limit") for call in calls(gold, answer)):
        return _by_sympy(gold, answer)
    try:
        return _rational_identity(gold, answer, names)
    except (Unsupported, Undefined):
        pass
    whole = needs_integers(gold) or needs_integers(answer)
    for real in (False,) if has_i(gold, answer) else (True, False):
        agreeing = _agreeing_points(gold, answer, names, real=real, whole=whole)
        if agreeing is None:
            return different("numeric", "not the same function")
        if agreeing:
            return _agree_to_many_digits(gold, answer, agreeing, real=real)
    if needs_sympy(gold, answer):
        return _by_sympy(gold, answer)
    if _canonical(gold) == _canonical(answer):
        return same("identical")
    return undecided("unsupported", "no point to compare at")


def _canonical(node: Node) -> str:
    """The tree as text, with its terms and factors in alphabetical order."""

    def ordered(part: Node) -> Node:
        check_time()
        match part:
            case Add(terms=terms):
                return Add(tuple(sorted(terms, key=show)))
            case Mul(factors=factors):
                return Mul(tuple(sorted(factors, key=show)))
        return part

    return show(rebuild(node, ordered))


def _rational_identity(gold: Node, answer: Node, names: list[str]) -> Outcome:
    """Compares rational functions by residues at two random points; errs with a chance below 10^-14."""
    for draw in (0, 1):
        algebra = Residues({name: sample_residue(name, draw) for name in (*names, "\\pi", "\\e")})
        if evaluate(gold, algebra)[0] != evaluate(answer, algebra)[0]:
            return different("identity", "not the same function")
    return same("identity")


def _agreeing_points(
    gold: Node, answer: Node, names: list[str], *, real: bool, whole: bool
) -> list[dict[str, Fraction]] | None:
    """Two points at which both have equal values; None if they differ at a point, [] if too few are defined.

    With `real`, only points in the common domain of the two real functions count: sqrt(x) sqrt(y) is
    sqrt(xy) where x and y are positive, and has no real value where both are negative.
    """
    agreeing: list[dict[str, Fraction]] = []
    for draw, point in enumerate(sample_points(names, whole=whole)):
        if draw >= FIRST_DRAWS and len(agreeing) > 1:
            break
        check_time()
        try:
            if _far_apart(gold, answer, point, real=real):
                if real and _letters_are_positive(gold, answer, point):
                    continue
                return None
        except (Unsupported, Undefined):
            continue
        agreeing.append(point)
    return agreeing[:2] if len(agreeing) > 1 else []


def _letters_are_positive(gold: Node, answer: Node, point: Mapping[str, Fraction]) -> bool:
    """Whether several letters are negative at a point, each of which must be positive where the others are.

    So m and k are taken positive in sqrt(m/k) against sqrt(mk)/k, but x is not in sqrt(x^2) against x.
    """
    negative = [name for name, value in point.items() if value < 0]
    positive = {name: abs(value) for name, value in point.items()}
    return len(negative) > 1 and not any(
        _is_real(node, {**positive, name: point[name]}) for name in negative for node in (gold, answer)
    )


def _is_real(node: Node, point: Mapping[str, Fraction]) -> bool:
    try:
        evaluate(node, Reals(point))
    except (Unsupported, Undefined):
        return False
    return True


def needs_sympy(*nodes: Node) -> bool:
    """Integrals, limits, sums without end: what no cheap check computes."""
    for call in calls(*nodes):
        if call.name in ("integral", "limit"):
            return True
        if call.name in ("sum", "product") and any(infinite(arg) for arg in call.args):
            return True
    return False


def _by_sympy(gold: Node, answer: Node) -> Outcome:
    from limo_ablate.verify.jobs import symbolic_equal

    return symbolic_equal(gold, answer)


def rename_letters(node: Node, names: dict[str, str]) -> Node:
    """`node` with letters renamed."""
    return substitute(node, {old: Symbol(new) for old, new in names.items()})


def substitute(node: Node, values: Mapping[str, Node]) -> Node:
    check_time()
    return rebuild(node, lambda part: values.get(part.name, part) if isinstance(part, Symbol) else part)


def magnitude(node: Node) -> float:
    """A number to sort by; infinities at the ends. Unsupported where it has no real value."""
    if infinite(node):
        return math.inf * _sign_of_infinity(node)
    value = approximate(node)
    if value is None:
        raise Unsupported("no real value")
    return value
