"""Difficulty as LIMO measures it (section 3.1): reference models try each problem, the verifier counts.

Stage after stage: a small model's few samples drop what is easy, a strong model's many samples give the
pass rate of what is left. They are generated as evaluation does it, so an interrupted stage goes on with the
samples that are missing.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import UserError
from limo_ablate.model.generate.completions import asked
from limo_ablate.model.train.base import base_model
from limo_ablate.trial.config import ReferenceStageConfig, TrialConfig
from limo_ablate.trial.stages import Stages

VERSION = 1
TRIED = ("problem", "stage", "samples", "correct", "undecided")


def pass_rates(config: TrialConfig, pool: Artifact, stages: Stages) -> Artifact:
    """`rates.parquet`: problem, stage (the last that tried it), samples, correct, undecided, pass_rate, note.

    pass_rate is correct / (samples - undecided) of the last stage; null, with a note, where a problem did not
    come so far. Raises UserError when a stage lets nothing through.
    """
    store, reference = Store(config.paths.artifacts), config.data.difficulty.reference
    assert reference is not None
    problems, tried = pool, []
    for name, stage in reference.stages.items():
        counts = _tried(config, name, stage, pool, problems, stages)
        tried.append(counts)
        if name != list(reference.stages)[-1]:
            problems = stages.run(f"problems/{name}", _going_on, store, name, stage, problems, counts)
    return store.build("rates", VERSION, {"pool": pool, "tried": tried}, lambda folder: _join(tried, folder))


def _model(
    config: TrialConfig, name: str, stage: ReferenceStageConfig, pool: Artifact, stages: Stages
) -> Artifact:
    """The stage's model, fine-tuned first where it says so."""
    if stage.tune is None:
        return stages.run(f"base/{name}", base_model, Store(config.paths.artifacts), stage.model, pool)
    from limo_ablate.trial.run import trained_model
    from limo_ablate.trial.track.tracker import NoTracker

    tuned = replace(
        config, data=stage.tune.data, select=stage.tune.select, train=stage.tune.train, model=stage.model
    )
    return stages.run(f"tuned/{name}", trained_model, tuned, Stages(), NoTracker())


def _tried(
    config: TrialConfig,
    name: str,
    stage: ReferenceStageConfig,
    pool: Artifact,
    problems: Artifact,
    stages: Stages,
) -> Artifact:
    """`tried.parquet`: how many samples of each problem the stage's model got right."""
    store, reference = Store(config.paths.artifacts), config.data.difficulty.reference
    assert reference is not None
    ask = asked(problems, stage, reference.system_prompt, reference.seed)
    model = _model(config, name, stage, pool, stages)
    _, graded = stages.graded(store, model, {name: ask}, reference, config.hardware)[name]

    def make(folder: Path) -> None:
        status = pl.col("status")
        rows = pl.read_parquet(graded.path / "verdicts.parquet").group_by("problem", maintain_order=True)
        counts = rows.agg(
            stage=pl.lit(name),
            samples=pl.len().cast(pl.Int64),
            correct=(status == "correct").sum().cast(pl.Int64),
            undecided=(status == "undecided").sum().cast(pl.Int64),
        )
        counts.select(TRIED).write_parquet(folder / "tried.parquet")

    return stages.run(
        f"tried/{name}", store.build, "tried", VERSION, {"verdicts": graded, "stage": name}, make
    )


def _going_on(
    store: Store, name: str, stage: ReferenceStageConfig, problems: Artifact, counts: Artifact
) -> Artifact:
    """What the next stage tries; a problem whose undecided samples could turn it either way stays out."""

    def make(folder: Path) -> None:
        table = pl.read_parquet(problems.path / "problems.parquet")
        tried = pl.read_parquet(counts.path / "tried.parquet")
        low, high = stage.goes_on or (0, stage.samples)
        certain = (pl.col("correct") >= low) & (pl.col("correct") + pl.col("undecided") <= high)
        kept = table.join(tried.filter(certain), left_on="id", right_on="problem", how="semi")
        if kept.is_empty():
            raise UserError(
                f"reference stage {name}: none of {table.height} problems has {low} to {high} right samples "
                f"of {stage.samples}; change data.difficulty.reference.stages.{name}.goes_on"
            )
        kept.write_parquet(folder / "problems.parquet")

    inputs = {"problems": problems, "tried": counts, "goes_on": stage.goes_on}
    return store.build("problems", VERSION, inputs, make)


def _join(tried: list[Artifact], folder: Path) -> None:
    tables = [pl.read_parquet(artifact.path / "tried.parquet") for artifact in tried]
    last = tables[-1]["stage"][0]
    rows = pl.concat(tables).unique("problem", keep="last", maintain_order=True)
    rate = pl.col("correct") / (pl.col("samples") - pl.col("undecided"))
    came = pl.col("stage") == last
    rows.with_columns(
        pass_rate=pl.when(came & rate.is_finite()).then(rate),
        note=pl.when(~came | ~rate.is_finite()).then(
            pl.format("{}: {} of {} right, {} undecided", pl.col("stage"), "correct", "samples", "undecided")
        ),
    ).write_parquet(folder / "rates.parquet")
