"""The comparisons that a study is made for, declared before it runs. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from limo_ablate.core.errors import UserError

SIZE = "select.size"
Cell = TypeVar("Cell")


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
    at: dict[str, Any] = field(default_factory=dict)
    """Other axes of the block: the level, or the list of levels, at which the two are compared. By default
    they are compared at all of them, and averaged; but never with untuned models (`select.size` 0), which
    only count where `at` or `factor` names that axis."""
    primary: bool = True
    """Whether it is confirmatory: alpha is shared with the study's other primary contrasts (Holm's first
    step)."""
    effect: float | None = None
    """The difference in accuracy (0..1) that it should detect; null: any."""
    margin: float | None = None
    """The difference in accuracy (0..1) below which the arms count as equivalent; null: not tested."""
    accuracy: float = 0.5
    """Expected accuracy, used until finished trials show how much problems and trainings vary."""

    def compared(self, cells: Iterable[Cell], levels: Callable[[Cell], Mapping[str, Any]]) -> list[Cell]:
        """Those of a block's cells (or trials) that are compared; `levels` gives a cell's levels by key."""
        wanted = {key: self.levels_at(key) for key in self.at} | {self.factor: [self.a, self.b]}
        found = [
            cell for cell in cells if all(levels(cell).get(key) in known for key, known in wanted.items())
        ]
        tuned = [cell for cell in found if levels(cell).get(SIZE) != 0]
        return found if SIZE in wanted or not tuned else tuned

    def levels_at(self, key: str) -> list[Any]:
        """The levels of `at` of one axis."""
        level = self.at[key]
        return list(level) if isinstance(level, list | tuple) else [level]

    def __post_init__(self) -> None:
        where = f"contrast '{self.name}'"
        if self.a == self.b:
            raise UserError(f"{where}: a and b are both {self.a}; compare two levels of {self.factor}")
        for key, share in (("effect", self.effect), ("margin", self.margin)):
            if share is not None and not 0 < share <= 1:
                raise UserError(f"{where}: {key}={share:g} is a share, above 0 and at most 1; or null")
        if not 0 < self.accuracy < 1:
            raise UserError(f"{where}: accuracy={self.accuracy:g} must lie between 0 and 1")
