"""Units of measure, each with its dimension and its exact factor to the base units.

Metres, grams, seconds, amperes, kelvins and moles are the base; N, J, Pa, V, L are products of them, so that
5 J equals 5 N m. Currencies and months are dimensions of their own: they are not converted.
"""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

_F = Fraction


class Measure(NamedTuple):
    dimensions: tuple[tuple[str, int], ...]
    """(base dimension, power)"""
    factor: Fraction
    """Size in base units."""


PREFIXES = {"": ("", "1"), "k": ("kilo", "1e3"), "c": ("centi", "1e-2"), "m": ("milli", "1e-3"),
            "μ": ("micro", "1e-6"), "n": ("nano", "1e-9"), "p": ("pico", "1e-12"), "d": ("deci", "1e-1"),
            "h": ("hecto", "1e2"), "M": ("mega", "1e6"), "G": ("giga", "1e9"),
            "T": ("tera", "1e12")}  # fmt: skip
_EVERYDAY = frozenset("cdh")
"""Prefixes of metres, grams, litres and pascals only: cV and dN are products of letters."""

_METRIC = {
    "m": ("meter metre", "1", "length"),
    "g": ("gram", "1", "mass"),
    "s": ("second", "1", "time"),
    "A": ("ampere amp", "1", "current"),
    "K": ("kelvin", "1", "temperature"),
    "mol": ("mole", "1", "amount"),
    "L": ("liter litre", "1e-3", "length^3"),
    "l": ("", "1e-3", "length^3"),
    "Hz": ("hertz", "1", "time^-1"),
    "N": ("newton", "1e3", "mass length time^-2"),
    "Pa": ("pascal", "1e3", "mass length^-1 time^-2"),
    "bar": ("", "1e8", "mass length^-1 time^-2"),
    "J": ("joule", "1e3", "mass length^2 time^-2"),
    "W": ("watt", "1e3", "mass length^2 time^-3"),
    "Wh": ("", "3.6e6", "mass length^2 time^-2"),
    "eV": ("electronvolt", "1.602176634e-16", "mass length^2 time^-2"),
    "cal": ("calorie", "4.184e3", "mass length^2 time^-2"),
    "C": ("coulomb", "1", "current time"),
    "V": ("volt", "1e3", "mass length^2 time^-3 current^-1"),
    "Ω": ("ohm", "1e3", "mass length^2 time^-3 current^-2"),
    "F": ("farad", "1e-3", "mass^-1 length^-2 time^4 current^2"),
    "H": ("henry", "1e3", "mass length^2 time^-2 current^-2"),
    "T": ("tesla", "1e3", "mass time^-2 current^-1"),
    "Wb": ("weber", "1e3", "mass length^2 time^-2 current^-1"),
    "rad": ("radian", "1", "angle"),
}
"""Symbol -> (words in the singular, factor, dimension); each takes the metric prefixes."""

_OTHER = {
    "length": {"in inch inches": "0.0254", "ft foot feet": "0.3048", "yd yard yards": "0.9144",
               "mi mile miles": "1609.344", "cms": "1e-2", "米": "1", "厘米": "1e-2", "千米 公里": "1e3"},
    "length^2": {"ha hectare hectares 公顷": "1e4"},
    "length^3": {"gallon gallons gal": "3.785411784e-3", "quart quarts": "9.46352946e-4",
                 "pint pints": "4.73176473e-4", "cc": "1e-6", "升": "1e-3", "毫升": "1e-6"},
    "time": {"sec secs 秒": "1", "min mins minute minutes 分钟": "60", "h hr hrs hour hours 小时": "3600",
             "day days 天": "86400", "week weeks": "604800"},
    "mass": {"lb lbs pound pounds": "453.59237", "oz ounce ounces": "28.349523125",
             "ton tons tonne tonnes 吨": "1e6", "kgs 千克 公斤": "1e3", "克": "1"},
    "length time^-1": {"mph": "0.44704", "knot knots": "463/900", "kph kmh kmph": "5/18"},
    "mass length^-1 time^-2": {"atm atmosphere atmospheres": "101325e3"},
    "angle": {"rads": "1"}, "dollar": {"dollar dollars usd": "1", "cent cents": "1e-2"},
    "euro": {"euro euros eur": "1"}, "gbp": {"gbp": "1"}, "yen": {"yen Yen": "1"},
    "yuan": {"yuan 元": "1"}, "rupee": {"rupee rupees": "1"},
    "month": {"month months": "1", "year years yr yrs": "12"},
    "celsius": {"celsius": "1"}, "fahrenheit": {"fahrenheit": "1"},
}  # fmt: skip
"""Dimension -> {spellings: factor} of units without prefixes."""

CURRENCIES = {
    "USD": "dollar", "EUR": "euro", "GBP": "gbp", "JPY": "yen", "CNY": "yuan", "RMB": "yuan", "CHF": "franc",
    "INR": "rupee", "AUD": "aud", "CAD": "cad", "NZD": "nzd", "SGD": "sgd", "HKD": "hkd", "KRW": "krw",
    "MXN": "mxn", "BRL": "brl", "ZAR": "zar", "SEK": "sek", "NOK": "nok", "DKK": "dkk", "PLN": "pln",
}  # fmt: skip
"""Code -> dimension. A code may follow a number or precede it. Currencies are not converted."""


def _measure(dimension: str, factor: str) -> Measure:
    parts = (part.partition("^") for part in dimension.split())
    return Measure(tuple((name, int(power or 1)) for name, _, power in parts), _F(factor))


def _metric(symbol: str, words: str, factor: str, dimension: str) -> dict[str, Measure]:
    table = {}
    for short, (long, scale) in PREFIXES.items():
        if short not in _EVERYDAY or symbol in ("m", "g", "L", "l", "Pa"):
            size = _measure(dimension, factor)
            measure = size._replace(factor=size.factor * _F(scale))
            table[short + symbol] = measure
            for word in words.split():
                table[long + word] = table[f"{long}{word}s"] = measure
    return table


def _table() -> dict[str, Measure]:
    table: dict[str, Measure] = {}
    for symbol, definition in _METRIC.items():
        table |= _metric(symbol, *definition)
    for dimension, names in _OTHER.items():
        for spellings, factor in names.items():
            table |= dict.fromkeys(spellings.split(), _measure(dimension, factor))
    table |= {code: _measure(dimension, "1") for code, dimension in CURRENCIES.items()}
    for name in ("米", "厘米", "千米"):
        size = table[name].factor
        table[f"平方{name}"] = Measure((("length", 2),), size**2)
        table[f"立方{name}"] = Measure((("length", 3),), size**3)
    return table


UNITS = _table()
"""Spelling -> measure. Compounds (m/s, cm^2) are products in the tree."""
