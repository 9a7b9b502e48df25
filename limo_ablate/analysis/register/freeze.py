"""Builds a study's registration: trials are composed as by `sweep`, and their selections are computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from limo_ablate.analysis.register.current_trials import analysis_settings
from limo_ablate.analysis.register.declaration import declared_design
from limo_ablate.analysis.register.registration import FORMAT, Chain, RegisteredTrial, Registration, with_hash
from limo_ablate.analysis.register.search_check import shares_pool
from limo_ablate.analysis.trials import CELLS, read_cells
from limo_ablate.core.artifacts import content_key
from limo_ablate.core.code import code_digest, package_versions
from limo_ablate.core.errors import UserError
from limo_ablate.core.permissions import use_umask
from limo_ablate.core.provenance import RECORDED, code_state
from limo_ablate.data.pool.load import load_benchmark
from limo_ablate.data.select.selection import select
from limo_ablate.study.block import Block
from limo_ablate.study.design import Study
from limo_ablate.study.planned import PlannedTrial, planned_trials
from limo_ablate.trial.compose import compose
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.rows import pool_and_evidence
from limo_ablate.trial.run import trained_model
from limo_ablate.trial.stages import Stages
from limo_ablate.trial.teacher import trial_pool


def folder_of(study: Study) -> Path:
    """The study's folder, as `sweep` would use it. Raises UserError."""
    paths = _shared(study, study.blocks[0]).paths
    use_umask(paths.umask)
    return Path(paths.studies) / study.name


def _shared(study: Study, block: Block) -> TrialConfig:
    """Configuration that the block's trials share, for trials that are not known yet."""
    return compose([*study.overrides, *block.overrides])


def freeze(study: Study, folder: Path, former: Chain | None) -> Registration:
    """The registration of `study`, which replaces `former`; computes selections and benchmarks.

    Raises UserError where a trial of the study would: for a pool that can't be read, or too few rows.
    """
    planned = planned_trials(study)
    proposed = [(block, _shared(study, block)) for block in study.blocks if block.adaptive]
    digests = InputDigests()
    commit, diff = code_state()
    registration = Registration(
        format=FORMAT,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        study=study.name,
        git={"commit": commit, "dirty": None if diff is None else bool(diff)},
        code=code_digest(),
        versions=package_versions(RECORDED),
        design=declared_design(study),
        cells={trial.key: _registered(study, trial, digests) for trial in planned},
        benchmarks=digests.benchmarks(
            [*(trial.config for trial in planned), *(config for _, config in proposed)]
        ),
        pools={block.name: _pool(config) for block, config in proposed if shares_pool(block)},
        contrasts=study.contrasts,
        **analysis_settings(study),
        finished=finished_counts(folder, planned),
        former=(*former.last.former, former.last.hash) if former else (),
    )
    return with_hash(registration)


def finished_counts(folder: Path, planned: Sequence[PlannedTrial]) -> dict[str, int]:
    """Block -> number of its trials in `folder` that have a result, including trials proposed by searches."""
    blocks = {trial.folder: trial.blocks for trial in planned}
    if (folder / CELLS).exists():
        blocks |= {row["folder"]: tuple(row["blocks"]) for row in read_cells(folder)}
    finished = [
        trial_blocks
        for name, trial_blocks in blocks.items()
        if (folder / "trials" / name / "metrics.json").exists()
    ]
    return dict(Counter(block for trial_blocks in finished for block in trial_blocks))


class InputDigests:
    """Digests of selections and benchmarks, each computed once for equal inputs."""

    def __init__(self) -> None:
        self._selections: dict[str, str] = {}
        self._benchmarks: dict[str, str] = {}

    def selection(self, config: TrialConfig) -> str | None:
        """Digest of the rows a trial trains on; null for the untuned base."""
        if config.select.size == 0:
            return None
        parts: dict[str, Any] = {"data": config.data, "select": config.select}
        parts["benchmarks"] = config.eval.benchmarks  # inputs of the contamination gate
        measured = config.data.difficulty.measure == "reference" or config.data.teacher is not None
        if config.select.tokens is not None or measured:
            # the model's tokenizer may count tokens; reference models and teachers run on its hardware
            parts |= {"model": config.model, "hardware": config.hardware, "eval": config.eval}
        key = content_key("registered", 1, parts)
        if key not in self._selections:
            self._selections[key] = _select(config)
        return self._selections[key]

    def benchmarks(self, configs: Iterable[TrialConfig]) -> dict[str, tuple[str, ...]]:
        """Benchmark -> digests of its problems."""
        digests: dict[str, dict[str, None]] = {}
        for config in configs:
            for name, benchmark in config.eval.benchmarks.items():
                key = content_key("registered", 1, {"name": name, "benchmark": benchmark})
                if key not in self._benchmarks:
                    artifact = load_benchmark(config.paths.store(), name, benchmark)
                    self._benchmarks[key] = artifact.digest
                digests.setdefault(name, {})[self._benchmarks[key]] = None
        return {name: tuple(digests) for name, digests in digests.items()}


def _pool(config: TrialConfig) -> str:
    return trial_pool(config, Stages(), trained_model).digest


def _select(config: TrialConfig) -> str:
    """Digest of the selection."""
    pool, evidence = pool_and_evidence(config, Stages(), trained_model)
    return select(config.paths.store(), config.select, config.data, pool, evidence).digest


def _registered(study: Study, trial: PlannedTrial, digests: InputDigests) -> RegisteredTrial:
    try:
        digest = digests.selection(trial.config)
    except UserError as error:
        raise UserError(f"trial {trial.name}: {error}") from error
    overrides = trial.labels(study.name).cell
    return RegisteredTrial(
        name=trial.name, seed=trial.seed, blocks=trial.blocks, asked=overrides, selection=digest
    )
