"""Units of measure, each with its dimension and its exact factor to the dimension's base unit."""

from __future__ import annotations

from fractions import Fraction

_F = Fraction


def _metric(name: str, words: str, dimension: str, scale: str) -> dict[str, tuple[str, Fraction]]:
    """A unit with its metric prefixes; `scale` gives the base unit in terms of the dimension's."""
    prefixes = {"": ("", "1"), "k": ("kilo", "1000"), "c": ("centi", "1/100"), "m": ("milli", "1/1000"),
                "n": ("nano", "1e-9"), "d": ("deci", "1/10"), "M": ("mega", "1e6"), "G": ("giga",
                "1e9")}  # fmt: skip
    table = {}
    for short, (long, factor) in prefixes.items():
        value = (dimension, _F(factor) * _F(scale))
        table[short + name] = value
        for word in words.split():
            table[long + word] = value
    return table


_LENGTH = {"inch": "127/5000", "inches": "127/5000", "foot": "381/1250", "feet": "381/1250", "ft": "381/1250",
           "yard": "1143/1250", "yards": "1143/1250", "yd": "1143/1250", "mile": "201168/125",
           "miles": "201168/125",
           "mi": "201168/125", "in": "127/5000", "cms": "1/100"}  # fmt: skip
_TIME = {"s": "1", "sec": "1", "secs": "1", "second": "1", "seconds": "1", "ms": "1/1000", "min": "60",
         "mins": "60",
         "minute": "60", "minutes": "60", "h": "3600", "hr": "3600", "hrs": "3600", "hour": "3600",
         "hours": "3600",
         "day": "86400", "days": "86400", "week": "604800", "weeks": "604800"}  # fmt: skip
_MASS = {"lb": "45359237/100000", "lbs": "45359237/100000", "pound": "45359237/100000",
         "pounds": "45359237/100000",
         "oz": "45359237/1600000", "ounce": "45359237/1600000", "ounces": "45359237/1600000",
         "ton": "1000000",
         "tons": "1000000", "tonne": "1000000", "tonnes": "1000000"}  # fmt: skip
_VOLUME = {"gallon": "473176473/125000", "gallons": "473176473/125000", "quart": "473176473/500000",
           "quarts": "473176473/500000", "pint": "473176473/1000000",
           "pints": "473176473/1000000"}  # fmt: skip
CURRENCIES = {
    "USD": "dollar", "EUR": "euro", "GBP": "gbp", "JPY": "yen", "CNY": "yuan", "RMB": "yuan", "CHF": "franc",
    "INR": "rupee", "AUD": "aud", "CAD": "cad", "NZD": "nzd", "SGD": "sgd", "HKD": "hkd", "KRW": "krw",
    "MXN": "mxn", "BRL": "brl", "ZAR": "zar", "SEK": "sek", "NOK": "nok", "DKK": "dkk", "PLN": "pln",
}  # fmt: skip
"""Code -> dimension. A code may follow a number or precede it. Currencies are not converted."""
_OTHER = {
    **{code: (dimension, "1") for code, dimension in CURRENCIES.items()},
    "dollar": ("dollar", "1"), "dollars": ("dollar", "1"), "usd": ("dollar", "1"), "eur": ("euro", "1"),
    "cent": ("dollar", "1/100"), "cents": ("dollar", "1/100"), "euro": ("euro", "1"), "euros": ("euro", "1"),
    "gbp": ("gbp", "1"), "yen": ("yen", "1"), "Yen": ("yen", "1"), "yuan": ("yuan", "1"),
    "rupee": ("rupee", "1"), "rupees": ("rupee", "1"),
    "rad": ("angle", "1"), "radian": ("angle", "1"), "radians": ("angle", "1"),
    "month": ("month", "1"), "months": ("month", "1"), "year": ("month", "12"), "years": ("month", "12"),
    "yr": ("month", "12"), "yrs": ("month", "12"), "ohm": ("ohm", "1"), "ohms": ("ohm", "1"),
    "K": ("kelvin", "1"), "kelvin": ("kelvin", "1"),
    "celsius": ("celsius", "1"), "fahrenheit": ("fahrenheit", "1"),
    "元": ("yuan", "1"), "厘米": ("length", "1/100"), "米": ("length", "1"), "千米": ("length", "1000"),
    "公里": ("length", "1000"), "千克": ("mass", "1000"), "公斤": ("mass", "1000"), "克": ("mass", "1"),
    "小时": ("time", "3600"), "分钟": ("time", "60"), "秒": ("time", "1"), "天": ("time", "86400"),
}  # fmt: skip

UNITS: dict[str, tuple[str, Fraction]] = {
    **_metric("m", "meter meters metre metres", "length", "1"),
    **_metric("g", "gram grams", "mass", "1"),
    **_metric("L", "liter liters litre litres", "volume", "1"),
    **_metric("l", "", "volume", "1"),
    **_metric("W", "watt watts", "power", "1"),
    **_metric("J", "joule joules", "energy", "1"),
    **_metric("N", "newton newtons", "force", "1"),
    **_metric("V", "volt volts", "voltage", "1"),
    **_metric("Hz", "hertz", "frequency", "1"),
    **_metric("Pa", "pascal pascals", "pressure", "1"),
    **_metric("eV", "", "electronvolt", "1"),
    **_metric("A", "ampere amperes", "current", "1"),
    **_metric("mol", "mole moles", "amount", "1"),
    **_metric("C", "coulomb coulombs", "charge", "1"),
    **{name: ("length", _F(value)) for name, value in _LENGTH.items()},
    **{name: ("time", _F(value)) for name, value in _TIME.items()},
    **{name: ("mass", _F(value)) for name, value in _MASS.items()},
    **{name: ("volume", _F(value)) for name, value in _VOLUME.items()},
    **{name: (dimension, _F(value)) for name, (dimension, value) in _OTHER.items()},
}
"""Spelling -> (dimension, factor). Compounds (m/s, cm^2) are products in the tree."""

SPEED = {"mph": ("mile", "hour"), "kph": ("kilometer", "hour"), "kmh": ("kilometer", "hour")}
