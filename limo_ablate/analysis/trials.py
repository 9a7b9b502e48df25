"""The trials of a study, read from disk: finished, failed, or not run yet.

`cells.json`, written by the sweep, lists the study's trials with their folders and blocks. Folders left over
from an earlier version of the study are ignored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

from limo_ablate.analysis.results import CurrentInputs, edited, read_metrics, store_of, usable
from limo_ablate.core.errors import UserError
from limo_ablate.core.files import check_links, is_plain_name
from limo_ablate.core.reading import read_json, read_yaml
from limo_ablate.core.remote.object_store import store_folder
from limo_ablate.study.block import Block
from limo_ablate.study.folder import started_in
from limo_ablate.study.levels import hashable
from limo_ablate.study.search.objectives import objective_value

CELLS, FAILED = "cells.json", "failed.json"
_ABSENT = object()


class CellRow(TypedDict):
    """A row of cells.json."""

    name: str
    key: str
    folder: Any  # whether it is a name is checked apart
    seed: int
    blocks: list[str]
    overrides: dict[str, Any]


class Failure(TypedDict):
    """failed.json."""

    reason: str
    log: str
    command: str


class _Paths(TypedDict):
    artifacts: str


class _Config(TypedDict):
    """What is read of config.yaml by name."""

    paths: _Paths


@dataclass(frozen=True, slots=True)
class Trial:
    """One cell of a study under one seed."""

    name: str
    folder: Path
    seed: int
    blocks: tuple[str, ...]
    overrides: dict[str, Any]
    """Key -> value."""
    metrics: dict[str, Any] | None
    """Content of metrics.json; None while the trial is not finished, or where its stale result must not be
    used beside current ones."""
    failure: dict[str, Any] | None
    """Content of failed.json (reason, log, command); None for a trial with a result."""
    stale: tuple[str, ...] = ()
    """What has changed since the trial finished."""

    def level(self, key: str) -> Any:
        """Value of `key` in this trial: from its overrides, else from its resolved configuration.

        For a group (`model`), the name in its configuration. Raises UserError where neither has the key.
        """
        if (value := self._find(key)) is _ABSENT:
            raise UserError(f"{key}: no key of the configuration of trial {self.name} ({self.folder})")
        return value

    def level_if_any(self, key: str) -> Any:
        """Like `level`, but None where neither has the key."""
        return None if (value := self._find(key)) is _ABSENT else value

    def _find(self, key: str) -> Any:
        return hashable(self._found(key))

    def _found(self, key: str) -> Any:
        if key in self.overrides:
            return self.overrides[key]
        node: Any = resolved(self.folder)
        for part in key.split("."):
            if not isinstance(node, dict) or part not in node:
                return _ABSENT
            node = node[part]
        return node["name"] if isinstance(node, dict) and "name" in node else node


@cache
def resolved(folder: Path) -> dict[str, Any]:
    """A trial's config.yaml; empty if the trial never started."""
    try:
        found: dict[str, Any] = read_yaml(folder / "config.yaml", _Config)
    except FileNotFoundError:
        return {}
    return found


def load_trials(study: Path) -> list[Trial]:
    """All trials of the study in folder `study`, in order. Raises UserError if it is not a study, and where a
    link leads out of it."""
    cells = read_cells(study)
    check_links(study)
    trials = [read_trial(study / "trials" / cell["folder"], cell) for cell in cells]
    finished = [trial for trial in trials if trial.metrics]
    if not finished:
        return trials
    paths: dict[str, str] = resolved(finished[0].folder).get("paths", {})
    root = str(store_folder(paths["artifacts"], paths.get("cache", ""))) if paths else None
    bases = [*started_in(study), Path()]
    current = CurrentInputs(store_of(bases, root), bases)
    results = [trial.metrics or {} for trial in finished]
    changes = [
        (*current.changes(metrics), *edited(trial.folder, metrics))
        for trial, metrics in zip(finished, results, strict=True)
    ]
    stale = {
        id(trial): replace(trial, stale=changed or (why or "",), metrics=None if why else trial.metrics)
        for trial, changed, why in zip(finished, changes, usable(results, changes), strict=True)
        if changed or why
    }
    return [stale.get(id(trial), trial) for trial in trials]


def read_cells(study: Path) -> list[dict[str, Any]]:
    """The rows of a study's cells.json: name, key, folder, seed, blocks and overrides of each trial.

    Raises UserError where there is no such file, or a folder in it is not the name of one.
    """
    path = study / CELLS
    try:
        cells: list[dict[str, Any]] = read_json(path, list[CellRow])
    except FileNotFoundError:
        raise UserError(
            f"{study}: not the folder of a study: it has no {CELLS}; `limo-ablate sweep NAME` creates one"
        ) from None
    for cell in cells:
        if not is_plain_name(cell["folder"]):
            raise UserError(
                f"{path}: folder {cell['folder']!r} is not the name of a folder of {study / 'trials'}; "
                "the file was not written by `limo-ablate sweep`"
            )
    return cells


def read_trial(folder: Path, cell: dict[str, Any]) -> Trial:
    """The trial in `folder`; `cell` is its row of cells.json: name, key, seed, blocks, overrides."""
    metrics: dict[str, Any] | None = None
    stale: tuple[str, ...] = ()
    try:
        metrics = read_metrics(folder, cell["key"])
    except UserError as error:
        stale = (str(error),)
    failure = None if metrics else _read_failure(folder / FAILED)
    blocks, overrides = tuple(cell["blocks"]), cell["overrides"]
    return Trial(cell["name"], folder, cell["seed"], blocks, overrides, metrics, failure, stale)


def _read_failure(path: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = read_json(path, Failure)
    except FileNotFoundError:
        return None
    except UserError as error:  # the disk was full
        return {"reason": str(error), "log": "", "command": ""}
    return content


def best_of_tuning(trials: Sequence[Trial], block: Block) -> list[Trial]:
    """The best trial of each point and seed of a tuned block's finished trials, by the tuning's score."""
    assert block.tune is not None
    sign = 1 if block.tune.direction == "maximize" else -1
    best: dict[str, tuple[float, Trial]] = {}
    for trial in trials:
        point = repr([trial.seed, *(trial.level_if_any(key) for key in block.factors())])
        value = sign * objective_value(trial.metrics or {}, block.tune.score)
        if point not in best or value > best[point][0]:
            best[point] = value, trial
    return [trial for _, trial in best.values()]
