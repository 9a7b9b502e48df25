"""A model's scores problem by problem while it is evaluated, for the pruner of a search.

A benchmark's problems are evaluated ahead of everything else in chunks, in an order that is the same for all
models. What a chunk drew is kept sample by sample, so the pass over all benchmarks that follows generates
only what is missing: the scores are those of a trial that does not report. The engine is loaded once for all
chunks where it runs in this process, and for each chunk where its copies have processes of their own.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.data.pool.choices import FILE as OPTIONS
from limo_ablate.model.generate.completions import Asked
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.evaluate.config import REPORTS, ReportConfig
from limo_ablate.trial.stages import Stages


def report(
    config: TrialConfig,
    stages: Stages,
    model: Artifact,
    wanted: Mapping[str, Asked],
    how: ReportConfig,
    folder: Path,
) -> None:
    """Evaluates the problems of `how.score`, adding `[step, score]` lines to the trial's reports.jsonl."""
    from limo_ablate.model.generate.open import open_once

    store, opener = Store(config.paths.artifacts), open_once()
    name, _, group = how.score.partition("/")
    levels = (config.eval.benchmarks[name].groups or {})[group] if group else None
    graders = config.eval.graders()
    done = 0
    with (folder / REPORTS).open("w") as file:
        for ids in _chunks(wanted[name].problems, levels, how.every):
            chunk = _chunk(store, wanted[name].problems, ids)
            ask = {name: replace(wanted[name], problems=chunk)}
            graded = stages.graded(store, model, ask, config.eval, config.hardware, opener, graders)
            scores = _scores(graded[name][1])
            for step, problem in enumerate(ids, start=done + 1):
                file.write(json.dumps([step, scores[problem]]) + "\n")
            file.flush()
            done += len(ids)


def _chunks(problems: Artifact, levels: tuple[float, float] | None, every: int) -> Iterator[list[str]]:
    """Ids of all problems (with a level in the range), shuffled always alike, so many at a time."""
    table = pl.read_parquet(problems.path / "problems.parquet", columns=["id", "level"])
    if levels is not None:
        table = table.filter(pl.col("level").is_between(*levels))
    ids = sorted(table["id"])
    random.Random(0).shuffle(ids)
    yield from (ids[start : start + every] for start in range(0, len(ids), every))


def _chunk(store: Store, problems: Artifact, ids: list[str]) -> Artifact:
    """Some of the problems, as a benchmark is."""

    def make(folder: Path) -> None:
        table = pl.read_parquet(problems.path / "problems.parquet")
        table.filter(pl.col("id").is_in(ids)).write_parquet(folder / "problems.parquet")
        if (options := problems.path / OPTIONS).exists():
            shutil.copyfile(options, folder / OPTIONS)

    return store.build("chunk", 1, {"problems": problems, "ids": ids}, make)


def _scores(verdicts: Artifact) -> dict[str, float]:
    """Problem -> mean of its samples."""
    table = pl.read_parquet(verdicts.path / "verdicts.parquet", columns=["problem", "status"])
    means = table.group_by("problem").agg((pl.col("status") == "correct").mean())
    return dict(means.iter_rows())
