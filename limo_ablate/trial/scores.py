"""From a model to its scores: completions, verdicts, and where asked for a second pass, a judge, a probe.

Above `evaluate`, which imports nothing that generates. All that is asked of the model is one pass; only the
second pass, which is about the engine, and the judge, another model, have one of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.data.pool.load import load_benchmark
from limo_ablate.model.generate.completions import Asked, asked
from limo_ablate.model.generate.engine import Sampling
from limo_ablate.model.generate.open import check_engine
from limo_ablate.model.train.base import base_model
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.evaluate.config import JudgeConfig, ProbeConfig
from limo_ablate.trial.evaluate.judge import judged, questions
from limo_ablate.trial.evaluate.metrics import Results, benchmark_scores
from limo_ablate.trial.evaluate.probe import openings, probed
from limo_ablate.trial.partial_scores import report
from limo_ablate.trial.rows import flagged, flagged_items
from limo_ablate.trial.stages import Stages

Made = dict[str, Artifact]
"""Benchmark -> what was made of it."""


def benchmarks(config: TrialConfig, stages: Stages) -> Made:
    """The problems of every benchmark, before anything is trained for them.

    Raises UserError when one can't be read, or when what is to generate answers to them is not there.
    """
    check_engine(config.eval, config.hardware)
    store = Store(config.paths.artifacts)
    return {
        name: stages.run(f"benchmark/{name}", load_benchmark, store, name, benchmark)
        for name, benchmark in config.eval.benchmarks.items()
    }


def evaluated(
    config: TrialConfig, stages: Stages, model: Artifact, problems: Made, folder: Path
) -> dict[str, Any]:
    """Scores of every benchmark of `problems`; their tables are left in the trial's folder."""
    store, evaluation = Store(config.paths.artifacts), config.eval
    flagged_in = _flagged_items(config, stages)
    wanted = {
        name: asked(problems[name], benchmark, evaluation.system_prompt, evaluation.seed)
        for name, benchmark in evaluation.benchmarks.items()
    }
    made: dict[str, Made] = {}
    if evaluation.probe:
        made["probed"] = _probed(config, stages, model, wanted, evaluation.probe)
    if evaluation.report:
        report(config, stages, model, wanted, evaluation.report, folder)
    graded = stages.graded(store, model, wanted, evaluation, config.hardware, graders=evaluation.graders())
    made["completions"] = {name: texts for name, (texts, _) in graded.items()}
    made["verdicts"] = {name: verdicts for name, (_, verdicts) in graded.items()}
    if evaluation.noise_floor:
        made["again"] = _again(config, stages, model, wanted, evaluation.noise_floor)
    if evaluation.judge:
        made["judged"] = _judged(config, stages, made["verdicts"], problems, evaluation.judge)
    tables = {kind: _tables(kind, artifacts) for kind, artifacts in made.items()}
    tables["verdicts"] = {name: _clean(table, name, flagged_in) for name, table in tables["verdicts"].items()}
    _leave(tables, folder)
    scores: dict[str, Any] = {}
    for name, benchmark in evaluation.benchmarks.items():
        more = {kind: tables[kind].get(name) for kind in ("again", "judged", "probed") if kind in tables}
        results = Results(verdicts=tables["verdicts"][name], **more)
        unclean = None if flagged_in is None else flagged_in.get(name, set())
        scores |= benchmark_scores(name, results, benchmark.groups, unclean)
    return scores


def _probed(
    config: TrialConfig, stages: Stages, model: Artifact, wanted: Mapping[str, Asked], probe: ProbeConfig
) -> Made:
    """What the model makes of the beginning of each problem; generated with what else is wanted of it."""
    store, greedy = Store(config.paths.artifacts), Sampling(0.0, 1.0, probe.max_tokens, 0)
    begun = {
        name: stages.run(f"openings/{name}", openings, store, name, probe, ask.problems)
        for name, ask in wanted.items()
    }
    raw = {
        f"probe/{name}": Asked(problems=problems, samples=1, sampling=greedy, system_prompt=None, raw=True)
        for name, problems in begun.items()
    }
    texts = stages.generated(store, model, {**wanted, **raw}, config.eval, config.hardware)
    return {
        name: stages.run(f"probed/{name}", probed, store, problems, texts[f"probe/{name}"])
        for name, problems in begun.items()
    }


def _again(
    config: TrialConfig, stages: Stages, model: Artifact, wanted: Mapping[str, Asked], batch_size: int
) -> Made:
    """Verdicts of the greedy benchmarks once more; the second pass has its batch size for a seed."""
    second = {
        f"again/{name}": replace(ask, sampling=replace(ask.sampling, seed=batch_size))
        for name, ask in wanted.items()
        if not ask.sampling.temperature
    }
    settings = replace(config.eval, batch_size=batch_size, noise_floor=None)
    graders = {f"again/{name}": grader for name, grader in config.eval.graders().items()}
    store = Store(config.paths.artifacts)
    graded = stages.graded(store, model, second, settings, config.hardware, graders=graders)
    return {name.removeprefix("again/"): verdicts for name, (_, verdicts) in graded.items()}


def _judged(config: TrialConfig, stages: Stages, graded: Made, problems: Made, judge: JudgeConfig) -> Made:
    """The judge's verdicts, by the same engine as the model's completions."""
    store = Store(config.paths.artifacts)
    asked_of = {
        name: stages.run(f"questions/{name}", questions, store, judge, verdicts, problems[name])
        for name, verdicts in graded.items()
    }
    greedy = Sampling(0.0, 1.0, judge.max_tokens, 0)
    wanted = {
        f"judge/{name}": Asked(problems=made, samples=1, sampling=greedy, system_prompt=judge.system_prompt)
        for name, made in asked_of.items()
        if pl.read_parquet(made.path / "problems.parquet").height
    }
    texts: Made = {}
    if wanted:
        model = stages.run("base/judge", base_model, store, judge.model, stages.artifacts["pool"])
        texts = stages.generated(store, model, wanted, config.eval, config.hardware)
    return {
        name: stages.run(f"judged/{name}", judged, store, made, texts.get(f"judge/{name}"))
        for name, made in asked_of.items()
    }


def _tables(kind: str, artifacts: Made) -> dict[str, pl.DataFrame]:
    file = "verdicts" if kind == "again" else kind
    return {name: pl.read_parquet(made.path / f"{file}.parquet") for name, made in artifacts.items()}


def _leave(tables: Mapping[str, Mapping[str, pl.DataFrame]], folder: Path) -> None:
    """`completions.parquet`, `verdicts.parquet`, ...: all benchmarks in one table each."""
    for kind, parts in tables.items():
        named = [table.with_columns(benchmark=pl.lit(name)) for name, table in parts.items()]
        if named:
            pl.concat(named).write_parquet(folder / f"{kind}.parquet")


def _clean(verdicts: pl.DataFrame, name: str, flagged_in: Mapping[str, set[str]] | None) -> pl.DataFrame:
    """With a column `clean`: not flagged by the gate; null where it was not asked to report."""
    if flagged_in is None:
        return verdicts.with_columns(clean=pl.lit(None, pl.Boolean))
    return verdicts.with_columns(clean=~pl.col("problem").is_in(list(flagged_in.get(name, set()))))


def _flagged_items(config: TrialConfig, stages: Stages) -> dict[str, set[str]] | None:
    """Benchmark items that the gate flags, where it only reports them; the same for all cells of a pool.

    Raises UserError under policy=error, for the untuned base too.
    """
    policy = config.select.contamination.policy
    if policy not in ("report", "error"):
        return None
    found = stages.artifacts.get("flags") or flagged(config, stages, stages.artifacts["pool"])
    return flagged_items(found) if found and policy == "report" else None
