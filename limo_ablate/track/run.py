"""One trial as one W&B run.

All of W&B happens on a thread beside the trial, which only puts work into a queue: starting W&B's service
process, logging and (online) uploading overlap with training. The first thing that goes wrong is said once,
and the rest of the run is dropped.

The sweep's fork server imports this module ahead, for a run's imports cost about a second.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

import wandb

from limo_ablate.artifacts import Artifact
from limo_ablate.config import TrialConfig
from limo_ablate.identity import TrialLabels
from limo_ablate.track import log
from limo_ablate.track.results import completions_table, flat_metrics, provenance, wandb_artifacts

for module in ("wandb.sdk.launch", "pandas", "numpy.random"):  # W&B imports them in a run: see above
    with suppress(ImportError):
        import_module(module)

PATIENCE = 120.0
"""Seconds a finished trial waits for uploads; what is left is on disk, for `wandb sync`."""
FAILED_PATIENCE = 10.0
"""The same for a failed or interrupted trial."""
TAG_LENGTH = 64
"""W&B refuses longer tags."""
UNTAGGED = ("seed", "track", "launch", "paths")
"""Overrides that make no cell; the seed has a tag in any case."""


class WandbTracker:
    """A `Tracker`; its run is in group STUDY, tagged with its seed and cell."""

    def __init__(self, config: TrialConfig, labels: TrialLabels, folder: Path) -> None:
        self._folder = folder
        self._run: Any = None
        self._broken = False
        self._exit_code = 0
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._serve, name="wandb", daemon=True)
        self._work.put(partial(self._open, config, labels))
        self._thread.start()

    def step(self, row: dict[str, Any]) -> None:
        values = {f"train/{key}": value for key, value in row.items()}
        self._work.put(lambda: self._run.log(values, step=row["step"]))

    def finish(self, metrics: dict[str, Any], folder: Path, artifacts: dict[str, Artifact]) -> None:
        self._work.put(partial(self._log_results, metrics, folder, artifacts))
        self._close(0, PATIENCE)

    def fail(self, reason: str) -> None:
        self._work.put(lambda: self._run.summary.update({"failure": reason}))
        self._close(1, FAILED_PATIENCE)

    def _open(self, config: TrialConfig, labels: TrialLabels) -> None:
        cell = [f"{k}={v}" for k, v in labels.cell.items() if k.partition(".")[0] not in UNTAGGED]
        self._run = wandb.init(
            entity=config.track.entity,
            project=config.track.project,
            group=labels.study,
            job_type="trial",
            name=labels.name,
            tags=[tag[:TAG_LENGTH] for tag in (f"seed={config.seed}", *cell)],
            config={"seed": config.seed, "resolved": asdict(config), "provenance": provenance(self._folder)},
            mode=config.track.mode,
            dir=str(self._folder),
            settings=_settings(config),
        )

    def _log_results(self, metrics: dict[str, Any], folder: Path, artifacts: dict[str, Artifact]) -> None:
        self._run.config.update(metrics["factors"], allow_val_change=True)
        self._run.log({**flat_metrics(metrics), "completions": completions_table(folder)})
        for artifact, key in wandb_artifacts(artifacts):
            self._run.log_artifact(artifact, aliases=[key])

    def _close(self, exit_code: int, patience: float) -> None:
        self._exit_code = exit_code
        self._work.put(None)
        self._thread.join(patience)
        if self._thread.is_alive():
            self._say(
                f"not done after {patience:.0f} s; send it later: wandb sync {self._folder}/wandb/*run-*"
            )

    def _serve(self) -> None:
        with _environment(self._folder / "wandb"):
            while (task := self._work.get()) is not None:
                if not self._broken:
                    self._attempt(task)
            if self._run is not None:
                self._attempt(lambda: self._run.finish(exit_code=self._exit_code))
            self._attempt(wandb.teardown)  # else W&B's service outlives a trial that leaves by os._exit

    def _attempt(self, task: Callable[[], None]) -> None:
        try:
            task()
        except Exception as error:
            self._say(f"{type(error).__name__}: {error}")

    def _say(self, what: str) -> None:
        if not self._broken:
            log.warning("W&B failed, and the trial goes on without it: %s", " ".join(what.split()))
        self._broken = True


def _settings(config: TrialConfig) -> Any:
    """No capture of console, code or git state: the trial's folder holds these; utilisation only of GPUs."""
    return wandb.Settings(
        silent=config.track.mode == "offline",
        console="off",
        disable_git=True,
        disable_code=True,
        disable_job_creation=True,
        x_disable_meta=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
        x_disable_stats=config.hardware.device == "cpu",
        init_timeout=60,
        finish_timeout=PATIENCE,
    )


@contextmanager
def _environment(folder: Path) -> Iterator[None]:
    """What W&B reads from the environment only, where the user has not set it.

    Files staged for a later sync stay with the run, not in the home directory; no telemetry is sent.
    """
    ours = {
        "WANDB_DATA_DIR": str(folder / "data"),
        "WANDB_CACHE_DIR": str(folder / "cache"),
        "WANDB_ERROR_REPORTING": "false",
    }
    new = {name: value for name, value in ours.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)
