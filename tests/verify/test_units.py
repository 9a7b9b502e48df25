"""The table of units against a library's, and what units equal."""

from __future__ import annotations

import re
from fractions import Fraction

import pint
import pytest

from limo_ablate.verify.api import compare_answers, verify
from limo_ablate.verify.units import CURRENCIES, UNITS

REGISTRY = pint.UnitRegistry(non_int_type=Fraction, cache_folder=None)
BASE = {
    "[length]": "length",
    "[mass]": "mass",
    "[time]": "time",
    "[current]": "current",
    "[temperature]": "temperature",
    "[substance]": "amount",
}
OWN = {
    "month",  # not converted to days: months differ
    "angle",  # pint's radian has no dimension
    "celsius",
    "fahrenheit",
    *CURRENCIES.values(),
}
"""Dimensions that the library lacks or treats otherwise."""
OTHERWISE = {
    "ton", "tons",  # here the metric one; pint's is 2000 pounds
    "amps",  # attometres per second there
    "cms", "kgs", "kmh", "kmph",
}  # fmt: skip
"""Spellings that pint lacks or reads as something else."""


def names() -> list[str]:
    return [
        name
        for name, measure in UNITS.items()
        if not {dimension for dimension, _ in measure.dimensions} & OWN
        and name not in OTHERWISE
        and not re.search("[\u4e00-\u9fff]", name)
    ]


def test_the_table_agrees_with_pint() -> None:
    wrong = []
    for name in names():
        theirs = REGISTRY.Quantity(Fraction(1), name).to_base_units()
        dimensions = {BASE[key]: power for key, power in theirs.dimensionality.items()}
        mass = dimensions.get("mass", 0)
        factor = Fraction(theirs.magnitude) * Fraction(1000) ** int(mass)  # grams, not kilograms
        ours = UNITS[name]
        if dict(ours.dimensions) != dimensions or abs(factor / ours.factor - 1) > Fraction(1, 10**12):
            wrong.append((name, f"{ours} here, {theirs} there"))
    assert not wrong
    assert len(names()) > 400


@pytest.mark.parametrize(
    "name", ["kg", "N", "mL", "kPa", "cm", "h", "min", "μm", "kΩ", "meters", "miles", "GHz"]
)
def test_a_unit_equals_itself_in_other_fonts_and_no_other(name: str) -> None:
    for text in (rf"7\text{{ {name}}}", rf"7\mathrm{{~{name}}}", f"7 {name}"):
        assert compare_answers(text, rf"7\,\text{{{name}}}").equal is True
        assert compare_answers(text, rf"8\text{{ {name}}}").equal is False
        assert compare_answers(text, r"7\text{ mol}").equal is False


@pytest.mark.parametrize("answer", ["5 km^{2999999999}", "5 \\text{ km}^{-2999999999}", "3 cm^{999999999}"])
def test_powers_that_no_quantity_has_end_at_a_limit(answer: str) -> None:
    verdict = verify(f"\\boxed{{{answer}}}", "5 m")
    assert (verdict.status, verdict.rule) == ("undecided", "limit")
