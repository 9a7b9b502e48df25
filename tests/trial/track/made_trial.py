"""A finished trial's folder and artifacts, planted: what a tracker is told about."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from limo_ablate.core.artifacts import Artifact, Store
from tests import forked
from tests.made_study import Making

BIG = 2 << 20
ROOT = Path(__file__).resolve().parents[3]


def make_trial(study: Path) -> Path:
    """The folder of the one finished trial of a study."""
    block = {"name": "b", "axes": {"select.size": [64]}, "overrides": ["model=mini_m", "select.difficulty=any", "select.quality=L5"]}  # noqa: E501 # fmt: skip
    Making(study, blocks=[block], figures=[], seeds=[3]).write()
    return next((study / "trials").iterdir())


def made(path: Path) -> dict[str, Artifact]:
    store = Store(str(path / "store"))

    def weights(folder: Path) -> None:
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(b"0" * BIG)

    pool = store.build("pool", {}, lambda folder: (folder / "problems.parquet").write_text("x") and None)
    return {
        "pool": pool,
        "benchmark/mini": pool,
        "weights": store.build("weights", {"pool": pool}, weights),
    }


def metrics_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return found


def start(
    folder: Path, environment: Mapping[str, str], *overrides: str, first: int = 0, until: int = 0
) -> forked.Process:
    """Tracks that trial in a process of its own (tracked.py)."""
    arguments = (str(folder), str(folder.parents[1]), str(first), str(until), *overrides)
    return forked.start(
        Path(mkdtemp(dir=folder.parents[3])) / "tracked", "tests.trial.track.tracked", *arguments,
        cwd=ROOT, environment=environment, errors="errors",
    )  # fmt: skip


def track(
    folder: Path, environment: Mapping[str, str], *overrides: str, first: int = 0, until: int = 0
) -> str:
    """Its output when it has ended."""
    process = start(folder, environment, *overrides, first=first, until=until)
    return process.communicate()[0]


def limo_ablate(*arguments: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return forked.limo_ablate(*arguments, cwd=ROOT, environment=environment)
