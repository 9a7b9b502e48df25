"""The comparisons that a study is made for, declared before it runs. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from limo_ablate.core.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """A comparison that a study is made for: level `b` of a factor against level `a`, all else equal."""

    name: str
    block: str
    factor: str
    """Key of an axis of the block."""
    a: Any
    b: Any
    score: str
    """A benchmark or a group of it: `mini`, `mini/hard`."""
    primary: bool = True
    """Whether it is confirmatory: alpha is shared with the study's other primary contrasts (Holm's first
    step)."""
    effect: float | None = None
    """The difference in accuracy (0..1) that it should detect; null: any."""
    margin: float | None = None
    """The difference in accuracy (0..1) below which the arms count as equivalent; null: not tested."""
    accuracy: float = 0.5
    """Expected accuracy, used until finished trials show how much problems and trainings vary."""

    def __post_init__(self) -> None:
        where = f"contrast '{self.name}'"
        if self.a == self.b:
            raise UserError(f"{where}: a and b are both {self.a}; compare two levels of {self.factor}")
        for key, share in (("effect", self.effect), ("margin", self.margin)):
            if share is not None and not 0 < share <= 1:
                raise UserError(f"{where}: {key}={share:g} is a share, above 0 and at most 1; or null")
        if not 0 < self.accuracy < 1:
            raise UserError(f"{where}: accuracy={self.accuracy:g} must lie between 0 and 1")
