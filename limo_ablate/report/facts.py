"""Text and facts of the page: headline numbers, findings, configuration, provenance."""

from __future__ import annotations

import math
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
        tiles.insert(1, (str(cells.height), "cells"))
        chosen = (
            f"highest of {cells.height} cells on {view.scores[0]}" if cells.height > 1 else view.scores[0]
        )
        tiles.append((f"{percent(best['mean'])} %", f"{chosen}{_optimism(cells)}: {where}"))
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
    lines += [f"A seed that collapsed is averaged in: {line}." for line in collapsed(view.table, view.keys)]
    if mixed := differing(view.done):
        lines.append(f"The trials ran with different versions: {'; '.join(mixed)}.")
    return lines


def collapsed(table: pl.DataFrame, keys: Sequence[str]) -> list[str]:
    """Trials far below all other seeds of their cell on a whole benchmark, each with the numbers.

    Far below: less than half of the lowest of the others, of which there are at least two, and by more than
    four standard errors (over problems).
    """
    if table.is_empty():
        return []
    rows = table.filter(~pl.col("score").str.contains("/"), pl.col("stderr").is_not_nan())
    found = []
    for part in rows.partition_by([*keys, "score"], maintain_order=True):
        seeds = part.sort("accuracy")
        if seeds.height > 2:
            lowest, others = seeds.row(0, named=True), seeds[1:]["accuracy"].to_list()
            error = 4 * math.hypot(lowest["stderr"], seeds["stderr"][1])
            if lowest["accuracy"] < others[0] / 2 and others[0] - lowest["accuracy"] > error:
                found.append(
                    f"{lowest['trial']} has {percent(lowest['accuracy'])} % on {lowest['score']}, its cell's "
                    f"other seeds {percent(others[0])} to {percent(others[-1])} %"
                )
    return found


def _optimism(cells: pl.DataFrame) -> str:
    """By how many points the highest of many means is likely too high: what shrinking the means toward their
    average, by the share of their variance that is noise, takes from it (James and Stein 1961)."""
    means, errors = cells["mean"].to_numpy(), cells["stderr"].fill_null(0.0).to_numpy()
    if len(means) < 4:
        return ""
    noise, spread = float((errors**2).mean()), float(means.var(ddof=1))
    best = int(means.argmax())
    between = max(spread - noise, 0.0)
    kept = between / (between + errors[best] ** 2) if between + errors[best] ** 2 else 1.0
    excess = (1 - kept) * (means[best] - means.mean())
    return f" (being chosen, likely {percent(excess)} too high)" if excess >= 0.0005 else ""


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
