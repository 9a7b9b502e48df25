"""How a run uses W&B: what is recorded, how long anything may take, where its files lie."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import wandb

from limo_ablate.config import TrialConfig

OPENING, FINISHING = 0.25, 0.4
"""Shares of `track.patience_seconds`; the rest is for W&B's service to write its file and to end."""


def run_settings(config: TrialConfig) -> Any:
    """No capture of console, code or git state: the trial's folder holds these; utilisation only of GPUs."""
    patience = config.track.patience_seconds
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
        init_timeout=OPENING * patience,
        finish_timeout=FINISHING * patience,
        finish_timeout_raises=True,
    )


def check_server(timeout: float) -> None:
    """Raises ConnectionError when nothing answers there; W&B's client would try for 20 s, in each trial."""
    url = wandb.setup().settings.base_url
    try:
        urlopen(url, timeout=timeout).close()  # noqa: S310
    except HTTPError:  # somebody answers
        return
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise ConnectionError(f"{url} does not answer ({reason})") from error


@contextmanager
def environment(folder: Path) -> Iterator[None]:
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
