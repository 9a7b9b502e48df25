"""From a model to its scores: completions and verdicts; optionally a second pass, a judge, a probe.

All completions of the model are generated in one pass. Only the second pass, which measures the engine, and
the judge, another model, have passes of their own.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from limo_ablate.core.artifacts import Artifact
from limo_ablate.core.errors import UserError
from limo_ablate.core.text import counted
from limo_ablate.data.pool.config import FieldsConfig
from limo_ablate.data.pool.load import load_benchmark, load_solutions
from limo_ablate.model.generate.completions import GenerationRequest, generation_request
from limo_ablate.model.generate.engine import Sampling
from limo_ablate.model.generate.likelihood import Scorer, likelihood
from limo_ablate.model.generate.open import check_engine
from limo_ablate.model.train.base import base_model, model_path
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.contamination import reported_items
from limo_ablate.trial.evaluate.config import BenchmarkConfig, JudgeConfig, ProbeConfig
from limo_ablate.trial.evaluate.judge import judged, questions, with_verdicts
from limo_ablate.trial.evaluate.lm_eval_items import lm_eval_verdicts
from limo_ablate.trial.evaluate.metrics import Results, benchmark_scores
from limo_ablate.trial.evaluate.probe import openings, probed
from limo_ablate.trial.partial_scores import write_partial_scores
from limo_ablate.trial.stages import Stages

log = logging.getLogger(__name__)
ByBenchmark: TypeAlias = dict[str, Artifact]
"""Name of a benchmark -> an artifact of it."""


def load_benchmarks(config: TrialConfig, stages: Stages) -> ByBenchmark:
    """The problems of every benchmark; called first, so that mistakes show before anything is trained.

    Raises UserError if a benchmark can't be read, or if the engine or its hardware is missing.
    """
    check_engine(config.eval, config.hardware)
    store = config.paths.store()
    loaded = {}
    for name, benchmark in config.eval.benchmarks.items():
        loaded[name] = stages.run(f"benchmark/{name}", load_benchmark, store, name, benchmark)
        check_groups(name, benchmark, loaded[name])
    return loaded


def check_groups(name: str, benchmark: BenchmarkConfig, problems: Artifact) -> None:
    """Raises UserError for groups of a benchmark whose problems have no levels."""
    levels = pl.read_parquet(problems.path / "problems.parquet", columns=["level"])["level"]
    if benchmark.groups and levels.null_count() == len(levels):
        column = benchmark.fields.level if isinstance(benchmark.fields, FieldsConfig) else None
        raise UserError(
            f"eval.benchmarks.{name}.groups: none of its {counted(len(levels), 'problem')} has a level; set "
            f"eval.benchmarks.{name}.fields.level to the column with it (now: {column or 'null'}), "
            "or groups=null"
        )


def evaluate(
    config: TrialConfig, stages: Stages, model: Artifact, problems: ByBenchmark, folder: Path
) -> dict[str, Any]:
    """Scores of the model on every benchmark of `problems`; writes their tables to the trial's folder."""
    store, evaluation = config.paths.store(), config.eval
    flagged, requests = reported_items(config, stages), benchmark_requests(config, problems)
    results: dict[str, ByBenchmark] = {}
    if evaluation.probe:
        results["probed"] = _probe(config, stages, model, requests, evaluation.probe)
    if evaluation.report:
        write_partial_scores(config, stages, model, requests, evaluation.report, folder)
    results["completions"] = stages.generate(store, model, requests, evaluation, config.hardware)
    graders, thinking = evaluation.graders(), evaluation.thinking
    results["verdicts"] = stages.grade(store, requests, results["completions"], graders, thinking)
    if evaluation.rerun_batch_size:
        results["again"] = _second_pass(config, stages, model, requests, evaluation.rerun_batch_size)
    if evaluation.judge:
        results["judged"] = _judge(config, stages, results["verdicts"], problems, evaluation.judge)
        for name in evaluation.judged_alone():
            own = (results["verdicts"][name], results["judged"][name])
            results["verdicts"][name] = stages.run(f"verdicts/{name}", with_verdicts, store, *own)
    for name, artifact in _tasks(config, stages, model, problems).items():
        results["completions"][name] = results["verdicts"][name] = artifact
    if evaluation.likelihood:
        results["likelihood"] = _likelihood(config, stages, model, problems)
    tables = {kind: read_tables(kind, artifacts) for kind, artifacts in results.items()}
    measured = tables.get("likelihood", {})
    tables["verdicts"] = {
        name: _with_likelihood(with_clean(table, name, flagged), measured.get(name))
        for name, table in tables["verdicts"].items()
    }
    _write_tables(tables, folder)
    scores: dict[str, Any] = {}
    for name, benchmark in evaluation.benchmarks.items():
        optional = {kind: tables[kind].get(name) for kind in ("again", "judged", "probed") if kind in tables}
        flagged_items = None if flagged is None else flagged.get(name, set())
        scores |= benchmark_scores(
            name, Results(verdicts=tables["verdicts"][name], **optional), benchmark.groups, flagged_items
        )
    return scores


def benchmark_requests(config: TrialConfig, problems: ByBenchmark) -> dict[str, GenerationRequest]:
    """What is generated for each benchmark."""
    evaluation = config.eval
    return {
        name: generation_request(
            problems[name], benchmark, evaluation.system_prompt, evaluation.seed, config.model.template
        )
        for name, benchmark in evaluation.benchmarks.items()
        if not benchmark.task
    }


def _tasks(config: TrialConfig, stages: Stages, model: Artifact, problems: ByBenchmark) -> ByBenchmark:
    """Completions and verdicts of each benchmark that is of lm-evaluation-harness."""
    store, evaluation, hardware = config.paths.store(), config.eval, config.hardware
    scorer = Scorer(model_path(model), hardware)

    def generate(requests: Mapping[str, GenerationRequest]) -> ByBenchmark:
        return stages.generate(store, model, requests, evaluation, hardware)

    return {
        name: stages.run(
            f"lm_eval/{name}", lm_eval_verdicts, store, name, benchmark, problems[name], model, scorer,
            generate, evaluation, hardware, evaluation.seed, config.model.template,
        )
        for name, benchmark in evaluation.benchmarks.items()
        if benchmark.task
    }  # fmt: skip


def _probe(
    config: TrialConfig,
    stages: Stages,
    model: Artifact,
    requests: Mapping[str, GenerationRequest],
    probe: ProbeConfig,
) -> ByBenchmark:
    """How the model continues the beginning of each problem; generated together with `requests`."""
    store, greedy = config.paths.store(), Sampling(0.0, 1.0, probe.max_tokens, 0)
    beginnings = {
        name: stages.run(f"openings/{name}", openings, store, name, probe, request.problems)
        for name, request in requests.items()
    }
    raw = {
        f"probe/{name}": GenerationRequest(
            problems=problems, samples=1, sampling=greedy, system_prompt=None, raw=True
        )
        for name, problems in beginnings.items()
    }
    generated = stages.generate(store, model, {**requests, **raw}, config.eval, config.hardware)
    return {
        name: stages.run(f"probed/{name}", probed, store, problems, generated[f"probe/{name}"])
        for name, problems in beginnings.items()
    }


def _second_pass(
    config: TrialConfig,
    stages: Stages,
    model: Artifact,
    requests: Mapping[str, GenerationRequest],
    batch_size: int,
) -> ByBenchmark:
    """Verdicts of another pass over the greedy benchmarks; its batch size stands in for its seed.

    A benchmark whose passes had the same batch size in the end is left out.
    """
    repeated = {
        f"again/{name}": replace(request, sampling=replace(request.sampling, seed=batch_size))
        for name, request in requests.items()
        if not request.sampling.temperature and name not in config.eval.judged_alone()
    }
    settings = replace(config.eval, batch_size=batch_size, rerun_batch_size=None)
    graders = {f"again/{name}": grader for name, grader in config.eval.graders().items()}
    store = config.paths.store()
    generated = stages.generate(store, model, repeated, settings, config.hardware)
    graded = stages.grade(store, repeated, generated, graders, config.eval.thinking)
    verdicts = {name.removeprefix("again/"): artifact for name, artifact in graded.items()}
    return {
        name: artifact for name, artifact in verdicts.items() if not _equal(stages.batch_sizes.used, name)
    }


def _equal(batch_sizes: Mapping[str, int], name: str) -> bool:
    """Whether both passes over a benchmark had one batch size, halved as memory ran out; warns of it."""
    size = batch_sizes.get(name)
    if size is None or size != batch_sizes.get(f"again/{name}"):
        return False
    log.warning(
        "%s: as memory ran out, both passes had a batch size of %d in the end, so flips is not measured",
        name, size,
    )  # fmt: skip
    return True


def _judge(
    config: TrialConfig, stages: Stages, verdicts: ByBenchmark, problems: ByBenchmark, judge: JudgeConfig
) -> ByBenchmark:
    """Verdicts of the judge, which runs on the same engine as the model."""
    store, graders = config.paths.store(), config.eval.graders()
    asked = {
        name: stages.run(f"questions/{name}", questions, store, judge, graded, problems[name], graders[name])
        for name, graded in verdicts.items()
    }
    greedy = Sampling(0.0, 1.0, judge.max_tokens, 0)
    requests = {
        f"judge/{name}": GenerationRequest(
            problems=artifact,
            samples=1,
            sampling=greedy,
            system_prompt=judge.system_prompt,
            template=judge.model.template,
        )
        for name, artifact in asked.items()
        if pl.read_parquet(artifact.path / "problems.parquet").height
    }
    answers: ByBenchmark = {}
    if requests:
        model = stages.run("base/judge", base_model, store, judge.model, stages.artifacts["pool"])
        answers = stages.generate(store, model, requests, config.eval, config.hardware)
    return {
        name: stages.run(f"judged/{name}", judged, store, artifact, answers.get(f"judge/{name}"))
        for name, artifact in asked.items()
    }


def _likelihood(config: TrialConfig, stages: Stages, model: Artifact, problems: ByBenchmark) -> ByBenchmark:
    """The log-likelihood of the gold solutions of each benchmark that `eval.likelihood` names."""
    store, evaluation = config.paths.store(), config.eval
    scorer = Scorer(model_path(model), config.hardware)
    found = {}
    for name in evaluation.likelihood:
        benchmark = evaluation.benchmarks[name]
        gold = stages.run(f"solutions/{name}", load_solutions, store, name, benchmark, problems[name])
        prompt, template = evaluation.system_prompt, config.model.template
        found[name] = stages.run(
            f"likelihood/{name}", likelihood, store, gold, model, scorer, prompt, template
        )
    return found


def _with_likelihood(verdicts: pl.DataFrame, measured: pl.DataFrame | None) -> pl.DataFrame:
    """Adds log_likelihood and solution_tokens where these are `measured`."""
    if measured is None:
        return verdicts
    return verdicts.join(measured, on="problem", how="left", maintain_order="left", validate="m:1")


def read_tables(kind: str, artifacts: ByBenchmark) -> dict[str, pl.DataFrame]:
    file = "verdicts" if kind == "again" else kind
    return {name: pl.read_parquet(artifact.path / f"{file}.parquet") for name, artifact in artifacts.items()}


def _write_tables(tables: Mapping[str, Mapping[str, pl.DataFrame]], folder: Path) -> None:
    """Writes `completions.parquet`, `verdicts.parquet`, ...: one table for all benchmarks."""
    for kind, parts in tables.items():
        named = [table.with_columns(benchmark=pl.lit(name)) for name, table in parts.items()]
        if named:
            pl.concat(named, how="diagonal").write_parquet(folder / f"{kind}.parquet")


def with_clean(verdicts: pl.DataFrame, name: str, flagged: Mapping[str, set[str]] | None) -> pl.DataFrame:
    """Adds a column `clean`: not flagged by the contamination gate; null unless policy=report."""
    if flagged is None:
        return verdicts.with_columns(clean=pl.lit(None, pl.Boolean))
    return verdicts.with_columns(clean=~pl.col("problem").is_in(list(flagged.get(name, set()))))
