"""Scores of a training on its way (`eval.at`), from the weights that it kept; nothing is trained again.

`trajectory.parquet` in the trial's folder has the verdicts of all points, the last one's included.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from limo_ablate.core.artifacts import Artifact, digest_file
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.contamination import reported_items
from limo_ablate.trial.evaluate.metrics import Results, benchmark_scores
from limo_ablate.trial.scores import ByBenchmark, benchmark_requests, read_tables, with_clean
from limo_ablate.trial.stages import Stages

TRAJECTORY = "trajectory.parquet"


def score_trajectory(
    config: TrialConfig,
    stages: Stages,
    checkpoints: Mapping[int, Artifact],
    problems: ByBenchmark,
    folder: Path,
) -> dict[str, Any]:
    """Scores the weights after each step of `checkpoints`, which are not empty; writes `trajectory.parquet`.

    Returns the entry of metrics.json: for each point step, epoch, trained tokens and scores by the graders
    (not of judge, probe or a second pass), and the digest of the table. To be called once the last
    point's completions exist.
    """
    weights = checkpoints[max(checkpoints)]
    curve = pl.read_parquet(weights.path / "curve.parquet").select("step", "epoch", "tokens")
    flagged = reported_items(config, stages)
    points, tables = [], []
    for step, model in checkpoints.items():
        verdicts = {
            name: with_clean(table, name, flagged)
            for name, table in _verdicts(config, stages, model, problems).items()
        }
        scores: dict[str, Any] = {}
        for name in verdicts:
            benchmark = config.eval.benchmarks[name]
            items = None if flagged is None else flagged.get(name, set())
            scores |= benchmark_scores(name, Results(verdicts=verdicts[name]), benchmark.groups, items)
        points.append(curve.row(by_predicate=pl.col("step") == step, named=True) | {"scores": scores})
        tables += [
            table.with_columns(benchmark=pl.lit(name), step=pl.lit(step, pl.Int64))
            for name, table in verdicts.items()
        ]
    pl.concat(tables).write_parquet(folder / TRAJECTORY)
    return {"points": points, "verdicts": digest_file(folder / TRAJECTORY)}


def _verdicts(
    config: TrialConfig, stages: Stages, model: Artifact, problems: ByBenchmark
) -> dict[str, pl.DataFrame]:
    """Verdicts on each benchmark; seconds are added to those of the trial's stages, artifacts are not."""
    store, requests, own = config.paths.store(), benchmark_requests(config, problems), Stages()
    own.batch_sizes = stages.batch_sizes
    generated = own.generate(store, model, requests, config.eval, config.hardware)
    graded = own.grade(store, requests, generated, config.eval.graders(), config.eval.thinking)
    for name, seconds in own.seconds.items():
        stages.seconds[name] = round(stages.seconds.get(name, 0.0) + seconds, 3)
    return read_tables("verdicts", graded)
