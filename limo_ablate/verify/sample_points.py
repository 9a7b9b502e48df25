"""Points at which functions are compared: always the same for the same letters."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from limo_ablate.verify.nodes import Call, Node, Power, symbols, walk
from limo_ablate.verify.rational import exact
from limo_ablate.verify.residues import Residues

_INTEGER_FUNCTIONS = frozenset(("factorial", "binomial", "gcd", "lcm", "mod"))


_INTEGER_LETTERS = frozenset(["n", "m", "k", "j", "l", "N", "M", "K", "p", "q", "r", "s", "t"])


def sample_residue(name: str, draw: int) -> int:
    """A pseudo-random residue for a letter and draw."""
    seed = int.from_bytes(f"{name}/{draw}".encode(), "big")
    return pow(seed, 65537, Residues.PRIME)


FIRST_DRAWS = 8
_SCALES = (Fraction(1, 4), Fraction(9), Fraction(1, 40), Fraction(70))


def sample_points(names: list[str], *, whole: bool) -> Iterator[dict[str, Fraction]]:
    """Points with mixed signs, orders and parities; integers if `whole`.

    After the first eight come smaller and larger ones, for functions whose domain has none of those.
    """
    for draw in range(FIRST_DRAWS):
        order = names if draw % 2 == 0 else names[::-1]
        if whole:
            yield {
                name: Fraction((3, 2, 4, 7, 5, 9, 6, 8)[draw] + (3 + draw % 3) * k)
                for k, name in enumerate(order)
            }
        else:
            sign = -1 if draw in (4, 5) else 1
            yield {
                name: Fraction(
                    (sign if (k + draw) % 2 or draw < 5 else -sign)
                    * (sample_residue(name, draw) % 997 + 211),
                    503,
                )
                for k, name in enumerate(order)
            }
    for scale in () if whole else _SCALES:
        for draw in range(4):
            yield {name: scale * Fraction(sample_residue(name, draw) % 997 + 211, 503) for name in names}


def needs_integers(node: Node) -> bool:
    """Whether the letters of `node` are integers, as in factorials, (-1)^n and floors of n/2."""
    for part in walk(node):
        match part:
            case Call(name=name) if name in _INTEGER_FUNCTIONS or name in ("sum", "product"):
                return True
            case Call(name="floor" | "ceil") if symbols(part) and symbols(part) <= _INTEGER_LETTERS:
                return True
            case Power(base=base, exponent=exponent) if symbols(exponent) and (exact(base) or 1) < 0:
                return True
    return False
