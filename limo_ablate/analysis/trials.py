"""The trials of a study as they lie on disk: done, failed, or not run yet.

`cells.json`, which the sweep writes, says which folders are the study's and which blocks they belong to;
folders of an earlier form of the study stay on disk and are not counted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from limo_ablate.core.errors import UserError
from limo_ablate.study.block import Block
from limo_ablate.study.search.objectives import measured

CELLS, METRICS, FAILED = "cells.json", "metrics.json", "failed.json"
_ABSENT = object()


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
    """metrics.json; null while the trial is not finished."""
    failure: dict[str, Any] | None
    """failed.json (reason, log, command) of a trial without a result."""

    def level(self, key: str) -> Any:
        """What `key` was in this trial: as asked for, or else from the resolved configuration.

        A group (`model`) is the name its configuration carries. Raises UserError where neither has it.
        """
        if (found := self._find(key)) is _ABSENT:
            raise UserError(f"{key}: no key of the configuration of trial {self.name} ({self.folder})")
        return found

    def level_if_any(self, key: str) -> Any:
        """The same, but null where neither has it."""
        return None if (found := self._find(key)) is _ABSENT else found

    def _find(self, key: str) -> Any:
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
    """A trial's config.yaml; empty when the trial never started."""
    import yaml

    try:
        text = (folder / "config.yaml").read_text()
    except FileNotFoundError:
        return {}
    return dict(yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))  # noqa: S506 (both are safe)


def load_trials(study: Path) -> list[Trial]:
    """All trials of the study in `study`, in the study's order. Raises UserError if it is no study."""
    try:
        cells = json.loads((study / CELLS).read_text())
    except FileNotFoundError:
        raise UserError(
            f"{study}: no {CELLS} there, so no study; `limo-ablate sweep NAME` makes one"
        ) from None
    return [read_trial(study / "trials" / cell["folder"], cell) for cell in cells]


def read_trial(folder: Path, cell: dict[str, Any]) -> Trial:
    """The trial in `folder`; `cell` is its row of cells.json: name, seed, blocks, overrides."""
    metrics = _read(folder / METRICS)
    failure = None if metrics else _read(folder / FAILED)
    return Trial(
        cell["name"], folder, cell["seed"], tuple(cell["blocks"]), cell["overrides"], metrics, failure
    )


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    return content


def best_of_tuning(trials: Sequence[Trial], block: Block) -> list[Trial]:
    """Of a tuned block's finished trials, each point's best under each seed, by the tuning's score."""
    assert block.tune is not None
    sign = 1 if block.tune.direction == "maximize" else -1
    best: dict[str, tuple[float, Trial]] = {}
    for trial in trials:
        point = repr([trial.seed, *(trial.level_if_any(key) for key in block.factors())])
        value = sign * measured(trial.metrics or {}, block.tune.score)
        if point not in best or value > best[point][0]:
            best[point] = value, trial
    return [trial for _, trial in best.values()]
