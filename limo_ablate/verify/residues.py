"""Evaluation modulo a prime, which decides identities of rational functions."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from limo_ablate.verify.algebra import Algebra, Undefined, Unsupported
from limo_ablate.verify.rational import sized


class Residues:
    """Arithmetic modulo a prime, for rational functions: equal residues at random points prove an identity.

    The prime is 1 mod 4, so that i has a value; pi and e are treated as letters. A nonzero rational function
    of degree d vanishes at a random point with probability at most d/p (Schwartz 1980, Zippel 1979).
    """

    PRIME = 2305843009213693921
    """The largest prime below 2^61 that is 1 mod 4."""
    ROOT_OF_MINUS_ONE = 583529827753931384

    def __init__(self, values: Mapping[str, int]) -> None:
        self.values = values

    def number(self, value: Fraction) -> tuple[int, Fraction | None]:
        return value.numerator * self._inverse(value.denominator) % self.PRIME, value

    def constant(self, name: str) -> tuple[int, None]:
        if name == "i":
            return self.ROOT_OF_MINUS_ONE, None
        if name == "inf":
            raise Unsupported(name)
        return self.values["\\" + name], None

    def symbol(self, name: str) -> tuple[int, None]:
        if name not in self.values:
            raise Unsupported(name)
        return self.values[name], None

    def add(self, a: Any, b: Any) -> tuple[int, Fraction | None]:
        exact = a[1] + b[1] if a[1] is not None and b[1] is not None else None
        return (a[0] + b[0]) % self.PRIME, exact

    def mul(self, a: Any, b: Any) -> tuple[int, Fraction | None]:
        exact = sized(a[1] * b[1]) if a[1] is not None and b[1] is not None else None
        return a[0] * b[0] % self.PRIME, exact

    def power(self, a: Any, b: Any) -> tuple[int, None]:
        if b[1] is None or b[1].denominator != 1:
            raise Unsupported("power")
        exponent = int(b[1])
        if exponent.bit_length() > 64:
            raise Unsupported("a huge power")
        return pow(a[0] if exponent >= 0 else self._inverse(a[0]), abs(exponent), self.PRIME), None

    def root(self, a: Any, exponent: Fraction) -> Any:
        raise Unsupported("root")

    def call(self, name: str, args: list[Any]) -> Any:
        raise Unsupported(name)

    def bind(self, name: str, value: int) -> Algebra:
        raise Unsupported("sum")

    def _inverse(self, value: int) -> int:
        if value % self.PRIME == 0:
            raise Undefined("division by zero")
        return pow(value, -1, self.PRIME)
