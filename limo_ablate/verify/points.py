"""Points at which functions are compared, always the same for the same letters."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from limo_ablate.verify.nodes import Call, Node, Power, children, symbols
from limo_ablate.verify.rational import exact
from limo_ablate.verify.residues import Residues

_WHOLE_ONLY = frozenset(("factorial", "binomial", "gcd", "lcm", "mod"))


_WHOLE_NAMES = frozenset(["n", "m", "k", "j", "l", "N", "M", "K", "p", "q", "r", "s", "t"])


def residue(name: str, draw: int) -> int:
    """The same for the same letter and draw, and scattered over all residues."""
    seed = int.from_bytes(f"{name}/{draw}".encode(), "big")
    return pow(seed, 65537, Residues.PRIME)


def points(names: list[str], *, whole: bool) -> Iterator[dict[str, Fraction]]:
    """Eight points, always the same for the same letters: signs, orders and parities mixed."""
    for draw in range(8):
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
                    (sign if (k + draw) % 2 or draw < 5 else -sign) * (residue(name, draw) % 997 + 211), 503
                )
                for k, name in enumerate(order)
            }


def wants_whole(node: Node) -> bool:
    """Whether `node` speaks of integers: factorials, (-1)^n, floors of n/2."""
    for part in walk(node):
        match part:
            case Call(name=name) if name in _WHOLE_ONLY or name in ("sum", "product"):
                return True
            case Call(name="floor" | "ceil") if symbols(part) and symbols(part) <= _WHOLE_NAMES:
                return True
            case Power(base=base, exponent=exponent) if symbols(exponent) and (exact(base) or 1) < 0:
                return True
    return False


def walk(*nodes: Node) -> Iterator[Node]:
    for node in nodes:
        yield node
        yield from walk(*children(node))


def calls(*nodes: Node) -> Iterator[Call]:
    return (node for node in walk(*nodes) if isinstance(node, Call))
