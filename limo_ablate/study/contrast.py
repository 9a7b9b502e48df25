"""The comparisons that a study is made for, declared before it runs. Imports nothing heavy."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Literal, TypeVar

from limo_ablate.core.errors import UserError
from limo_ablate.study.axes import alternatives
from limo_ablate.study.levels import hashable

SIZE, LIKELIHOOD = "select.size", "likelihood"
SAME_FORMAT = re.compile(r"select\.(size|tokens)|train\.(?!system_prompt$|response$|loss_on$).*")
"""Keys whose levels train on solutions of the same kind."""
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
    """In a study's file also lists of levels: a contrast for each pair, see `pairs`."""
    score: str | tuple[str, ...]
    """A benchmark or a group of it: `mini`, `mini/hard`. Of several, the mean of their accuracies. With
    `.finished` (`mini.finished`), the share of completions that end by themselves instead of the accuracy;
    with `.likelihood`, the log-likelihood of the gold solutions (`eval.likelihood`), in nats per token."""
    at: dict[str, Any] = field(default_factory=dict)
    """Other axes of the block: the level, or the list of levels, at which the two are compared. By default
    they are compared at all of them, and averaged; but never with untuned models (`select.size` 0), which
    only count where `at`, `factor` or `interaction` names that axis."""
    trend: bool = False
    """Compares by a line: the change from `a` to `b` of the least-squares line over the logarithm of the
    factor, through all levels between them."""
    interaction: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    """Another axis with two of its levels: how much larger the effect is at the second than at the first."""
    primary: bool = True
    """Whether it is confirmatory: alpha is shared with the study's other primary contrasts (Holm's first
    step)."""
    effect: float | None = None
    """The difference in accuracy (0..1) or in nats per token that it should detect; null: any."""
    margin: float | None = None
    """The difference, likewise, below which the arms count as equivalent; null: not tested."""
    accuracy: float = 0.5
    """Expected accuracy, used until finished trials show how much problems and trainings vary."""

    def pairs(self) -> list[Contrast]:
        """A contrast for each level of `b` against each of `a`, each pair once; itself where neither is a
        list."""
        if not isinstance(self.a, list | tuple) and not isinstance(self.b, list | tuple):
            return [self]
        both: list[tuple[Any, Any]] = []
        for a, b in product(alternatives(self.a), alternatives(self.b)):
            if a != b and (a, b) not in both and (b, a) not in both:
                both.append((a, b))
        return [replace(self, name=f"{self.name}: {b} against {a}", a=a, b=b) for a, b in both]

    @property
    def scores(self) -> tuple[str, ...]:
        return (self.score,) if isinstance(self.score, str) else self.score

    @property
    def benchmarks(self) -> list[str]:
        """The benchmark of each score."""
        return [measured(score)[0].partition("/")[0] for score in self.scores]

    @property
    def unit(self) -> Literal["share", "nats per token"]:
        """Of the effect, `effect` and `margin`."""
        return "nats per token" if measured(self.scores[0])[1] == LIKELIHOOD else "share"

    @property
    def score_name(self) -> str:
        """`mini`, or `mean of math, aime`."""
        return self.score if isinstance(self.score, str) else f"mean of {', '.join(self.score)}"

    @property
    def comparison(self) -> str:
        """`select.quality L5 against L1, at select.size=4 against 64`."""
        a, b = hashable(self.a), hashable(self.b)
        how = f"from {a} to {b} by a line" if self.trend else f"{b} against {a}"
        change = "".join(f", at {key}={two} against {one}" for key, (one, two) in self.interaction.items())
        return f"{self.factor} {how}{change}"

    def compares(self, level: Any) -> bool:
        """Whether the contrast compares this level of its factor."""
        if not self.trend:
            return bool(level in (self.a, self.b))
        low, high = sorted((self.a, self.b))
        return is_amount(level) and low <= level <= high

    def compared(self, cells: Iterable[Cell], levels: Callable[[Cell], Mapping[str, Any]]) -> list[Cell]:
        """Those of a block's cells (or trials) that are compared; `levels` gives a cell's levels by key."""
        wanted = {key: alternatives(level) for key, level in {**self.at, **self.interaction}.items()}
        found = [
            cell
            for cell in cells
            if self.compares(levels(cell).get(self.factor))
            and all(levels(cell).get(key) in known for key, known in wanted.items())
        ]
        tuned = [cell for cell in found if levels(cell).get(SIZE) != 0]
        return found if SIZE in (self.factor, *wanted) or not tuned else tuned

    def coefficients(self, levels: Sequence[Any]) -> dict[tuple[Any, ...], float]:
        """Weight in the effect of each (level of the factor, and of the axis of `interaction`).

        `levels` of the factor, those that are compared: of a trend, all that the line goes through.
        """
        ends: dict[tuple[Any, ...], float] = {(hashable(self.a),): -1.0, (hashable(self.b),): 1.0}
        if self.trend:
            logs = {level: math.log(level) for level in dict.fromkeys(levels)}
            mean = sum(logs.values()) / len(logs)
            squares = sum((x - mean) ** 2 for x in logs.values())
            change = (logs[self.b] - logs[self.a]) / squares
            ends = {(level,): (x - mean) * change for level, x in logs.items()}
        for one, two in self.interaction.values():
            ends = {
                (*key, hashable(level)): sign * weight
                for key, weight in ends.items()
                for level, sign in ((one, -1), (two, 1))
            }
        return ends

    def __post_init__(self) -> None:
        where = f"contrast '{self.name}'"
        if not self.pairs() or any(pair.a == pair.b for pair in self.pairs()):
            raise UserError(f"{where}: a and b are both {self.a}; compare two levels of {self.factor}")
        ends = (*alternatives(self.a), *alternatives(self.b))
        if self.trend and not all(map(is_amount, ends)):
            raise UserError(f"{where}: trend: a={self.a} and b={self.b} must be numbers above 0")
        if len(self.interaction) > 1 or any(one == two for one, two in self.interaction.values()):
            raise UserError(f"{where}: interaction names one other axis, with two levels: {{KEY: [A, B]}}")
        if len(set(self.scores)) < len(self.scores) or not self.scores:
            raise UserError(f"{where}: score={list(self.scores)} must name each benchmark or group once")
        names, measures = zip(*map(measured, self.scores), strict=True)
        if len({*measures}) > 1:
            raise UserError(f"{where}: score={list(self.scores)}: a mean is over scores of one kind")
        if part := next((name for name in names if "/" in name and name.partition("/")[0] in names), None):
            raise UserError(f"{where}: score={list(self.scores)}: {part} is a part of another score")
        for key, share in (("effect", self.effect), ("margin", self.margin)):
            if share is not None and not 0 < share <= (1 if self.unit == "share" else math.inf):
                most = " and at most 1" if self.unit == "share" else ""
                raise UserError(f"{where}: {key}={share:g} is a {self.unit}, above 0{most}; or null")
        if self.primary and self.unit != "share":
            self._check_alike(where)
        if not 0 < self.accuracy < 1:
            raise UserError(f"{where}: accuracy={self.accuracy:g} must lie between 0 and 1")

    def _check_alike(self, where: str) -> None:
        """Raises UserError for a primary contrast on likelihood between solutions of different kinds."""
        for key in (self.factor, *self.interaction):
            if not SAME_FORMAT.fullmatch(key):
                raise UserError(
                    f"{where}: score={self.score_name} is no primary outcome between levels of {key}: the "
                    "likelihood of the gold solutions tells how much a model's format is theirs, whether or "
                    "not its answers are right, so it compares only numbers of examples and settings of "
                    "train; set primary: false, or compare accuracy"
                )


def measured(score: str) -> tuple[str, str]:
    """(benchmark or group, column of `answers.items`) of a contrast's score: `mini.finished` -> mini,
    finished."""
    name, _, outcome = score.rpartition(".")
    return (name, outcome) if outcome in ("finished", LIKELIHOOD) and name else (score, "accuracy")


def is_accuracy(score: str) -> bool:
    return measured(score)[1] == "accuracy"


def is_amount(level: Any) -> bool:
    """Whether a level has a logarithm."""
    return isinstance(level, int | float) and not isinstance(level, bool) and level > 0
