"""Facts of the page: headline numbers, problems, configuration, provenance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from limo_ablate.analysis.looks import rule_changes
from limo_ablate.analysis.run_differences import differing
from limo_ablate.analysis.trials import Trial
from limo_ablate.core.text import counted
from limo_ablate.data.pool.config import GENERATED
from limo_ablate.report.health.contamination import POLICY
from limo_ablate.report.labels import duration, percent, plus_minus
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
MANY = 0.05
"""Share of a cell's completions without an end, or without a verdict, from which it is a problem."""
SHARES = {
    "truncated": ("lengths", "completions cut at the token limit"),
    "undecided": ("scores", "undecided answers, which count as wrong"),
}
"""Share of a score -> section of the report that shows it, and what it is a share of."""


def glance(view: StudyView) -> list[tuple[str, str]]:
    """(number, label) of the headline tiles."""
    seconds = sum((t.metrics or {})["total_seconds"] for t in view.done)
    tiles = [(f"{len(view.done)} of {len(view.trials)}", "trials finished")]
    if view.failed:
        tiles.append((str(len(view.failed)), "failed"))
    if left_out := sum(bool(trial.stale) and not trial.metrics for trial in view.trials):
        tiles.append((str(left_out), "stale, left out"))
    seeds = len(view.study.seeds)
    tiles.append((str(seeds), "seed" if seeds == 1 else "seeds"))
    if view.done:
        cells = view.cells.filter(pl.col("score") == view.scores[0])
        best = cells.sort("mean").row(-1, named=True)
        where = view.cell_name(best)
        tiles.insert(1, (str(cells.height), "cell" if cells.height == 1 else "cells"))
        chosen = (
            f"highest of {cells.height} cells on {view.scores[0]}" if cells.height > 1 else view.scores[0]
        )
        tiles.append((f"{percent(best['mean'])} %", f"{chosen}{_optimism(cells)}: {where}"))
    return tiles if view.imported else [*tiles, (duration(seconds), "of machine time")]


def extremes(view: StudyView) -> str | None:
    """The highest and the lowest cell: what came out of a study without contrasts and figures."""
    if not view.done or view.study.contrasts or view.figures:
        return None
    cells = view.cells.filter(pl.col("score") == view.scores[0]).sort("mean", descending=True)
    named = [
        f"{plus_minus(row['mean'], row['stderr'])} %{f' ({where})' if (where := view.cell_name(row)) else ''}"
        for row in (cells.row(0, named=True), cells.row(-1, named=True))
    ]
    if cells.height == 1:
        return f"{named[0]} on {view.scores[0]}."
    return f"of {cells.height} cells on {view.scores[0]} the highest has {named[0]}, the lowest {named[1]}."


@dataclass(frozen=True, slots=True)
class Problem:
    """What a reader should know before the numbers."""

    text: str
    section: str | None = None
    """Id of the section that shows more."""


def problems(view: StudyView) -> list[Problem]:
    """Failed trials, results of other inputs than those of now, collapsed seeds, a stopping rule that was
    changed, differing versions, cells with many cut or undecided completions, a contamination gate that was
    off."""
    found = [Problem(line) for line in _stale(view)]
    if view.failed:
        count = counted(len(view.failed), "trial")
        found.append(Problem(f"{count} of {len(view.trials)} failed", "failures"))
    found += [
        Problem(f"a seed that collapsed is averaged in: {line}", "scores")
        for line in collapsed(view.table, view.keys)
    ]
    if changed := rule_changes(view.study, view.looks):
        text = f"what decides the looks has changed since the first was taken: {'; '.join(changed)}"
        found.append(Problem(f"{text}; the contrasts' errors do not hold", "claims"))
    if view.imported:
        return found + _unshared(view)
    if mixed := differing(view.done):
        found.append(Problem(f"the trials ran with different versions: {'; '.join(mixed)}"))
    if view.done:
        found += _high_shares(view)
        unchecked = all(trial.level(POLICY) == "none" for trial in view.done)
        if unchecked and any(trial.level("data.source") not in GENERATED for trial in view.done):
            found.append(Problem(f"pool and benchmarks were not compared ({POLICY}=none)", "contamination"))
    return found


def _unshared(view: StudyView) -> list[Problem]:
    """Benchmarks of which logs have different items: a contrast is on those that all of its own logs have."""
    trials = view.table["trial"].n_unique()
    items = view.answers.group_by("score", "problem", maintain_order=True).agg(pl.col("trial").n_unique())
    found = []
    for (score,), own in items.group_by("score", maintain_order=True):
        of_score = view.table.filter(pl.col("score") == score).height
        if common := own.height - own.filter(pl.col("trial") == min(of_score, trials)).height:
            text = (
                f"{score}: {common} of {own.height} problems are not in all logs; a cell or a contrast "
                "is over those that all of its own logs have"
            )
            found.append(Problem(text, "matrix"))
    return found


def _high_shares(view: StudyView) -> list[Problem]:
    cells = view.cells.filter(~pl.col("score").str.contains("/"))
    found = []
    for column, (section, what) in SHARES.items():
        if not (high := cells.filter(pl.col(column) > MANY).sort(column)).is_empty():
            most = high.row(-1, named=True)
            where, have = view.cell_name(most), "has" if high.height == 1 else "have"
            found.append(
                Problem(
                    f"{high.height} of {cells.height} cells {have} more than {100 * MANY:.0f} % {what}; "
                    f"most: {percent(most[column])} %{f' ({where})' if where else ''}",
                    section,
                )
            )
    return found


def _stale(view: StudyView) -> list[str]:
    """Which results are of other inputs than those of now, and whether they are shown."""
    lines = []
    for used in (False, True):
        stale = [trial for trial in view.trials if trial.stale and bool(trial.metrics) == used]
        for why, own in names_by_change(stale).items():
            names = ", ".join(own[:NAMES_SHOWN]) + (", ..." if len(own) > NAMES_SHOWN else "")
            shown = "shown, as no result is newer" if used else "in no table and no figure"
            lines.append(f"{len(own)} stale result{'s' * (len(own) > 1)}, {shown}: {why} ({names})")
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


def recipe(view: StudyView) -> list[tuple[str, str]]:
    """(label, value) of the configuration; `varied` for what differs between trials."""
    if view.imported:
        return []
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
    if view.imported:
        logs = sum(len((trial.metrics or {})["inputs"]["files"]) for trial in view.done)
        return [
            ("Imported from", f"{logs} logs of {view.imported.get('format')}, listed in trials/*/config.yaml")
        ]
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
