"""The looks that a sequential study has taken: `looks.json` in its folder, and the seeds they have released.

A look is written once, when all trials that were released for it have finished, and stands from then on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, TypedDict, TypeVar

import polars as pl

from limo_ablate.analysis.contrasts import NUMBERS, contrasts
from limo_ablate.analysis.power import ALPHA
from limo_ablate.analysis.sequential import nominal
from limo_ablate.analysis.trials import Trial
from limo_ablate.core.overrides import flat
from limo_ablate.core.reading import read_json
from limo_ablate.study.contrast import Contrast
from limo_ablate.study.design import Study
from limo_ablate.study.folder import LOOKS
from limo_ablate.study.stop import planned

UNDECIDED = "undecided"


class Looked(TypedDict):
    """A primary contrast at a look."""

    contrast: str
    effect: float | None
    low: float | None
    high: float | None
    p: float | None
    p_equivalent: float | None
    level: float
    """Below which p shows a difference at this look."""
    equivalence_level: float
    item_share: float | None
    """Share of the error's variance that is of problems, which no more seeds make smaller."""
    decision: str


class Look(TypedDict):
    seeds: int
    time: str
    contrasts: list[Looked]
    rule: dict[str, Any]
    """`stopping_rule` of the study at the time."""


def stopping_rule(study: Study) -> dict[str, Any]:
    """What decides the looks, in JSON types: `stop`, and the primary contrasts as they are tested."""
    primary = [asdict(contrast) for contrast in study.contrasts if contrast.primary]
    tested = {row.pop("name"): row for row in primary}
    for row in tested.values():
        del row["effect"], row["accuracy"]  # for `plan` only
    rule: dict[str, Any] = json.loads(
        json.dumps({"stop": study.stop and asdict(study.stop), "contrasts": tested})
    )
    return rule


def rule_changes(study: Study, taken: Sequence[Look]) -> list[str]:
    """`stop.looks [3, 5] → [3, 4, 5]`: what decides the looks and has changed since the first was taken."""
    if not taken:
        return []
    before, now = flat(taken[0]["rule"]), flat(stopping_rule(study))
    return [
        f"{key} {before.get(key, 'none')} → {now.get(key, 'none')}"
        for key in {**before, **now}
        if before.get(key) != now.get(key)
    ]


def read_looks(folder: Path) -> list[Look]:
    """The looks taken so far, in order. Raises UserError for a file that is not readable."""
    try:
        looks: list[Look] = read_json(folder / LOOKS, list[Look])
    except FileNotFoundError:
        return []
    return looks


def open_contrasts(study: Study, taken: Sequence[Look]) -> list[Contrast]:
    """The primary contrasts that the next look is for."""
    primary = [contrast for contrast in study.contrasts if contrast.primary]
    if not taken:
        return primary
    going_on = {row["contrast"] for row in taken[-1]["contrasts"] if row["decision"] == UNDECIDED}
    return [contrast for contrast in primary if contrast.name in going_on]


def last_look(contrast: str, taken: Sequence[Look]) -> tuple[int, Looked] | None:
    """Number of the last look (from 0) at a contrast, and what it showed."""
    for number in range(len(taken) - 1, -1, -1):
        for row in taken[number]["contrasts"]:
            if row["contrast"] == contrast:
                return number, row
    return None


def contrasts_at_looks(
    study: Study,
    declared: Sequence[Contrast],
    axes: Mapping[str, Sequence[str]],
    trials: Sequence[Trial],
    answers: pl.DataFrame,
    taken: Sequence[Look],
) -> pl.DataFrame:
    """`contrasts.contrasts` of a sequential study: each primary contrast with the seeds of its last look.

    Its interval is of 1 - the look's level (a repeated confidence interval), and p_adj is p times alpha over
    that level, so both account for the looks, and for the other primary contrasts by Bonferroni. Before the
    first look there is no result. Secondary contrasts have all seeds, and don't account for the looks.
    """
    assert study.stop is not None
    parts = []
    for contrast in declared:
        own, used, levels = last_look(contrast.name, taken), list(trials), (ALPHA, ALPHA)
        if contrast.primary and own:
            levels = nominal(study.stop, study.contrasts, own[0])
            seeds = study.seeds[: planned(study.stop)[own[0]]]
            used = [trial for trial in trials if trial.seed in seeds]
        rows = contrasts([contrast], axes, used, answers, max(levels[0], 1e-12))
        if contrast.primary and not own:
            note = f"its first look is after {planned(study.stop)[0]} seeds"
            empty = pl.lit(None, pl.Float64)
            rows = rows.with_columns(empty.alias(name) for name in NUMBERS)
            rows = rows.with_columns(conclusion=pl.lit(None, pl.String), note=pl.lit(note))
        elif contrast.primary:
            rows = _concluded(rows, levels)
        parts.append(rows)
    return pl.concat(parts) if parts else contrasts([], axes, trials, answers)


def _concluded(rows: pl.DataFrame, levels: tuple[float, float]) -> pl.DataFrame:
    different, equivalent = (max(level, 1e-12) for level in levels)
    p, p_equivalent = pl.col("p"), pl.col("p_equivalent")
    return rows.with_columns(
        p_adj=(p * ALPHA / different).clip(upper_bound=1),
        p_equivalent_adj=(p_equivalent * ALPHA / equivalent).clip(upper_bound=1),
        conclusion=pl.when(p.is_null())
        .then("conclusion")
        .when(p < different)
        .then(pl.lit("different"))
        .when(p_equivalent < equivalent)
        .then(pl.lit("equivalent"))
        .otherwise(pl.lit("unclear")),
    )


def released_seeds(study: Study, taken: Sequence[Look]) -> dict[str, tuple[int, ...]]:
    """Block -> the seeds that may run: those of the first look, and of later ones while a primary contrast of
    the block was undecided."""
    assert study.stop is not None
    looks, blocks = planned(study.stop), {one.name: one.block for one in study.contrasts}
    counts = {block.name: looks[0] for block in study.blocks}
    for number, look in enumerate(taken[: len(looks) - 1]):
        for row in look["contrasts"]:
            if row["decision"] == UNDECIDED and row["contrast"] in blocks:
                counts[blocks[row["contrast"]]] = looks[number + 1]
    return {block: study.seeds[:count] for block, count in counts.items()}


class Seeded(Protocol):
    """A trial, planned or read from disk."""

    @property
    def seed(self) -> int: ...
    @property
    def blocks(self) -> tuple[str, ...]: ...


Planned = TypeVar("Planned", bound=Seeded)


def released(trials: Iterable[Planned], study: Study, taken: Sequence[Look]) -> list[Planned]:
    """Those of the trials (with seed and blocks) that may run by now; all where the study has no `stop`."""
    if study.stop is None:
        return list(trials)
    seeds = released_seeds(study, taken)
    return [trial for trial in trials if any(trial.seed in seeds.get(block, ()) for block in trial.blocks)]
