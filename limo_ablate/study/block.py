"""A block of a study: factors that are crossed with each other, by a design. docs/studies.md shows each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from limo_ablate.core.errors import UserError
from limo_ablate.core.overrides import parse_overrides
from limo_ablate.study.axes import Levels, Point, check_axes, check_condition, check_no_seed, factors, keys
from limo_ablate.study.choices import DESIGNS, PRUNERS, SAMPLERS
from limo_ablate.study.points import points


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What a search is to make large or small."""

    score: str
    """A benchmark or a group of it (its accuracy: `mini`, `mini/hard`), one of its other scores
    (`mini.tokens`), or another number of metrics.json: `train.dev_loss`, `train.tokens`, `total_seconds`."""
    direction: Literal["maximize", "minimize"] = "maximize"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """When a trial of a search is ended early, by its scores on the problems it has answered so far."""

    rule: Annotated[str, PRUNERS]
    """Worse than the median of the earlier trials on as many problems; or than the best one on the same
    problems, by a signed-rank test."""
    p: float = 0.01
    """`wilcoxon`: how sure the test must be."""
    start: int = 30
    """Problems before which no trial is ended."""
    every: int = 15
    """Problems that are evaluated between two looks."""
    trials: int = 4
    """`median`: finished trials before which none is ended."""

    def __post_init__(self) -> None:
        if not 0 < self.p < 1 or min(self.start, self.trials) < 0 or self.every < 1:
            raise UserError(
                f"pruner: p={self.p:g} must lie between 0 and 1, start={self.start} and trials={self.trials} "
                f"be 0 or more, every={self.every} 1 or more"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tune:
    """A search within each point of a block, under each seed: its best trial is the point's result."""

    axes: dict[str, Levels]
    n: int
    """Trials of each search."""
    score: str
    """What it goes by; better not what the study reports: `train.dev_loss`, or another benchmark."""
    direction: Literal["maximize", "minimize"] = "maximize"
    sampler: Annotated[str, SAMPLERS] = "tpe"

    def __post_init__(self) -> None:
        check_axes(self.axes, "tune", ranges=True)
        if self.n < 1 or not self.axes:
            raise UserError(f"tune: n={self.n} must be 1 or more, and axes name what is tuned")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Factors that are crossed with each other."""

    name: str
    axes: dict[str, Levels]
    """Override key -> its levels; several keys with commas between vary together."""
    design: Annotated[str, DESIGNS] = "factorial"
    base: dict[str, Any] | None = None
    """`ofat`: the level of every axis while another one varies."""
    resolution: int | None = None
    """`fractional`: 3 (main effects are aliased with interactions of two), 4, 5."""
    n: int | None = None
    """`random`, `optuna`: number of points; all of them under each seed."""
    draw: int | None = None
    """`random`: another number draws other points; null is 0."""
    sampler: Annotated[str, SAMPLERS] | None = None
    """`optuna`: what proposes; null is tpe."""
    population: int | None = None
    """`nsga2`: trials of a generation; null is a fifth of n."""
    objectives: tuple[Objective, ...] | None = None
    """`optuna`: one, or several for nsga2, gp, tpe."""
    pruner: Pruning | None = None
    """`optuna`: ends trials early; null never does."""
    when: dict[str, dict[str, Any]] | None = None
    """Axis -> levels of earlier axes (one, or a list) at which alone it is there."""
    exclude: tuple[dict[str, Any], ...] = ()
    """Points that are left out: those with all these levels."""
    seeds: tuple[int, ...] | None = None
    """Of this block; null: the study's."""
    tune: Tune | None = None
    overrides: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        where = f"block '{self.name}'"
        check_axes(self.axes, where, ranges=DESIGNS.load(self.design).ranges)
        for given in parse_overrides(self.overrides):
            fixed(given.key, given.swept, where)
        self._check_design(where)
        self._check_conditions(where)
        if self.seeds is not None and not self.seeds:
            raise UserError(f"{where}: seeds is empty; leave it out for the study's")
        if self.tune:
            self._check_tune(self.tune, where)

    @property
    def adaptive(self) -> bool:
        """Whether its trials are proposed one after the other, by what the earlier ones came to."""
        return self.design == "optuna" or self.tune is not None

    def factors(self) -> dict[str, tuple[Any, ...]]:
        """Override key -> its levels, pairs taken apart; none for a range."""
        return factors(self.axes)

    def points(self) -> list[Point]:
        """What is known beforehand: a level for each factor (of `optuna` nothing). Raises UserError."""
        return points(self)

    def _check_design(self, where: str) -> None:
        own, designs = DESIGNS.load(self.design), {name: DESIGNS.load(name) for name in DESIGNS}
        for key in dict.fromkeys(key for design in designs.values() for key in design.reads):
            if getattr(self, key) is not None and key not in own.reads:
                readers = [name for name, design in designs.items() if key in design.reads]
                raise UserError(
                    f"{where}: {key} belongs to design: {' and '.join(readers)}; this block is {self.design}"
                )
        for key, what in own.needs.items():
            if not getattr(self, key):
                raise UserError(f"{where}: design: {self.design} needs {key}, {what}")
        if self.n is not None and self.n < 1:
            raise UserError(f"{where}: n={self.n} must be 1 or more")
        if missing := [
            key for key in self.factors() if self.design == "ofat" and key not in (self.base or {})
        ]:
            raise UserError(
                f"{where}: design: ofat needs base.{', base.'.join(missing)}, the level it varies around"
            )
        if self.design == "fractional":
            self._check_two_levels(where)
        if self.design == "optuna":
            self._check_search(where)

    def _check_two_levels(self, where: str) -> None:
        for axis, levels in self.axes.items():
            if not (isinstance(levels, tuple) and len(levels) == 2):
                raise UserError(f"{where}: axes.{axis}: design: fractional takes two levels of each axis")
        if self.when or self.exclude:
            raise UserError(
                f"{where}: when and exclude would take a fractional design its balance; leave them"
            )

    def _check_search(self, where: str) -> None:
        if not self.axes:
            raise UserError(f"{where}: design: optuna needs axes to search")
        if self.pruner and not (len(self.objectives or ()) == 1 and _is_accuracy(self.objectives)):
            raise UserError(
                f"{where}: pruner looks at answers, so it goes with one objective, the accuracy on a "
                "benchmark or a group of it: [{score: mini, direction: maximize}]"
            )
        if self.population is not None and (self.sampler != "nsga2" or self.population < 2):
            raise UserError(
                f"{where}: population={self.population} belongs to sampler: nsga2, and is 2 or more"
            )
        if self.tune:
            raise UserError(f"{where}: tune goes into a block whose points are known; this one is a search")

    def _check_conditions(self, where: str) -> None:
        seen: dict[str, Levels] = {}
        when = self.when or {}
        if unknown := [axis for axis in when if axis not in self.axes]:
            raise UserError(f"{where}: when.{unknown[0]}: no such axis; axes: {', '.join(self.axes)}")
        for axis, levels in self.axes.items():
            if axis in when:
                check_condition(when[axis], seen, f"{where}: when.{axis} (of the axes before it)")
            seen[axis] = levels
        for number, left_out in enumerate(self.exclude):
            check_condition(left_out, self.axes, f"{where}: exclude[{number}]")

    def _check_tune(self, tune: Tune, where: str) -> None:
        for key in (key for axis in tune.axes for key in keys(axis)):
            if key in self.factors():
                raise UserError(f"{where}: {key} is an axis and tuned too; it can only be one of them")


def _is_accuracy(objectives: tuple[Objective, ...] | None) -> bool:
    return all("." not in one.score and one.direction == "maximize" for one in objectives or ())


def fixed(key: str, swept: bool, where: str) -> None:
    """Raises UserError for an override that varies something."""
    check_no_seed(key, where)
    if swept:
        raise UserError(f"{where}: overrides.{key} has several values; what varies belongs into axes")
