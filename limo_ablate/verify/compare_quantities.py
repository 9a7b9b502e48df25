"""Compares scalars as people write them: with percent signs, degrees, units, or rounded."""

from __future__ import annotations

from fractions import Fraction

from limo_ablate.verify.algebra import Unsupported
from limo_ablate.verify.nodes import (
    ZERO,
    Add,
    Call,
    Constant,
    Degrees,
    Mul,
    Node,
    Number,
    Numeral,
    Percent,
    Power,
    Ratio,
    Symbol,
    Unit,
    as_number,
    children,
    divide,
    rebuild,
    symbols,
)
from limo_ablate.verify.quantity import (
    Quantity,
    quantity,
    scaled,
    with_letters_as_units,
    with_units_as_letters,
)
from limo_ablate.verify.rational import exact
from limo_ablate.verify.realset import linear
from limo_ablate.verify.rounding import DOUBLE, rounded
from limo_ablate.verify.scalar import equal, rename_letters
from limo_ablate.verify.verdict import Outcome, all_equal, different, same

_MASS = (("mass", Fraction(1)),)
_ANGLE = (("angle", Fraction(1)),)
_STERLING = (("gbp", Fraction(1)),)


def equal_quantities(gold: Node, answer: Node, *, strict: bool = False) -> Outcome:
    """Compares scalars; a sign or unit that only one of them has is ignored.

    Units of one dimension are converted. 35% equals 35 and 0.35 where the other side has no sign, but 35 does
    not equal 0.35. With `strict`, a rounded decimal does not equal the exact value.
    """
    if (digits := _compare_digits(gold, answer)) is not None:
        return digits
    if (residues := _compare_residues(gold, answer)) is not None:
        return residues
    plain = not _has_sign_or_unit(gold) and not _has_sign_or_unit(answer)
    outcome = equal(gold, answer) if plain else None
    if symbols(gold) or symbols(answer):
        outcome = outcome if outcome and outcome.equal else _read_letters(gold, answer) or outcome
    outcome = outcome or _compare_with_units(gold, answer)
    if outcome.equal is False and outcome.rule in ("exact", "numeric") and not strict:
        return rounded(gold, answer) or outcome
    if outcome.equal is False:
        return _same_constant_of_integration(gold, answer) or outcome
    return outcome


def _compare_digits(gold: Node, answer: Node) -> Outcome | None:
    """2021 for 2021_5: a base may be left out, as a unit may; the same number in another base differs."""
    if isinstance(gold, Numeral) and isinstance(answer, Numeral) and gold.base != answer.base:
        return different("base", f"base {answer.base}, not {gold.base}")
    for one, other in ((gold, answer), (answer, gold)):
        if isinstance(one, Numeral) and isinstance(other, Number):
            if one.digits == str(other.value):
                return same("base")
            return None if one.base == 10 else different("base", f"not the digits in base {one.base}")
    return None


def _compare_residues(gold: Node, answer: Node) -> Outcome | None:
    """7 mod 12 is 19 mod 12, and equals 7 where the other side names no modulus."""
    g, a = (
        node.args if isinstance(node, Call) and node.name == "residue" else None for node in (gold, answer)
    )
    if g and a:
        values = [exact(part) for part in (*g, *a)]
        if any(value is None for value in values):
            return all_equal((equal(x, y) for x, y in zip(g, a, strict=True)), "residue")
        g_value, g_modulus, a_value, a_modulus = (value or Fraction(0) for value in values)
        agree = g_modulus == a_modulus and g_modulus and not (g_value - a_value) % g_modulus
        return same("residue") if agree else different("residue", "not the same residue")
    if g or a:
        if exact((g or a or ())[1]) == 0:
            return different("undefined", "a residue modulo 0")
        (value, modulus), other = (g, answer) if g else (a or (), gold)
        if len(names := symbols(other)) == 1 and not symbols(value) | symbols(modulus):
            return _progression(exact(value), exact(modulus), other, next(iter(names)))
        return equal(value, other)
    return None


def _progression(value: Fraction | None, modulus: Fraction | None, terms: Node, name: str) -> Outcome:
    """Whether 4k + 1 are the numbers that are 1 modulo 4."""
    try:
        step, first = linear(terms, name)
    except Unsupported:
        return different("residue", "not an arithmetic progression")
    agree = value is not None and abs(step) == modulus and not (first - value) % step
    return same("residue") if agree else different("residue", "not the same residue")


def _read_letters(gold: Node, answer: Node) -> Outcome | None:
    """Units beside letters as letters, as in mg/2; or letters as units, as in 5 m/s, if both have units then.

    None if neither reading changes anything, or makes the two comparable.
    """
    letters = with_units_as_letters(gold), with_units_as_letters(answer)
    if letters != (gold, answer) and not any(map(_has_sign_or_unit, letters)):
        outcome = equal(*letters)
        if outcome.equal or any(_has(quantity(node).value, Unit) for node in (gold, answer)):
            return outcome  # Tm in a root is no unit
    units = with_letters_as_units(gold), with_letters_as_units(answer)
    if units != (gold, answer) and all(quantity(node).dimensions for node in units):
        return _compare_with_units(*units)
    return None


def _has_sign_or_unit(node: Node) -> bool:
    return isinstance(node, (Percent, Degrees, Unit)) or any(map(_has_sign_or_unit, children(node)))


def _compare_with_units(gold: Node, answer: Node) -> Outcome:
    g, a = quantity(gold), quantity(answer)
    if a.unknown and not g.unknown and not g.dimensions and _letters_as_unit(gold, a):
        return different("unit", "letters against a unit")
    if g.dimensions and a.dimensions:
        if {g.dimensions, a.dimensions} == {_MASS, _STERLING}:
            g, a = quantity(_pounds_as_money(gold)), quantity(_pounds_as_money(answer))
        if g.dimensions != a.dimensions:
            return different("unit", f"{_named(g)} against {_named(a)}")
        if g.factor != a.factor:
            outcome = _compare_signed(scaled(g.value, g.factor), scaled(a.value, a.factor))
            return Outcome(outcome.equal, "unit", outcome.reason)
        return _compare_signed(g.value, a.value)
    if {g.dimensions, a.dimensions} == {_ANGLE, ()} and (_has(g.value, Degrees) or _has(a.value, Degrees)):
        return equal(g.value, a.value)
    if (_signs_as_unit(gold) and a.dimensions) or (_signs_as_unit(answer) and g.dimensions):
        return different("unit", "a percent or degree sign against a unit")
    if (g.dimensions and a.unknown) or (a.dimensions and g.unknown):
        return different("unit", "a unit against something else")
    return _compare_signed(g.value, a.value)


def _pounds_as_money(node: Node) -> Node:
    """`node` with pounds as money, for when the other side is in pounds sterling."""
    pounds = (Unit("pound", True), Unit("pounds", True))
    return rebuild(node, lambda part: Unit("gbp", True) if part in pounds else part)


def _signs_as_unit(node: Node) -> bool:
    return _has(quantity(node).value, Percent) or _has(quantity(node).value, Degrees)


def _letters_as_unit(gold: Node, a: Quantity) -> bool:
    return False if not symbols(gold) else bool(symbols(gold) & set(a.unknown))


def _named(q: Quantity) -> str:
    return " ".join(name if power == 1 else f"{name}^{power}" for name, power in q.dimensions)


def _compare_signed(gold: Node, answer: Node) -> Outcome:
    """Compares with percent and degree signs, then without a sign that only one side has."""
    outcome = equal(gold, answer)
    if outcome.equal:
        return outcome
    for sign, rule in ((Percent, "percent"), (Degrees, "degrees")):
        held = [_has(node, sign) for node in (gold, answer)]
        if held[0] != held[1]:
            bare = equal(_without(gold, sign), _without(answer, sign))
            if bare.equal:
                return same(rule)
    return outcome


def _has(node: Node, sign: type[Percent] | type[Degrees] | type[Unit]) -> bool:
    return isinstance(node, sign) or any(_has(part, sign) for part in children(node))


def _without(node: Node, sign: type[Percent] | type[Degrees]) -> Node:
    return rebuild(node, lambda part: part.value if isinstance(part, sign) else part)


def _same_constant_of_integration(gold: Node, answer: Node) -> Outcome | None:
    """+ C against + c, 2 k pi against 2 n pi: arbitrary constants and integers named by another letter."""
    mine, yours = symbols(gold) - symbols(answer), symbols(answer) - symbols(gold)
    if not mine or len(mine) != len(yours):
        return None
    pairs = {name: next((o for o in mine if o.lower() == name.lower()), "") for name in yours}
    if mine | yours <= set("kmn") and len(mine) == 1:
        pairs = {name: next(iter(mine)) for name in yours}
        if not _periodic(gold) or not _periodic(answer):
            return None
    elif any(not new or old[0].lower() not in "c" for old, new in pairs.items()) or _has_power_of(
        answer, yours
    ):
        return None
    outcome = equal(gold, rename_letters(answer, pairs))
    return same(outcome.rule) if outcome.equal else None


def _has_power_of(node: Node, names: frozenset[str]) -> bool:
    base = node.base if isinstance(node, Power) else None
    return (isinstance(base, Symbol) and base.name in names) or any(
        _has_power_of(part, names) for part in children(node)
    )


def _periodic(node: Node) -> bool:
    """Whether a multiple of pi by a lone integer letter is added, as in the solutions of sin x = 0."""
    return any(
        isinstance(part, Mul) and any(_has_pi(f) for f in part.factors) and symbols(part) & set("kmn")
        for part in (node.terms if isinstance(node, Add) else (node,))
    )


def _has_pi(node: Node) -> bool:
    return node == Constant("pi") or any(map(_has_pi, children(node)))


def compare_numbers(gold: Node, answer: Node) -> Outcome | None:
    """Two numerals or fractions; None for anything else, and where one could be a rounding of the other."""
    g, a = as_number(gold), as_number(answer)
    if not isinstance(g, Number) or not isinstance(a, Number):
        return None
    if g.value == a.value:
        return same("exact")
    if (g.decimals is None) != (a.decimals is None) or max(g.decimals or 0, a.decimals or 0) >= DOUBLE:
        return None
    return different("exact", "different rational numbers")


def compare_ratios(gold: Node, answer: Node) -> Outcome:
    """Ratios: 3:4 equals 6:8 and 3/4."""
    g, a = (node.parts if isinstance(node, Ratio) else None for node in (gold, answer))
    if g and a:
        if len(g) != len(a):
            return different("ratio", "not as many parts")
        if any(part == ZERO for part in (*g, *a)):
            return all_equal((equal(x, y) for x, y in zip(g, a, strict=True)), "ratio")
        return all_equal(
            (equal(divide(x, g[0]), divide(y, a[0])) for x, y in zip(g, a, strict=True)), "ratio"
        )
    return equal_quantities(gold, answer)


def is_amount(node: Node) -> bool:
    """Whether `node` is a number, alone or with units."""
    if isinstance(node, Mul):
        return all(isinstance(factor, (Number, Unit)) for factor in node.factors)
    return isinstance(node, Number)
