"""A made study of eight trials under its real names and keys, as a sweep would have left it: for tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from limo_ablate.study.design import load_study
from limo_ablate.study.planned import planned_trials
from tests.made_study import Accuracy, Making, plausible

GRID = {
    "name": "grid",
    "axes": {"select.size": [4, 64], "select.quality": ["L1", "L4"]},
    "overrides": ["model=mini_m", "select.difficulty=any"],
}
QUALITY = {
    "name": "quality",
    "block": "grid",
    "factor": "select.quality",
    "a": "L1",
    "b": "L4",
    "score": "mini",
}
SIZE = {"name": "size", "block": "grid", "factor": "select.size", "a": 4, "b": 64, "score": "mini"}
SEEDS = (0, 1)


def small(
    folder: Path,
    store: Path,
    contrasts: tuple[dict[str, Any], ...] = (QUALITY, SIZE),
    accuracy: Accuracy = plausible,
    seeds: Sequence[int] = SEEDS,
) -> Path:
    """Writes the study into `folder`; its store is `store`."""
    made = Making(folder, blocks=[GRID], figures=(), contrasts=contrasts, seeds=seeds, accuracy=accuracy)
    made.write()
    change(folder / "study.yaml", lambda study: study["overrides"].append(f"paths.artifacts={store}"))
    change(folder / "study.yaml", lambda study: study["overrides"].append("data.miniature.per_level=30"))
    rows = json.loads((folder / "cells.json").read_text())
    for row, trial in zip(rows, planned_trials(load_study(str(folder / "study.yaml"))), strict=True):
        row |= {"name": trial.name, "key": trial.key, "seed": trial.seed}
        metrics = folder / "trials" / row["folder"] / "metrics.json"
        change(metrics, lambda found, key=trial.key: found.update(trial=key))
    (folder / "cells.json").write_text(json.dumps(rows))
    return folder


def change(path: Path, how: Any) -> None:
    """Reads a YAML or JSON file, lets `how` change it, and writes it back."""
    content = yaml.safe_load(path.read_text())
    how(content)
    path.write_text(json.dumps(content))


def ran(folder: Path, registered: dict[str, Any], started: str) -> None:
    """Lets the trials have trained and answered what is `registered`, from `started` on."""
    problems = {
        f"benchmark/{name}": {"key": "none", "digest": found[0]}
        for name, found in registered["benchmarks"].items()
    }
    for row in json.loads((folder / "cells.json").read_text()):
        trial = folder / "trials" / row["folder"]
        rows = {"selection": {"key": "none", "digest": registered["cells"][row["key"]]["selection"]}}
        answers = {"completions/mini": {"key": "none", "digest": "none", "made": started}}
        change(
            trial / "metrics.json",
            lambda found, new=rows | problems | answers: found["artifacts"].update(new),
        )
        change(trial / "metrics.json", lambda found: found.update(finished=started))
        versions = {name: registered[name] for name in ("code", "versions")}
        change(trial / "provenance.json", lambda found, versions=versions: found.update(versions))
