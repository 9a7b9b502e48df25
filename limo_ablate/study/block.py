"""A block of a study: its axes, and the design that says which combinations run (docs/studies.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from limo_ablate.core.errors import UserError
from limo_ablate.core.overrides import parse_overrides
from limo_ablate.study.axes import Levels, check_axes, check_condition, check_no_seed, factors, keys
from limo_ablate.study.choices import DESIGNS, PRUNERS, SAMPLERS

LONGEST_NAME = 100
MOST_SEEDS = 10_000
"""Most characters of the name of a study or of a block, which are parts of names of folders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What a search maximizes or minimizes."""

    score: str
    """A benchmark or a group of it (its accuracy: `mini`, `mini/hard`), one of its other scores
    (`mini.tokens`), or another number of metrics.json: `train.dev_loss`, `train.tokens`, `total_seconds`."""
    direction: Literal["maximize", "minimize"] = "maximize"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """When a trial of a search is ended early, based on its scores on the problems answered so far."""

    rule: Annotated[str, PRUNERS]
    """`median`: worse than the median of the earlier trials on as many problems; `wilcoxon`: worse than the
    best trial on the same problems, by a signed-rank test."""
    p: float = 0.01
    """`wilcoxon`: p-value below which a trial is ended."""
    start: int = 30
    """Number of problems before which no trial is ended."""
    every: int = 15
    """Number of problems between two checks."""
    trials: int = 4
    """`median`: number of finished trials before which none is ended."""

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
    """Number of trials of each search."""
    score: str
    """What decides which trial is best: `train.dev_loss`, or a benchmark that the study does not report."""
    direction: Literal["maximize", "minimize"] = "maximize"
    sampler: Annotated[str, SAMPLERS] = "tpe"

    def __post_init__(self) -> None:
        check_axes(self.axes, "tune", ranges=True)
        if self.n < 1 or not self.axes:
            raise UserError(f"tune: n={self.n} must be 1 or more, and axes name what is tuned")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Axes, and the design that says which combinations of their levels run."""

    name: str
    axes: dict[str, Levels]
    """Override key -> its levels; several keys, separated by commas, vary together."""
    design: Annotated[str, DESIGNS] = "factorial"
    base: dict[str, Any] | None = None
    """`ofat`: the level of every axis while another one varies."""
    resolution: int | None = None
    """`fractional`: 3 (main effects are aliased with two-factor interactions), 4, 5."""
    n: int | None = None
    """`random`, `optuna`: number of points, all of which run under each seed."""
    draw: int | None = None
    """`random`: seed of the points; another number draws other points; null is 0."""
    sampler: Annotated[str, SAMPLERS] | None = None
    """`optuna`: what proposes the points; null is tpe."""
    population: int | None = None
    """`nsga2`: number of trials in a generation; null is a fifth of n."""
    objectives: tuple[Objective, ...] | None = None
    """`optuna`: one objective; several for nsga2, gp, tpe."""
    pruner: Pruning | None = None
    """`optuna`: ends trials early; null: none are."""
    when: dict[str, dict[str, Any]] | None = None
    """Axis -> the levels of earlier axes (one, or a list) at which the axis applies."""
    exclude: tuple[dict[str, Any], ...] = ()
    """Points to leave out: those with all these levels."""
    seeds: tuple[int, ...] | None = None
    """Seeds of this block; null: the study's."""
    tune: Tune | None = None
    overrides: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        where = f"block '{self.name}'"
        check_axes(self.axes, where, ranges=DESIGNS.load(self.design).ranges)
        if not 0 < len(self.name) <= LONGEST_NAME:
            raise UserError(
                f"{where}: its name has {len(self.name)} characters, and must have 1 to {LONGEST_NAME}"
            )
        for given in parse_overrides(self.overrides):
            check_fixed(given.key, given.swept, where)
            if (key := given.key.lstrip("+~")) in self.factors():
                raise UserError(f"{where}: overrides: {given.text}: {key} is an axis, whose levels hold")
        self._check_design(where)
        self._check_conditions(where)
        if self.seeds is not None and not self.seeds:
            raise UserError(f"{where}: seeds is empty; leave it out for the study's")
        check_seeds(self.seeds or (), where)
        if self.tune:
            self._check_tune(self.tune, where)

    @property
    def adaptive(self) -> bool:
        """Whether its trials are proposed one after the other, from the results of earlier ones."""
        return self.design == "optuna" or self.tune is not None

    def factors(self) -> dict[str, tuple[Any, ...]]:
        """Override key -> its levels, with keys that vary together listed apart; none for a range."""
        return factors(self.axes)

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
            raise UserError(f"{where}: when and exclude would unbalance a fractional design; remove them")

    def _check_search(self, where: str) -> None:
        if not self.axes:
            raise UserError(f"{where}: design: optuna needs axes to search")
        if self.pruner and not (len(self.objectives or ()) == 1 and _is_accuracy(self.objectives)):
            raise UserError(
                f"{where}: pruner compares answers, so it needs exactly one objective, the accuracy on a "
                "benchmark or a group of it: [{score: mini, direction: maximize}]"
            )
        if self.population is not None and (self.sampler != "nsga2" or self.population < 2):
            raise UserError(
                f"{where}: population={self.population} belongs to sampler: nsga2, and must be 2 or more"
            )
        if self.tune:
            raise UserError(
                f"{where}: tune needs a block whose points are known beforehand; this one is a search"
            )

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
                raise UserError(f"{where}: {key} is both an axis and tuned; it can only be one of them")


def _is_accuracy(objectives: tuple[Objective, ...] | None) -> bool:
    return all("." not in one.score and one.direction == "maximize" for one in objectives or ())


def check_fixed(key: str, swept: bool, where: str) -> None:
    """Raises UserError for an override that varies something."""
    check_no_seed(key.lstrip("+~"), where)
    if swept:
        raise UserError(f"{where}: overrides.{key} has several values; what varies belongs in axes")


def check_seeds(seeds: Sequence[int], where: str) -> None:
    """Raises UserError for a seed that is listed twice, which would not be a replicate."""
    if len(seeds) > MOST_SEEDS:
        raise UserError(f"{where}: {len(seeds):,} seeds; at most {MOST_SEEDS:,} are run")
    if (twice := next((seed for seed, count in Counter(seeds).items() if count > 1), None)) is not None:
        raise UserError(f"{where}: seeds={list(seeds)}: {twice} is listed twice")
