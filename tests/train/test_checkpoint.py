import logging
import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from limo_ablate.artifacts import Artifact, Store
from limo_ablate.train import train
from tests.tiny_models import CPU, TRAIN, made_base, made_tokens

EACH_STEP = replace(TRAIN, steps=9, checkpoint_seconds=0.0)


def curve(weights: Artifact) -> pl.DataFrame:
    return pl.read_parquet(weights.path / "curve.parquet").drop("seconds")


def run(store: Store, on_step: Any = None) -> Artifact:
    base = made_base(store)
    return train(store, made_tokens(store, base), base, EACH_STEP, CPU, on_step)


def killed_at(step: int, store: Store) -> Path:
    """Trains in a process that is killed by `kill -9` at `step`; returns the checkpoints it leaves."""

    def kill(row: dict[str, Any]) -> None:
        if row["step"] == step:
            os.kill(os.getpid(), signal.SIGKILL)

    made_tokens(store, made_base(store))
    process = multiprocessing.get_context("fork").Process(target=run, args=(store, kill))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    return next((store.root / "weights").glob("*.partial")) / "checkpoints"


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return run(Store(tmp_path_factory.mktemp("whole")))


def test_after_kill_9_the_training_goes_on_exactly(uninterrupted: Artifact, tmp_path: Path) -> None:
    store = Store(tmp_path)
    checkpoints = killed_at(6, store)
    assert len(list(checkpoints.glob("step-*"))) == 2, "the newest two are kept"
    steps: list[int] = []
    resumed = run(store, lambda row: steps.append(row["step"]))
    assert steps == [6, 7, 8, 9]
    assert curve(resumed).equals(curve(uninterrupted))
    assert pl.read_parquet(resumed.path / "curve.parquet")["seconds"].is_sorted()
    assert resumed.digest == uninterrupted.digest, "bit-identical weights"
    assert not checkpoints.exists()


@pytest.mark.parametrize("damage", ["flipped", "cut", "no progress"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    uninterrupted: Artifact, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path)
    newest = max(killed_at(6, store).glob("step-*"))
    weights = newest / "state" / "model.safetensors"
    if damage == "flipped":
        content = bytearray(weights.read_bytes())
        content[-5] ^= 1
        weights.write_bytes(content)
    elif damage == "cut":
        weights.write_bytes(weights.read_bytes()[:100])
    else:
        (newest / "progress.json").write_text("{")
    steps: list[int] = []
    with caplog.at_level(logging.WARNING):
        resumed = run(store, lambda row: steps.append(row["step"]))
    assert f"{newest.name} is damaged" in caplog.text
    assert steps[0] == 5
    assert resumed.digest == uninterrupted.digest
