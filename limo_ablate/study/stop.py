"""When a study stops early: planned looks at its primary contrasts, after each of which seeds may be added.

seeds: [0, 1, 2]
stop: {when: decided, looks: [3, 5, 7], spending: obrien_fleming, max_seeds: 10}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from limo_ablate.core.errors import UserError

LEAST = 3
"""Fewest seeds of a look: with two, one degree of freedom decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Stops adding seeds once every primary contrast is decided: a difference, equivalence, or futility."""

    when: Literal["decided"] = "decided"
    looks: tuple[int, ...] | int
    """Numbers of seeds after which the contrasts are looked at, besides `max_seeds`; or how many looks there
    are in all, evenly spaced."""
    spending: Literal["obrien_fleming", "pocock"] = "obrien_fleming"
    """How alpha is spent over the looks (Lan and DeMets 1983): hardly any at first, or evenly."""
    max_seeds: int

    def resolved(self, seeds: int) -> tuple[int, ...]:
        """The numbers of seeds at each look, the last `max_seeds`; `seeds`: number of those declared.

        Raises UserError.
        """
        if isinstance(self.looks, int):
            if not 2 <= self.looks <= self.max_seeds - seeds + 1:
                raise UserError(
                    f"stop.looks={self.looks}: from {seeds} to max_seeds={self.max_seeds} there can be 2 to "
                    f"{max(2, self.max_seeds - seeds + 1)} looks"
                )
            width = (self.max_seeds - seeds) / (self.looks - 1)
            looks = tuple(round(seeds + place * width) for place in range(self.looks))
        else:
            looks = tuple(sorted({*self.looks, self.max_seeds}))
        if len(looks) < 2 or looks[0] < LEAST or looks[-1] > self.max_seeds:
            raise UserError(
                f"stop.looks={list(looks)}: needs a look before max_seeds={self.max_seeds}, each of {LEAST} "
                "seeds or more"
            )
        return looks


def planned(stop: Stop) -> tuple[int, ...]:
    """The numbers of seeds at each look, which a study has written out."""
    assert not isinstance(stop.looks, int)
    return stop.looks
