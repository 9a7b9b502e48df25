"""Splits a product into its value and its units."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TypeGuard

from limo_ablate.verify.limits import MAX_UNIT_POWERS, LimitReached
from limo_ablate.verify.nodes import (
    ONE,
    Add,
    Constant,
    Degrees,
    Mul,
    Node,
    Number,
    Percent,
    Power,
    Symbol,
    Unit,
    symbols,
)
from limo_ablate.verify.units import PREFIXES, UNITS


@dataclass(frozen=True, slots=True)
class Quantity:
    value: Node
    dimensions: tuple[tuple[str, Fraction], ...]
    """(dimension, power), sorted; empty without a unit."""
    factor: Fraction
    """Factor that converts the value to base units."""
    unknown: tuple[str, ...]
    """Counted nouns, such as "apples"."""


def scaled(node: Node, factor: Fraction) -> Node:
    return Mul((node, Number(factor)))


def quantity(node: Node) -> Quantity:
    """The value and units of a product; the words "percent" and "degrees" become signs of the value.

    Raises LimitReached for powers of units that no quantity has.
    """
    if isinstance(node, Add) and (whole := _sum_of_quantities(node)):
        return whole
    powers: dict[str, Fraction] = {}
    values: list[Node] = []
    unknown: list[str] = []
    factor, total = Fraction(1), Fraction(0)
    signs: list[type[Percent] | type[Degrees]] = []
    squared = ONE
    for part, power in _with_powers(_factors(node, Fraction(1))):
        if not isinstance(part, Unit):
            values.append(part if power == 1 else Power(part, Number(power)))
            continue
        if part.name in ("percent", "percents", "percentage", "pct", "degree", "degrees"):
            signs.append(Percent if part.name.startswith("p") else Degrees)
        elif part.name in ("square", "sq", "cubic"):
            squared = Number(Fraction(3 if part.name == "cubic" else 2))
        elif part.known and part.name in UNITS:
            measure = UNITS[part.name]
            power = Fraction(power * squared.value)
            squared = ONE
            total += abs(power)
            if total > MAX_UNIT_POWERS:
                raise LimitReached(f"powers of units over {MAX_UNIT_POWERS}")
            for dimension, exponent in measure.dimensions:
                powers[dimension] = powers.get(dimension, Fraction(0)) + power * exponent
            factor *= measure.factor ** int(power)
        elif part.name != "per":
            unknown.append(part.name)
    value: Node = values[0] if len(values) == 1 else Mul(tuple(values)) if values else ONE
    for sign in signs:
        value = sign(value)
    return Quantity(value, tuple(sorted((d, p) for d, p in powers.items() if p)), factor, tuple(unknown))


def _with_powers(factors: list[tuple[Node, Fraction]]) -> list[tuple[Node, Fraction]]:
    """`factors` with "squared" and "cubed" behind a unit as its power."""
    found: list[tuple[Node, Fraction]] = []
    for part, power in factors:
        times = _POWERS.get(part.name) if found and isinstance(part, Unit) else None
        if times and isinstance(found[-1][0], Unit) and found[-1][0].known:
            found[-1] = found[-1][0], found[-1][1] * times
        else:
            found.append((part, power))
    return found


_POWERS = {"squared": 2, "cubed": 3}


def _sum_of_quantities(node: Add) -> Quantity | None:
    """The sum of quantities of one dimension, as in 2 hours 30 minutes, in base units."""
    parts = [quantity(term) for term in node.terms]
    if not parts[0].dimensions or any(part.dimensions != parts[0].dimensions for part in parts):
        return None
    return Quantity(
        Add(tuple(scaled(p.value, p.factor) for p in parts)), parts[0].dimensions, Fraction(1), ()
    )


def with_letters_as_units(node: Node) -> Node:
    """5 m/s as a quantity: letters after a number that all are units. Other nodes as they are."""
    if not isinstance(node, Mul):
        return node
    (first, _), *rest = factors = _factors(node, Fraction(1))
    if symbols(first) or any(symbols(part) and not isinstance(part, Symbol) for part, _ in rest):
        return node
    found: list[tuple[Node, Fraction]] = []
    for part, power in factors:
        if part == Unit("per", False):
            continue
        before = found[-1] if found else (ONE, power)
        prefix = before[0].name if isinstance(before[0], Symbol) and before[1] == power else ""
        if isinstance(part, Symbol) and prefix in PREFIXES and prefix + part.name in UNITS and prefix:
            found[-1] = (Unit(prefix + part.name, True), power)
        else:
            found.append((part, power))
    read = [
        (Unit(part.name, True) if isinstance(part, Symbol) and part.name in UNITS else part, power)
        for part, power in found
    ]
    if any(isinstance(part, Symbol) for part, _ in read):
        return node
    return Mul(tuple(part if power == 1 else Power(part, Number(power)) for part, power in read))


def with_units_as_letters(node: Node) -> Node:
    """mg as m times g: units spelled in one to three letters as products of them."""
    match node:
        case Power(base=Unit(name=name), exponent=exponent) if name in UNITS and len(name) <= MAX_LETTERS:
            *first, last = _letters(name)
            return Mul((*first, Power(last, exponent)))
        case Unit(name=name) if name in UNITS and len(name) <= MAX_LETTERS:
            return Mul(tuple(_letters(name)))
        case Mul():
            return Mul(tuple(map(with_units_as_letters, node.factors)))
        case Add():
            return Add(tuple(map(with_units_as_letters, node.terms)))
        case Power():
            return Power(with_units_as_letters(node.base), node.exponent)
    return node


MAX_LETTERS = 3
_GREEK = {"μ": "mu", "Ω": "Omega"}


def _letters(name: str) -> list[Node]:
    return [Constant("e") if c == "e" else Symbol(_GREEK.get(c, c)) for c in name]


def _factors(node: Node, power: Fraction) -> list[tuple[Node, Fraction]]:
    """(factor, power) of a product, with units taken out of quotients and powers; "per" inverts the next."""
    if isinstance(node, Mul):
        found: list[tuple[Node, Fraction]] = []
        for factor in node.factors:
            found += _factors(factor, -power if found and found[-1][0] == Unit("per", False) else power)
        return found
    if isinstance(node, Power) and _is_integer(node.exponent) and _may_be_unit(node.base):
        return _factors(node.base, power * node.exponent.value)
    return [(node, power)]


def _may_be_unit(node: Node) -> bool:
    if isinstance(node, Power):
        return _may_be_unit(node.base)
    if isinstance(node, Mul):
        return any(map(_may_be_unit, node.factors))
    return isinstance(node, (Unit, Symbol))


def _is_integer(node: Node) -> TypeGuard[Number]:
    return isinstance(node, Number) and node.value.denominator == 1
