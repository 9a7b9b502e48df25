"""Scalars as people write them: percent, degrees, units, and decimals that are rounded."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from limo_ablate.verify.nodes import (
    ONE,
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
    Symbol,
    Unit,
    children,
    symbols,
)
from limo_ablate.verify.outcome import Outcome, different, every, same
from limo_ablate.verify.rewrite import rebuild
from limo_ablate.verify.scalar import approximate, equal, exact, rename
from limo_ablate.verify.units import UNITS

_OHM = Symbol("Omega")
"""Behind a number it is a unit."""

SIGNIFICANT = 3
"""Digits a decimal must show to pass as a rounding of an exact value."""


@dataclass(frozen=True, slots=True)
class Quantity:
    value: Node
    dimensions: tuple[tuple[str, Fraction], ...]
    """(dimension, power), sorted; empty without a unit."""
    factor: Fraction
    """Of the value, in base units."""
    unknown: tuple[str, ...]
    """Nouns that are counted."""


def equal_quantities(gold: Node, answer: Node, *, strict: bool = False) -> Outcome:
    """Scalars with or without units, percent and degree signs; a sign or unit only one of them has is no difference.

    Units of one dimension are converted; 35% is 35 or 0.35 where the other has no sign, never both of 35 and 0.35.
    With `strict`, a rounded decimal is not the exact value.
    """
    if (digits := _digits_alone(gold, answer)) is not None:
        return digits
    if (residues := _residues(gold, answer)) is not None:
        return residues
    outcome = equal(gold, answer) if not _marked(gold) and not _marked(answer) else None
    if outcome is None:
        outcome = _with_units(gold, answer)
    if outcome.equal is False and outcome.rule in ("exact", "numeric") and not strict:
        return rounded(gold, answer) or outcome
    if outcome.equal is False:
        return _same_constant_of_integration(gold, answer) or outcome
    return outcome


def _digits_alone(gold: Node, answer: Node) -> Outcome | None:
    """2021 for 2021_5: a base is left out like a unit; stated bases must agree, or the values be equal."""
    for one, other in ((gold, answer), (answer, gold)):
        if isinstance(one, Numeral) and isinstance(other, Number) and one.digits == str(other.value):
            return same("base")
    return None


def _residues(gold: Node, answer: Node) -> Outcome | None:
    """7 mod 12 is 19 mod 12, and 7 where the other side names no modulus."""
    g, a = (
        node.args if isinstance(node, Call) and node.name == "residue" else None for node in (gold, answer)
    )
    if g and a:
        values = [exact(part) for part in (*g, *a)]
        if any(value is None for value in values):
            return every((equal(x, y) for x, y in zip(g, a, strict=True)), "residue")
        g_value, g_modulus, a_value, a_modulus = (value or Fraction(0) for value in values)
        agree = g_modulus == a_modulus and g_modulus and not (g_value - a_value) % g_modulus
        return same("residue") if agree else different("residue", "not the same residue")
    if g or a:
        if exact((g or a or ())[1]) == 0:
            return different("undefined", "a residue modulo 0")
        return equal(g[0] if g else gold, a[0] if a else answer)
    return None


def _marked(node: Node) -> bool:
    return isinstance(node, (Percent, Degrees, Unit)) or node == _OHM or any(map(_marked, children(node)))


def _with_units(gold: Node, answer: Node) -> Outcome:
    g, a = quantity(gold), quantity(answer)
    if a.unknown and not g.unknown and not g.dimensions and _letters_as_unit(gold, a):
        return different("unit", "letters against a unit")
    if g.dimensions and a.dimensions:
        if g.dimensions != a.dimensions:
            return different("unit", f"{_named(g)} against {_named(a)}")
        if g.factor != a.factor:
            outcome = _signed(_times(g.value, g.factor), _times(a.value, a.factor))
            return Outcome(outcome.equal, "unit", outcome.reason)
        return _signed(g.value, a.value)
    if (g.dimensions and a.unknown) or (a.dimensions and g.unknown):
        return different("unit", "a unit against something else")
    if g.dimensions != a.dimensions and (read := _letter_units(gold, answer, g, a)) is not None:
        return read
    return _signed(g.value, a.value)


def _letters_as_unit(gold: Node, a: Quantity) -> bool:
    return False if not symbols(gold) else bool(symbols(gold) & set(a.unknown))


def _letter_units(gold: Node, answer: Node, g: Quantity, a: Quantity) -> Outcome | None:
    """2500 m: a bare letter beside a number is read as the unit the other side names."""
    bare, other = (answer, g) if g.dimensions else (gold, a)
    if not symbols(bare) or not symbols(bare) <= set(UNITS):
        return None
    read = rebuild(bare, lambda part: Unit(part.name, True) if isinstance(part, Symbol) else part)
    if quantity(read).dimensions != other.dimensions:
        return None
    return _with_units(read, answer) if bare is gold else _with_units(gold, read)


def _named(q: Quantity) -> str:
    return " ".join(name if power == 1 else f"{name}^{power}" for name, power in q.dimensions)


def _times(node: Node, factor: Fraction) -> Node:
    return Mul((node, Number(factor)))


def _signed(gold: Node, answer: Node) -> Outcome:
    """Percent and degree signs: exact first, then as if the side that has one had none."""
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


def _has(node: Node, sign: type[Percent] | type[Degrees]) -> bool:
    return isinstance(node, sign) or any(_has(part, sign) for part in children(node))


def _without(node: Node, sign: type[Percent] | type[Degrees]) -> Node:
    return rebuild(node, lambda part: part.value if isinstance(part, sign) else part)


def quantity(node: Node) -> Quantity:
    """The value and units of a product; words "percent" and "degrees" are signs."""
    if isinstance(node, Add) and (whole := _sum_of_quantities(node)):
        return whole
    powers: dict[str, Fraction] = {}
    values: list[Node] = []
    unknown: list[str] = []
    factor = Fraction(1)
    signs: list[type[Percent] | type[Degrees]] = []
    squared = ONE
    for part, power in _factors(node, Fraction(1)):
        part = Unit("ohm", True) if part == _OHM and values else part
        if not isinstance(part, Unit):
            values.append(part if power == 1 else Power(part, Number(power)))
            continue
        if part.name in ("percent", "percents", "percentage", "degree", "degrees"):
            signs.append(Percent if part.name.startswith("perc") else Degrees)
        elif part.name in ("square", "sq", "cubic"):
            squared = Number(Fraction(3 if part.name == "cubic" else 2))
        elif part.known and part.name in UNITS:
            dimension, size = UNITS[part.name]
            power = Fraction(power * squared.value)
            squared = ONE
            powers[dimension] = powers.get(dimension, Fraction(0)) + power
            factor *= size ** int(power)
        elif part.name != "per":
            unknown.append(part.name)
    value: Node = values[0] if len(values) == 1 else Mul(tuple(values)) if values else ONE
    for sign in signs:
        value = sign(value)
    return Quantity(value, tuple(sorted((d, p) for d, p in powers.items() if p)), factor, tuple(unknown))


def _sum_of_quantities(node: Add) -> Quantity | None:
    """2 hours 30 minutes, in base units."""
    parts = [quantity(term) for term in node.terms]
    if not parts[0].dimensions or any(part.dimensions != parts[0].dimensions for part in parts):
        return None
    return Quantity(
        Add(tuple(_times(p.value, p.factor) for p in parts)), parts[0].dimensions, Fraction(1), ()
    )


def _factors(node: Node, power: Fraction) -> list[tuple[Node, Fraction]]:
    """(factor, power) of a product, units taken out of quotients and powers; after "per" they divide."""
    if isinstance(node, Mul):
        found: list[tuple[Node, Fraction]] = []
        for factor in node.factors:
            found += _factors(factor, -power if found and found[-1][0] == Unit("per", False) else power)
        return found
    if isinstance(node, Power) and isinstance(node.exponent, Number) and _has_unit(node.base):
        return _factors(node.base, power * node.exponent.value)
    return [(node, power)]


def _has_unit(node: Node) -> bool:
    if isinstance(node, Power):
        return _has_unit(node.base)
    return isinstance(node, Unit) or (isinstance(node, Mul) and any(map(_has_unit, node.factors)))


# roundings


def rounded(gold: Node, answer: Node) -> Outcome | None:
    """Equal where one side is a decimal and the other an exact value it is the rounding of.

    The decimal must show at least SIGNIFICANT digits, and the value be one that no decimal writes exactly:
    100 is not 99.99, and 1/8 is not 0.13.
    """
    g, a = quantity(gold), quantity(answer)
    if (g.dimensions and a.dimensions and g.factor != a.factor) or symbols(gold) or symbols(answer):
        return None
    for decimal, value in ((a.value, g.value), (g.value, a.value)):
        if isinstance(decimal, (Percent, Degrees)):
            value = value.value if isinstance(value, type(decimal)) else value
            decimal = decimal.value
        shown = _decimal(decimal)
        if shown is not None and _rounds_to(value, shown):
            return same("rounding")
    return None


def _decimal(node: Node) -> Number | None:
    """A decimal, also -0.5 and 1.6 x 10^-19, with the digits it shows; None for anything else."""
    if isinstance(node, Number):
        return node if node.shown is not None else None
    if isinstance(node, Mul) and all(isinstance(f, (Number, Power)) for f in node.factors):
        decimals = [f for f in node.factors if isinstance(f, Number) and f.shown is not None]
        powers = [f for f in node.factors if isinstance(f, Power)]
        if len(decimals) == len(powers) == 1 and powers[0].base == Number(Fraction(10)):
            value, exponent = exact(node), exact(powers[0].exponent)
            if value is not None and exponent is not None and exponent.denominator == 1:
                return Number(value, (decimals[0].shown or 0) - int(exponent))
    return None


def _rounds_to(value: Node, decimal: Number) -> bool:
    shown = decimal.shown or 0
    unit = Fraction(10) ** -shown
    if abs(decimal.value) < unit * 10 ** (SIGNIFICANT - 1):
        return False
    rational = exact(value)
    if rational is None:
        number = approximate(value)
        if number is None or not _irrational(value):
            return False
        rational = Fraction(number)
    elif _terminates(rational):
        return False
    return abs(rational - decimal.value) <= unit / 2


def _irrational(value: Node) -> bool:
    return isinstance(value, Constant) or bool(children(value))


def _terminates(value: Fraction) -> bool:
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


def _same_constant_of_integration(gold: Node, answer: Node) -> Outcome | None:
    """+ C against + c, 2 k pi against 2 n pi: arbitrary constants and integers by another letter."""
    mine, yours = symbols(gold) - symbols(answer), symbols(answer) - symbols(gold)
    if not mine or len(mine) != len(yours):
        return None
    pairs = {name: next((o for o in mine if o.lower() == name.lower()), "") for name in yours}
    if mine | yours <= set("kmn") and len(mine) == 1:
        pairs = {name: next(iter(mine)) for name in yours}
        if not _periodic(gold) or not _periodic(answer):
            return None
    elif any(not new or old[0].lower() not in "c" for old, new in pairs.items()):
        return None
    outcome = equal(gold, rename(answer, pairs))
    return same(outcome.rule) if outcome.equal else None


def _periodic(node: Node) -> bool:
    """Whether a multiple of pi by a lone integer letter is added, as in the solutions of sin x = 0."""
    return any(
        isinstance(part, Mul) and any(_has_pi(f) for f in part.factors) and symbols(part) & set("kmn")
        for part in (node.terms if isinstance(node, Add) else (node,))
    )


def _has_pi(node: Node) -> bool:
    return node == Constant("pi") or any(map(_has_pi, children(node)))
