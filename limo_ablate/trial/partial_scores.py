"""A model's score problem by problem during its evaluation, so that the pruner of a search can stop it early.

The problems of one benchmark are evaluated first, in chunks, in an order that is the same for all models.
The completions of a chunk are cached, so the pass over all benchmarks that follows generates only what is
missing, and the final scores are those of a trial that reports nothing. An engine in this process is loaded
once for all chunks; replicas in processes of their own are started again for each chunk.
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
from limo_ablate.model.generate.completions import GenerationRequest
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.evaluate.config import REPORTS, ReportConfig
from limo_ablate.trial.evaluate.passes import with_scores
from limo_ablate.trial.stages import Stages


def write_partial_scores(
    config: TrialConfig,
    stages: Stages,
    model: Artifact,
    requests: Mapping[str, GenerationRequest],
    reporting: ReportConfig,
    folder: Path,
) -> None:
    """Evaluates the problems of `reporting.score`, and appends `[step, score]` lines to reports.jsonl."""
    from limo_ablate.model.generate.open import open_once

    store, opener = config.paths.store(), open_once()
    name, _, group = reporting.score.partition("/")
    levels = (config.eval.benchmarks[name].groups or {})[group] if group else None
    graders, thinking = config.eval.graders(), config.eval.thinking
    done = 0
    with (folder / REPORTS).open("w") as file:
        for ids in _chunks(requests[name].problems, levels, reporting.every):
            chunk = _chunk(store, requests[name].problems, ids)
            request = {name: replace(requests[name], problems=chunk)}
            generated = stages.generate(store, model, request, config.eval, config.hardware, opener)
            scores = _scores(stages.grade(store, request, generated, graders, thinking)[name])
            for step, problem in enumerate(ids, start=done + 1):
                file.write(json.dumps([step, scores[problem]]) + "\n")
            file.flush()
            done += len(ids)


def _chunks(problems: Artifact, levels: tuple[float, float] | None, every: int) -> Iterator[list[str]]:
    """Ids of all problems with a level in the range, `every` at a time, always shuffled in the same way."""
    table = pl.read_parquet(problems.path / "problems.parquet", columns=["id", "level"])
    if levels is not None:
        table = table.filter(pl.col("level").is_between(*levels))
    ids = sorted(table["id"])
    random.Random(0).shuffle(ids)
    yield from (ids[start : start + every] for start in range(0, len(ids), every))


def _chunk(store: Store, problems: Artifact, ids: list[str]) -> Artifact:
    """A benchmark of the problems in `ids` only."""

    def make(folder: Path) -> None:
        table = pl.read_parquet(problems.path / "problems.parquet")
        table.filter(pl.col("id").is_in(ids)).write_parquet(folder / "problems.parquet")
        if (options := problems.path / OPTIONS).exists():
            shutil.copyfile(options, folder / OPTIONS)

    return store.build("chunk", {"problems": problems, "ids": ids}, make)


def _scores(verdicts: Artifact) -> dict[str, float]:
    """Problem -> mean score of its samples."""
    table = with_scores(pl.read_parquet(verdicts.path / "verdicts.parquet"))
    means = table.group_by("problem").agg(pl.col("score").mean())
    return dict(means.iter_rows())
