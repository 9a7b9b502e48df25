"""Runs one trial, from pool to scores; a stage whose artifact exists is skipped.

pool -> selection -> tokens -> weights -> completions -> verdicts -> metrics.json
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from limo_ablate.core.artifacts import Artifact, digest_file, record_files, stage_version
from limo_ablate.core.code import package_versions
from limo_ablate.core.credentials import masked
from limo_ablate.core.energy import EnergyMeter
from limo_ablate.core.files import write_atomically
from limo_ablate.core.overrides import format_override
from limo_ablate.core.permissions import use_umask
from limo_ablate.core.provenance import write_provenance
from limo_ablate.core.reading import read_json
from limo_ablate.data.pool.inspection import reading_notes
from limo_ablate.data.pool.load import pool_counts, unused_rows
from limo_ablate.model.generate.other_python import versions
from limo_ablate.model.train.base import base_model, model_path, parameter_count
from limo_ablate.model.train.kept import kept_checkpoints, last_checkpoint
from limo_ablate.model.train.launch import train
from limo_ablate.model.train.model_config import may_allow_code
from limo_ablate.model.train.tokens import tokenize
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.identity import TrialLabels, trial_key
from limo_ablate.trial.model_use import check_use, model_uses
from limo_ablate.trial.rows import select_rows
from limo_ablate.trial.scores import evaluate, load_benchmarks
from limo_ablate.trial.stages import Stages
from limo_ablate.trial.teacher import trial_pool
from limo_ablate.trial.track.tracker import Tracker, open_tracker
from limo_ablate.trial.trajectory import score_trajectory
from limo_ablate.verify import VERSION as VERIFIER

log = logging.getLogger(__name__)


class ProgressReporter:
    """Reports each step of a training to the tracker and, about once a second, to the log."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self.steps = 0
        self._logged = time.monotonic()

    def step(self, row: dict[str, Any]) -> None:
        self.steps += 1
        self.tracker.step(row)
        if time.monotonic() - self._logged >= 1:
            self._logged = time.monotonic()
            speed = row["tokens"] / max(row["seconds"], 1e-9)
            log.info("step %d  loss %.3f  %.0f trained tokens/s", row["step"], row["loss"], speed)


def run_trial(config: TrialConfig, folder: Path, labels: TrialLabels) -> dict[str, Any]:
    """Trains, evaluates and records a trial in `folder`; returns the content of metrics.json.

    metrics.json is written last and atomically: a folder that has it holds a finished trial. Raises UserError
    or TrialFailure.
    """
    started = time.perf_counter()
    use_umask(config.paths.umask)
    may_allow_code()
    folder.mkdir(parents=True, exist_ok=True)
    overrides = [format_override(key, value) for key, value in labels.cell.items()]
    write_provenance(config, seeds(config), overrides, folder, _other_versions(config))
    log.info("trial %s%s", labels.name, f" of {labels.study}" if labels.study else ", outside any study")
    tracker, meter = open_tracker(config, labels, folder), EnergyMeter(config.hardware)
    try:
        stages = Stages()
        with record_files() as files:
            problems = load_benchmarks(config, stages)
            _check_downloaded_model(config, stages)
            model = trained_model(config, stages, tracker)
            checkpoints, model = kept_checkpoints(model), last_checkpoint(model)
            scores = evaluate(config, stages, model, problems, folder)
            trajectory = {}
            if checkpoints:
                trajectory["trajectory"] = score_trajectory(config, stages, checkpoints, problems, folder)
        if (model.path / "curve.parquet").exists():
            shutil.copyfile(model.path / "curve.parquet", folder / "curve.parquet")
        metrics = {
            "trial": trial_key(config), "study": labels.study, "cell": labels.cell, "seed": config.seed,
            "factors": factors(config, model),
            "scores": scores, **trajectory,
            "pool": pool_counts(stages.artifacts["pool"]),
            "train": _training_record(model),
            "batch_sizes": stages.batch_sizes.used,
            "seconds": stages.seconds,
            "finished": datetime.now(UTC).isoformat(),
            "total_seconds": round(time.perf_counter() - started, 3),
            "joules": meter.joules(),
            "artifacts": {stage: _origin(artifact) for stage, artifact in stages.artifacts.items()},
            "verdicts": digest_file(folder / "verdicts.parquet"),
            "inputs": {"files": files, "versions": _versions(stages)},
        }  # fmt: skip
        tracker.finish(metrics, folder, stages.artifacts)
    except BaseException as error:
        tracker.fail(masked(f"{type(error).__name__}: {error}"))
        raise
    write_atomically(folder / "metrics.json", json.dumps(metrics, indent=1) + "\n")
    log.info("done in %.1f s: %s", metrics["total_seconds"], _summary(scores))
    return metrics


def _other_versions(config: TrialConfig) -> dict[str, str | None]:
    """Versions in the environment of `eval.python`, named `eval.python torch` and so on."""
    found = versions(config.eval.python) if config.eval.python else {}
    return {f"eval.python {name}": version for name, version in found.items()}


def _origin(artifact: Artifact) -> dict[str, Any]:
    """Its key and content, and what made it; of the packages, those of another version than this trial's."""
    own = package_versions()
    packages = {name: v for name, v in (artifact.packages or {}).items() if v != own.get(name)}
    return {
        "key": artifact.key,
        "digest": artifact.digest,
        "made": artifact.made,
        "code": artifact.code,
        "packages": packages,
    }


def _check_downloaded_model(config: TrialConfig, stages: Stages) -> None:
    """What could not be checked before the model was downloaded. Raises UserError."""
    if config.model.source == "hub":
        base = stages.run("base", base_model, config.paths.store(), config.model, None)
        check_use(next(model_uses(config)), Path(model_path(base)))


def prepare_base(config: TrialConfig) -> None:
    """Makes the base model of a trial ahead, so that trials that share it don't wait for each other."""
    store = config.paths.store()
    scratch = config.model.source == "scratch"
    base_model(store, config.model, trial_pool(config, Stages(), trained_model) if scratch else None)


def trained_model(config: TrialConfig, stages: Stages, tracker: Tracker) -> Artifact:
    """The fine-tuned weights, or the base model itself if `select.size` is 0."""
    store = config.paths.store()
    pool = trial_pool(config, stages, trained_model)
    for line in (*unused_rows(pool_counts(pool)), *reading_notes(config.data)):
        log.warning("data=%s: %s", config.data.name, line)
    base = stages.run("base", base_model, store, config.model, pool)
    if config.select.size == 0:
        return base
    rows = select_rows(config, stages, pool, base, trained_model)
    tokens = stages.run("tokens", tokenize, store, rows, base, config.train, config.model.template)
    reporter = ProgressReporter(tracker)
    inputs = (tokens, base, config.train, config.hardware)
    weights = stages.run("weights", train, store, *inputs, reporter.step, config.eval.at)
    if not reporter.steps:  # trained before, by this trial or by another one
        for row in pl.read_parquet(weights.path / "curve.parquet").iter_rows(named=True):
            tracker.step(row)
    return weights


def seeds(config: TrialConfig) -> dict[str, int | None]:
    """Every seed of a trial, by the section that uses it."""
    pretrain = config.model.pretrain
    return {
        "seed": config.seed,
        "select": config.select.seed,
        "train": config.train.seed,
        "eval": config.eval.seed,
        "pretrain": pretrain.seed if pretrain else None,
    }


def factors(config: TrialConfig, model: Artifact) -> dict[str, object]:
    """The factors of the ablation as flat values, named for tables and dashboards."""
    return {
        "train_size": config.select.size,
        "difficulty": config.select.difficulty,
        "quality_tier": config.select.quality,
        "order": config.select.order,
        "correctness": config.select.correctness,
        "teacher": config.data.teacher.name if config.data.teacher else config.select.teacher,
        "perturb": config.select.perturb,
        "data": config.data.name,
        "model": config.model.name,
        "parameters": parameter_count(model),
    }


def _summary(scores: dict[str, Any]) -> str:
    return ", ".join(f"{name} {100 * score['accuracy']:.1f} %" for name, score in scores.items())


def _training_record(model: Artifact) -> dict[str, Any]:
    try:
        record: dict[str, Any] = read_json(model.path / "train.json")
    except FileNotFoundError:
        return {}
    return record


def _versions(stages: Stages) -> dict[str, int]:
    """Versions of the code that made the results: of each stage, of the scores and of the verifier."""
    names = dict.fromkeys(artifact.stage for artifact in stages.artifacts.values())
    return {name: stage_version(name) for name in [*names, "scores"]} | {"verifier": VERIFIER}
