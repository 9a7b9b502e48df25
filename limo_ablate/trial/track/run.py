"""Records a trial as a W&B run.

All W&B calls are made in a thread, to which the trial only sends work through a queue: connecting to W&B's
service process, logging and (online) uploading overlap with training. Only the first error is logged: a run
that can't be opened online becomes an offline one; of a run that fails later the rest is dropped.

A trial that resumes in its folder keeps its run: online it is continued, offline it is recorded again from
the start. Under `wandb agent` the agent determines run, project and sweep.

The sweep's fork server imports this module in advance, because importing what a run needs takes about a
second.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, Literal

import wandb

from limo_ablate.core.artifacts import Artifact
from limo_ablate.core.credentials import masked
from limo_ablate.core.provenance import read_provenance
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.identity import WITHOUT_EFFECT, TrialLabels
from limo_ablate.trial.track.names import levels, numbers, own_tags
from limo_ablate.trial.track.places import drop_unsent, run_id, run_place
from limo_ablate.trial.track.results import completions_table, flat_metrics, wandb_artifacts
from limo_ablate.trial.track.settings import (
    OPENING,
    check_server,
    drop_staged,
    environment,
    run_settings,
)
from limo_ablate.trial.track.steps import Steps, write_unsent
from limo_ablate.trial.track.tracker import log

for module in ("wandb.sdk.launch", "pandas", "numpy.random"):  # W&B imports them during a run: see above
    with suppress(ImportError):
        import_module(module)

FAILED_PATIENCE = 10.0
"""Longest time in seconds that a failed or interrupted trial waits for uploads."""
TAG_LENGTH = 64
"""Largest length of a tag in W&B."""
UNTAGGED = ("seed", *WITHOUT_EFFECT)
"""Overrides that are not part of a cell; the seed always has a tag of its own."""
RENAMED = {"data": "data_name", "model": "model_name"}
"""Factors whose name is also that of an override, which W&B sweeps lock."""


def open_run(config: TrialConfig, labels: TrialLabels, folder: Path) -> WandbTracker:
    return WandbTracker(config, labels, folder)


class WandbTracker:
    """A `Tracker` whose run is in the group of its study, tagged with its seed and cell."""

    def __init__(self, config: TrialConfig, labels: TrialLabels, folder: Path) -> None:
        self._folder = folder / "wandb"
        self._labels = labels
        cell = [key for key in labels.cell if key.partition(".")[0] not in UNTAGGED]
        self._levels = levels(asdict(config), cell)
        self._artifacts: dict[str, Artifact] = {}
        self.failure: str | None = None
        """The first error."""
        self._patience = config.track.patience_seconds
        self._steps = Steps(self._folder)
        self._run: Any = None
        self._broken = False
        self._exit_code = 0
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._serve, name="wandb", daemon=True)
        self._work.put(partial(self._open, config, labels))
        self._thread.start()

    def step(self, row: dict[str, Any]) -> None:
        if self._steps.add(row):
            self._work.put(partial(self._log_step, row))

    def finish(self, metrics: dict[str, Any], folder: Path, artifacts: dict[str, Artifact]) -> None:
        self._artifacts = artifacts
        self._work.put(partial(self._log_results, metrics, folder))
        self._close(0, self._patience)

    def fail(self, reason: str) -> None:
        self._work.put(lambda: self._run.summary.update({"failure": reason}))
        self._close(1, min(FAILED_PATIENCE, self._patience))

    def _open(self, config: TrialConfig, labels: TrialLabels) -> None:
        try:
            self._run = self._init(config, labels, config.track.mode)
        except Exception as error:
            if config.track.mode == "offline":
                raise
            self._warn(error, "the run is recorded offline")
            self._run = self._init(config, labels, "offline")
        for row in self._steps.earlier:
            if row["step"] >= self._run.step:  # the server has the earlier steps of a continued run
                self._log_step(row)

    def _init(
        self, config: TrialConfig, labels: TrialLabels, mode: Literal["online", "offline", "disabled"]
    ) -> Any:
        cell = [f"{k}={v}" for k, v in labels.cell.items() if k.partition(".")[0] not in UNTAGGED]
        if mode == "offline":
            drop_unsent(self._folder, config.track.dir)
        else:
            check_server(OPENING * self._patience)
        return wandb.init(
            **({} if "WANDB_SWEEP_ID" in os.environ else self._identity(config, labels)),
            group=labels.study,
            job_type="trial",
            tags=[tag[:TAG_LENGTH] for tag in (f"seed={config.seed}", *cell, *own_tags(config.track.tags))],
            config={
                "seed": config.seed,
                "resolved": asdict(config),
                "provenance": read_provenance(self._folder.parent),
            },
            mode=mode,
            resume="allow",
            dir=str(run_place(self._folder, config.track.dir)),
            settings=run_settings(
                config.track,
                gpu=config.hardware.device != "cpu",
                silent=config.track.mode == "offline",
            ),
        )

    def _identity(self, config: TrialConfig, labels: TrialLabels) -> dict[str, Any]:
        """Entity, project, id and name of the run, unless an agent sets them."""
        track = config.track
        own = (track.name,) if track.name and labels.study is None else (track.name, labels.name)
        return {
            "entity": track.entity,
            "project": track.project,
            "id": run_id(self._folder),
            "name": "-".join(filter(None, own)),
        }

    def _log_step(self, row: dict[str, Any]) -> None:
        self._run.log({f"train/{key}": value for key, value in row.items()}, step=row["step"])

    def _log_results(self, metrics: dict[str, Any], folder: Path) -> None:
        factors = {RENAMED.get(name, name): value for name, value in metrics["factors"].items()}
        factors = self._levels | factors
        self._run.config.update(factors, allow_val_change=True)
        self._run.log(  # factors too: only logged numbers can be the x of a plot
            {**numbers(factors), **flat_metrics(metrics), "completions": completions_table(folder)}
        )
        for artifact, key in wandb_artifacts(self._artifacts):
            self._run.log_artifact(artifact, aliases=[key])

    def _close(self, exit_code: int, patience: float) -> None:
        self._exit_code = exit_code
        self._work.put(None)
        self._thread.join(patience)
        if self._thread.is_alive():
            self._give_up(TimeoutError(f"not done after {patience:g} s"))
        self._steps.close(complete=exit_code == 0 and not self._broken)

    def _serve(self) -> None:
        with environment(self._folder):
            while (task := self._work.get()) is not None:
                if not self._broken:
                    self._attempt(task)
            if self._run is not None:
                self._attempt(lambda: self._run.finish(exit_code=self._exit_code))
            self._attempt(wandb.teardown)  # otherwise W&B's service outlives a trial that ends by os._exit
            self._run = None
            drop_staged()

    def _attempt(self, task: Callable[[], None]) -> None:
        try:
            task()
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._broken = True
        if self._run is not None and not self._run.offline:
            write_unsent(self._folder.parent, self._labels, self._artifacts)
        self._warn(error, "the trial continues without it")

    def _warn(self, error: Exception, consequence: str) -> None:
        """Logs one warning per run: later errors have the same cause."""
        if self.failure is None:
            self.failure = masked(" ".join(f"{type(error).__name__}: {error}".split()))
            log.warning("W&B failed, and %s: %s", consequence, self.failure)
