"""Splits a product into its value and its units."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from limo_ablate.verify.nodes import ONE, Add, Degrees, Mul, Node, Number, Percent, Power, Symbol, Unit
from limo_ablate.verify.units import UNITS

OHM = Symbol("Omega")
"""A unit if it follows a number."""


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
    """The value and units of a product; the words "percent" and "degrees" become signs of the value."""
    if isinstance(node, Add) and (whole := _sum_of_quantities(node)):
        return whole
    powers: dict[str, Fraction] = {}
    values: list[Node] = []
    unknown: list[str] = []
    factor = Fraction(1)
    signs: list[type[Percent] | type[Degrees]] = []
    squared = ONE
    for part, power in _factors(node, Fraction(1)):
        part = Unit("ohm", True) if part == OHM and values else part
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
    """The sum of quantities of one dimension, as in 2 hours 30 minutes, in base units."""
    parts = [quantity(term) for term in node.terms]
    if not parts[0].dimensions or any(part.dimensions != parts[0].dimensions for part in parts):
        return None
    return Quantity(
        Add(tuple(scaled(p.value, p.factor) for p in parts)), parts[0].dimensions, Fraction(1), ()
    )


def _factors(node: Node, power: Fraction) -> list[tuple[Node, Fraction]]:
    """(factor, power) of a product, with units taken out of quotients and powers; "per" inverts the next."""
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
