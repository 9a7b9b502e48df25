"""What each cell came to and what its training cost."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from limo_ablate.analysis.summary import summary
from limo_ablate.analysis.trials import Trial, resolved
from limo_ablate.core.hardware import HardwareConfig, device_count
from limo_ablate.core.typed import from_dict
from limo_ablate.report.health.groups import APART
from limo_ablate.report.load import StudyView

HOUR, MINUTES = 3600.0, 600.0
"""Seconds, and how many of them are given in hours."""


@dataclass(frozen=True, slots=True)
class Cost:
    """A column of `costs`, as it is called."""

    column: str
    title: str


def costs(view: StudyView) -> tuple[pl.DataFrame, list[Cost]]:
    """A row for each counted cell, on the study's main score; and the costs that differ between them.

    Columns: the study's keys, cell (text), mean, seed_error, low, high, seeds, and means over seeds of
    tokens (trained), time (of training, times devices), parameters; null of an untrained base.
    """
    own = {trial.name: trial for trial in view.counted}
    rows = view.table.filter(pl.col("trial").is_in(list(own)), pl.col("score") == view.scores[0])
    times = [_devices(own[name]) for name in rows["trial"]]
    rows = rows.with_columns(time=pl.col("trained_seconds") * pl.Series(times, dtype=pl.Float64))
    spent = rows.group_by(view.keys, maintain_order=True).agg(
        tokens=pl.col("trained_tokens").mean(),
        time=pl.col("time").mean(),
        parameters=pl.col("parameters").mean(),
    )
    means = summary(rows.drop("time"), view.answers, view.keys).drop("tokens")
    cells = means.join(spent, on=view.keys, how="left", nulls_equal=True, maintain_order="left")
    longest = max(cells["time"].drop_nulls().to_list(), default=0.0)
    unit, word = (HOUR, "hours") if longest >= MINUTES else (1.0, "seconds")
    texts = [
        APART.join(part for part in view.levels(row) if part != "–") for row in cells.iter_rows(named=True)
    ]
    cells = cells.with_columns(pl.col("time") / unit, cell=pl.Series(texts, dtype=pl.String))
    trained = cells.filter(pl.col("tokens").is_not_null())
    kinds = [
        Cost("tokens", "trained tokens"),
        Cost("time", f"{_device(view)}-{word} of training"),
        Cost("parameters", "parameters"),
    ]
    return cells, [kind for kind in kinds if trained[kind.column].n_unique() > 1]


def _devices(trial: Trial) -> int:
    return device_count(from_dict(HardwareConfig, resolved(trial.folder)["hardware"], "hardware"))


def _device(view: StudyView) -> str:
    """What the trials ran on."""
    kinds = {resolved(trial.folder)["hardware"]["device"] for trial in view.counted}
    return {frozenset({"cuda"}): "GPU", frozenset({"cpu"}): "core"}.get(frozenset(kinds), "device")
