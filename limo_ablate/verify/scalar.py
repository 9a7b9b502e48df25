"""Whether two scalar expressions are equal: exactly, at sample points, to many digits, or by SymPy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

from limo_ablate.verify.algebra import Deadline, Undefined, Unsupported, evaluate
from limo_ablate.verify.floats import Floats
from limo_ablate.verify.limits import LimitReached
from limo_ablate.verify.multiprecision import agree
from limo_ablate.verify.nodes import Constant, Mul, Node, NotParsed, Symbol, calls, rebuild, symbols, walk
from limo_ablate.verify.rational import Rational, exact
from limo_ablate.verify.residues import Residues
from limo_ablate.verify.sample_points import needs_integers, sample_points, sample_residue
from limo_ablate.verify.verdict import Outcome, different, same, undecided

FLOAT_TOLERANCE = 1e-9
"""Relative difference from which double precision shows that two values differ."""


def equal(gold: Node, answer: Node) -> Outcome:
    """Whether two scalar trees are mathematically equal; symmetric, and without rounding."""
    if gold == answer:
        return same("identical")
    deadline = Deadline()
    try:
        if infinite(gold) or infinite(answer):
            return _compare_infinities(gold, answer)
        names = sorted(symbols(gold) | symbols(answer))
        if names:
            return _compare_functions(gold, answer, names, deadline)
        return _compare_constants(gold, answer, deadline)
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
        value = evaluate(node, Floats())
    except (Unsupported, Undefined, LimitReached, NotParsed):
        return None
    return float(value.real) if abs(value.imag) <= 1e-12 * max(1.0, abs(value.real)) else None


def _compare_constants(gold: Node, answer: Node, deadline: Deadline) -> Outcome:
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
    try:
        if _far_apart(gold, answer, {}):
            return different("numeric", "different values")
    except Unsupported:
        if limit:
            raise limit from None
    deadline.check()
    return _agree_to_many_digits(gold, answer, [{}])


def _far_apart(gold: Node, answer: Node, values: dict[str, complex]) -> bool:
    algebra = Floats(values)
    a, b = evaluate(gold, algebra), evaluate(answer, algebra)
    return bool(
        abs(a - b) > FLOAT_TOLERANCE * max(algebra.scale if _cancels(algebra, a, b) else 0.0, abs(a), abs(b))
    )


def _cancels(algebra: Floats, a: complex, b: complex) -> bool:
    """Whether intermediate numbers dwarf the results, so that rounding could explain any difference."""
    return algebra.scale > 1e4 * max(abs(a), abs(b))


def _agree_to_many_digits(gold: Node, answer: Node, sample_points: list[dict[str, Fraction]]) -> Outcome:
    try:
        for point in sample_points:
            if not agree(gold, answer, point):
                return different("numeric", "different values")
    except Unsupported as error:
        return (
            _by_sympy(gold, answer)
            if needs_sympy(gold, answer)
            else undecided("unsupported", f"can't compute {error}")
        )
    return same("numeric")


def _compare_functions(gold: Node, answer: Node, names: list[str], deadline: Deadline) -> Outcome:
    if needs_sympy(gold, answer) and any(call.name in ("integral", "limit") for call in calls(gold, answer)):
        return _by_sympy(gold, answer)
    try:
        return _rational_identity(gold, answer, names)
    except (Unsupported, Undefined):
        pass
    agreeing = _agreeing_points(gold, answer, names, deadline)
    if isinstance(agreeing, Outcome):
        return agreeing
    if not agreeing:
        return (
            _by_sympy(gold, answer)
            if needs_sympy(gold, answer)
            else undecided("unsupported", "no point to compare at")
        )
    return _agree_to_many_digits(gold, answer, agreeing[:2])


def _rational_identity(gold: Node, answer: Node, names: list[str]) -> Outcome:
    """Compares rational functions by residues at two random points; errs with a chance below 10^-14."""
    for draw in (0, 1):
        algebra = Residues({name: sample_residue(name, draw) for name in (*names, "\\pi", "\\e")})
        if evaluate(gold, algebra)[0] != evaluate(answer, algebra)[0]:
            return different("identity", "not the same function")
    return same("identity")


def _agreeing_points(
    gold: Node, answer: Node, names: list[str], deadline: Deadline
) -> list[dict[str, Fraction]] | Outcome:
    """Points at which both have equal values, or the outcome that they differ.

    Only points where both are real count, unless there are fewer than two of them.
    """
    complex_too = any(node == Constant("i") for node in walk(gold)) or any(
        n == Constant("i") for n in walk(answer)
    )
    agreeing: dict[bool, list[dict[str, Fraction]]] = {True: [], False: []}
    differ: dict[bool, bool] = {True: False, False: False}
    for point in sample_points(names, whole=needs_integers(gold) or needs_integers(answer)):
        deadline.check()
        try:
            algebra = Floats({name: complex(float(value)) for name, value in point.items()})
            a, b = evaluate(gold, algebra), evaluate(answer, algebra)
        except (Unsupported, Undefined):
            continue
        real = max(abs(a.imag), abs(b.imag)) <= 1e-9 * max(abs(a), abs(b), 1e-300) or complex_too
        scale = max(abs(a), abs(b), algebra.scale if _cancels(algebra, a, b) else 0.0)
        if abs(a - b) > FLOAT_TOLERANCE * scale:
            differ[real] = True
        else:
            agreeing[real].append(point)
    if differ[True] or (differ[False] and len(agreeing[True]) < 2):
        return different("numeric", "not the same function")
    return agreeing[True] if len(agreeing[True]) >= 2 else agreeing[True] + agreeing[False]


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
    return rebuild(node, lambda part: values.get(part.name, part) if isinstance(part, Symbol) else part)


def magnitude(node: Node) -> float:
    """A number to sort by; infinities at the ends. Unsupported where it has no real value."""
    if infinite(node):
        return math.inf * _sign_of_infinity(node)
    value = approximate(node)
    if value is None:
        raise Unsupported("no real value")
    return value
