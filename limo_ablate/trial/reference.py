"""Difficulty measured by reference models (LIMO, section 3.1): they try each problem, `data.grader` grades.

The stages run one after the other: a few samples of a small model drop the easy problems, many samples of a
strong model give the pass rate of those that are left. Completions are generated as in an evaluation, so an
interrupted stage continues with the samples that are missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import polars as pl

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import UserError
from limo_ablate.model.generate.completions import generation_request
from limo_ablate.model.train.base import base_model
from limo_ablate.trial.config import LocalTeacherConfig, ReferenceStageConfig, TrialConfig
from limo_ablate.trial.stages import Stages
from limo_ablate.trial.track.tracker import NoTracker, Tracker

TrainModel: TypeAlias = Callable[[TrialConfig, Stages, Tracker], Artifact]
"""`limo_ablate.trial.run.trained_model`: an argument, since it selects its rows with this module's rates."""


def pass_rates(config: TrialConfig, pool: Artifact, stages: Stages, train_model: TrainModel) -> Artifact:
    """`rates.parquet`: problem, stage (the last that tried it), samples, correct, undecided, pass_rate, note.

    pass_rate is correct / (samples - undecided) in the last stage; null, with a note, for a problem that did
    not get there. Raises UserError if a stage passes no problem on.
    """
    store, reference = config.paths.store(), config.data.difficulty.reference
    assert reference is not None
    problems, counts = pool, []
    for name, stage in reference.stages.items():
        counted = _count_correct(config, name, stage, pool, problems, stages, train_model)
        counts.append(counted)
        if name != list(reference.stages)[-1]:
            problems = stages.run(f"problems/{name}", _pass_on, store, name, stage, problems, counted)
    return store.build("rates", {"pool": pool, "tried": counts}, lambda folder: _write_rates(counts, folder))


def reference_model(
    config: TrialConfig,
    name: str,
    used: ReferenceStageConfig | LocalTeacherConfig,
    pool: Artifact,
    stages: Stages,
    train_model: TrainModel,
) -> Artifact:
    """The model of a reference stage or a teacher, fine-tuned first if it has a `tune` section."""
    if used.tune is None:
        return stages.run(f"base/{name}", base_model, config.paths.store(), used.model, pool)
    tuned = replace(
        config,
        data=used.tune.data,
        select=used.tune.select,
        train=used.tune.train,
        model=used.model,
        eval=replace(config.eval, at=None),
    )
    return stages.run(f"tuned/{name}", train_model, tuned, Stages(), NoTracker())


def _count_correct(
    config: TrialConfig,
    name: str,
    stage: ReferenceStageConfig,
    pool: Artifact,
    problems: Artifact,
    stages: Stages,
    train_model: TrainModel,
) -> Artifact:
    """`tried.parquet`: for each problem, how many samples the model of the stage got right."""
    store, reference = config.paths.store(), config.data.difficulty.reference
    assert reference is not None
    request = generation_request(
        problems, stage, reference.system_prompt, reference.seed, stage.model.template
    )
    model = reference_model(config, name, stage, pool, stages, train_model)
    generated = stages.generate(store, model, {name: request}, reference, config.hardware)
    grading = {name: config.data.grading()}
    verdicts = stages.grade(store, {name: request}, generated, grading)[name]

    def make(folder: Path) -> None:
        status = pl.col("status")
        rows = pl.read_parquet(verdicts.path / "verdicts.parquet").group_by("problem", maintain_order=True)
        counts = rows.agg(
            stage=pl.lit(name),
            samples=pl.len().cast(pl.Int64),
            correct=(status == "correct").sum().cast(pl.Int64),
            undecided=(status == "undecided").sum().cast(pl.Int64),
        )
        counts.select("problem", "stage", "samples", "correct", "undecided").write_parquet(
            folder / "tried.parquet"
        )

    return stages.run(f"tried/{name}", store.build, "tried", {"verdicts": verdicts, "stage": name}, make)


def _pass_on(
    store: Store, name: str, stage: ReferenceStageConfig, problems: Artifact, counts: Artifact
) -> Artifact:
    """The problems for the next stage: those in range however their undecided samples would count."""

    def make(folder: Path) -> None:
        table = pl.read_parquet(problems.path / "problems.parquet")
        tried = pl.read_parquet(counts.path / "tried.parquet")
        low, high = stage.pass_to_next or (0, stage.samples)
        certain = (pl.col("correct") >= low) & (pl.col("correct") + pl.col("undecided") <= high)
        kept = table.join(tried.filter(certain), left_on="id", right_on="problem", how="semi")
        if kept.is_empty():
            raise UserError(
                f"reference stage {name}: none of {table.height} problems has {low} to {high} correct "
                f"samples of {stage.samples}; change data.difficulty.reference.stages.{name}.pass_to_next"
            )
        kept.write_parquet(folder / "problems.parquet")

    inputs = {"problems": problems, "tried": counts, "pass_to_next": stage.pass_to_next}
    return store.build("problems", inputs, make)


def _write_rates(counts: list[Artifact], folder: Path) -> None:
    tables = [pl.read_parquet(artifact.path / "tried.parquet") for artifact in counts]
    last = tables[-1]["stage"][0]
    rows = pl.concat(tables).unique("problem", keep="last", maintain_order=True)
    rate = pl.col("correct") / (pl.col("samples") - pl.col("undecided"))
    in_last = pl.col("stage") == last
    rows.with_columns(
        pass_rate=pl.when(in_last & rate.is_finite()).then(rate),
        note=pl.when(~in_last | ~rate.is_finite()).then(
            pl.format("{}: {} of {} right, {} undecided", pl.col("stage"), "correct", "samples", "undecided")
        ),
    ).write_parquet(folder / "rates.parquet")
