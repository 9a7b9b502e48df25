"""Text and facts of the page: headline numbers, findings, configuration, provenance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from limo_ablate.analysis.run_differences import differing
from limo_ablate.analysis.trials import Trial
from limo_ablate.report.figure_data import FigureData
from limo_ablate.report.labels import axis, duration, level, percent, plus_minus
from limo_ablate.report.methods.protocol import by_benchmark, decoding
from limo_ablate.report.methods.settings import Settings
from limo_ablate.report.study_view import StudyView

METHOD = {
    "Data": "data.name",
    "Difficulty by": "data.difficulty.measure",
    "Correctness of solutions": "select.correctness",
    "Contamination gate": "select.contamination.policy",
    "Chain score": "select.score.name",
    "Selection rule": "select.order",
    "Token budget": "select.tokens",
    "Epochs": "train.epochs",
    "Steps": "train.steps",
    "Tokens": "train.tokens",
    "Learning rate": "train.learning_rate",
    "Schedule": "train.schedule",
    "Global batch size": "train.global_batch_size",
    "Length limit of an example (tokens)": "train.max_length",
    "LoRA": "train.lora",
    "Hardware": "hardware.name",
    "Mixed precision": "hardware.precision",
}
"""Label on the page -> configuration key."""
NAMES_SHOWN = 6
"""Number of stale trials that are named."""


def glance(view: StudyView) -> list[tuple[str, str]]:
    """(number, label) of the headline tiles."""
    seconds = sum((t.metrics or {})["total_seconds"] for t in view.done)
    tiles = [(f"{len(view.done)} of {len(view.trials)}", "trials finished")]
    if view.failed:
        tiles.append((str(len(view.failed)), "failed"))
    if left_out := sum(bool(trial.stale) and not trial.metrics for trial in view.trials):
        tiles.append((str(left_out), "stale, left out"))
    tiles.append((str(len(view.study.seeds)), "seeds"))
    if view.done:
        cells = view.cells.filter(pl.col("score") == view.scores[0])
        best = cells.sort("mean").row(-1, named=True)
        where = ", ".join(text for text in view.levels(best) if text != "–")
        interval = f"95 %: {percent(best['low'], 0)} to {percent(best['high'], 0)}"
        tiles.insert(1, (str(cells.height), "cells"))
        tiles.append(
            (
                f"{percent(best['mean'])} %",
                f"best on {view.scores[0]} ({interval}): {where}",
            )
        )
    return [*tiles, (duration(seconds), "of machine time")]


def warnings(view: StudyView) -> list[str]:
    """Which results are of other inputs than those of now, and whether they are shown; differing versions."""
    lines = []
    for used in (False, True):
        stale = [trial for trial in view.trials if trial.stale and bool(trial.metrics) == used]
        for why, own in names_by_change(stale).items():
            names = ", ".join(own[:NAMES_SHOWN]) + (", ..." if len(own) > NAMES_SHOWN else "")
            shown = "shown, as no result is newer" if used else "in no table and no figure"
            lines.append(f"{len(own)} stale result{'s' * (len(own) > 1)}, {shown}: {why} ({names}).")
    if mixed := differing(view.done):
        lines.append(f"The trials ran with different versions: {'; '.join(mixed)}.")
    return lines


def names_by_change(stale: Sequence[Trial]) -> dict[str, list[str]]:
    """What has changed -> names of the trials whose results it makes stale."""
    found: dict[str, list[str]] = {}
    for trial in stale:
        found.setdefault(", ".join(trial.stale), []).append(trial.name)
    return found


def finding(data: FigureData) -> str:
    """The figure's result in a sentence: where its best line starts and ends, and where the others end."""
    if data.scale == "category":
        ranked = data.points.sort("mean", descending=True)
        several = len(data.lines) > 1
        ranking = [
            f"{row['line']}, {row['x']}: {_percent(row)}" if several else f"{row['x']}: {_percent(row)}"
            for row in ranked.iter_rows(named=True)
        ]
        return "; ".join(ranking if len(ranking) <= 5 else [*ranking[:3], "…", ranking[-1]]) + "."
    ends = data.points.filter(pl.col("line").is_in(data.lines)).sort("x")
    last = ends.group_by("line", maintain_order=True).last().sort("mean", descending=True)
    best = last.row(0, named=True)
    first = ends.filter(pl.col("line") == best["line"]).row(0, named=True)
    start, end = (f"{_percent(row)} at {level(row['x'], data.figure.x)}" for row in (first, best))
    others = [f"{row['line']} to {_percent(row)}" for row in last[1:].iter_rows(named=True)]
    base = data.base.filter(~pl.col("line").is_in(data.lines)).iter_rows(named=True)
    others += [f"{row['line']}: {percent(row['mean'])} %" for row in base]
    return f"{best['line']} goes from {start} to {end} {axis(data.figure.x)}" + "; ".join(["", *others]) + "."


def _percent(row: dict[str, Any]) -> str:
    return f"{plus_minus(row['mean'], row['stderr'])} %"


def recipe(view: StudyView) -> list[tuple[str, str]]:
    """(label, value) of the configuration; `varied` for what differs between trials."""
    settings = Settings(view.done)
    rows = []
    for name, key in METHOD.items():
        values = settings.levels(key)
        if values != [None]:
            rows.append((name, "varied" if len(values) > 1 else str(values[0])))
    return [
        *rows,
        *(
            (f"Benchmark {name}", f"{decoding(name, own)}{own.share(settings)}")
            for name, own in by_benchmark(settings).items()
        ),
    ]


def provenance(view: StudyView) -> list[tuple[str, str]]:
    """(label, value) over all trials: commits, versions, hardware, dates."""
    facts = view.records
    commits = {_commit(fact["git"]) for fact in facts}
    started = sorted(fact["started"] for fact in facts)
    versions = ", ".join(f"{name} {version}" for name, version in facts[0]["versions"].items() if version)
    return [
        ("Commit", ", ".join(sorted(commits))),
        ("Started", started[0] if started[0] == started[-1] else f"{started[0]} to {started[-1]}"),
        ("Machine", "; ".join(view.machines)),
        ("Versions of the first trial", versions),
    ]


def _commit(git: dict[str, Any]) -> str:
    if git["commit"] is None:
        return "not in a git repository"
    return str(git["commit"])[:12] + (" with uncommitted changes (diff.patch)" if git["dirty"] else "")
