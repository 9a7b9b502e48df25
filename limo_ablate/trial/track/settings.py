"""How a run uses W&B: what is recorded, timeouts, and where its files are."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from configparser import ConfigParser
from configparser import Error as ConfigError
from contextlib import AbstractContextManager, contextmanager, redirect_stderr, suppress
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import wandb

from limo_ablate.core.credentials import masked
from limo_ablate.core.errors import UserError
from limo_ablate.trial.config import TrackConfig

OPENING, FINISHING = 0.25, 0.4
"""Shares of `track.patience_seconds`; in the rest W&B's service writes its file and exits."""

HOME = "https://api.wandb.ai"
ANSWER_SECONDS = 10.0
"""Longest time for the server to answer when a user is waiting."""


class NoKey(UserError):
    """There is no API key for W&B."""


def run_settings(track: TrackConfig, *, gpu: bool, silent: bool) -> Any:
    """W&B's settings: no console, code or git state, which the trial's folder has; only GPU utilisation."""
    patience = track.patience_seconds
    return wandb.Settings(
        silent=silent,
        console="off",
        disable_git=True,
        disable_code=True,
        disable_job_creation=True,
        x_disable_meta=True,
        x_disable_machine_info=True,
        x_save_requirements=False,
        x_disable_stats=not gpu,
        init_timeout=OPENING * patience,
        finish_timeout=FINISHING * patience,
        finish_timeout_raises=True,
    )


def check_server(timeout: float) -> None:
    """Raises ConnectionError if the server does not answer; W&B's client would try for 20 s in each trial.

    Raises UserError where only the current folder names the server.
    """
    settings = wandb.setup().settings
    check_workspace(Path(settings.settings_workspace))
    url = settings.base_url
    try:
        urlopen(url, timeout=timeout).close()  # noqa: S310
    except HTTPError:  # the server answers
        return
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise ConnectionError(masked(f"{url} does not answer ({reason})")) from error


def check_workspace(file: Path) -> None:
    """Raises UserError where `wandb/settings` of the current folder, which may be of others, says where runs
    and the key are sent, or with which key."""
    found = ConfigParser(interpolation=None)
    try:
        found.read(file)
    except ConfigError as error:
        raise UserError(f"{file}: can't be read: {' '.join(str(error).split())}") from error
    own = dict(found["default"]) if found.has_section("default") else {}
    for key, variable in (("base_url", "WANDB_BASE_URL"), ("api_key", "WANDB_API_KEY")):
        if own.get(key, HOME) != HOME and variable not in os.environ:
            raise UserError(f"{file} sets W&B's {key}; if you mean it, set {variable}, else remove the file")


def check_access() -> None:
    """Raises UserError if the server does not answer, or if there is no valid key."""
    try:
        check_server(ANSWER_SECONDS)
        with quiet():
            wandb.Api()
    except ConnectionError as error:
        raise UserError(f"W&B's server {error}; nothing was sent") from error
    except wandb.errors.UsageError as error:
        raise NoKey("no key for W&B: `wandb login`, or set WANDB_API_KEY") from error
    except wandb.errors.CommError as error:
        raise UserError(f"W&B's server: {' '.join(str(error).split())}") from error


def quiet() -> AbstractContextManager[Any]:
    """Hides W&B's own messages."""
    return redirect_stderr(StringIO())


def drop_staged() -> None:
    """Removes temporary folders of tables, which W&B keeps until a normal exit: trials end by os._exit."""
    with suppress(ImportError):
        cache = import_module("wandb.sdk.artifacts.artifact_instance_cache")
        cache.artifact_instance_cache_by_client_id.clear()
    gc.collect()


@contextmanager
def environment(folder: Path) -> Iterator[None]:
    """Sets what W&B reads only from the environment, unless the user has set it.

    Files staged for a later upload stay with the run, not in the home directory; no telemetry is sent.
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
