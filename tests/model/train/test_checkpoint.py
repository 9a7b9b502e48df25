import logging
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import DiskFull, TrialFailure
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.train.checkpoint import Pace
from limo_ablate.model.train.config import LoraConfig, TrainConfig
from limo_ablate.model.train.curve import MEASURED
from limo_ablate.model.train.launch import train
from tests.quick_ranks import quick_ranks
from tests.tiny_models import CPU, TRAIN, TWO_RANKS, made_base, made_tokens

EACH_STEP = replace(TRAIN, steps=9, checkpoint_seconds=0.0)


def curve(weights: Artifact) -> pl.DataFrame:
    return pl.read_parquet(weights.path / "curve.parquet").drop(MEASURED)


def run(
    store: Store, on_step: Any = None, hardware: HardwareConfig = CPU, config: TrainConfig = EACH_STEP
) -> Artifact:
    base = made_base(store)
    return train(store, made_tokens(store, base), base, config, hardware, on_step)


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


def test_by_steps_the_newest_two_are_kept(tmp_path: Path) -> None:
    """Whatever the clock says; at the end they are gone."""
    seen: list[list[str]] = []

    def look(row: dict[str, Any]) -> None:
        seen.append(sorted(path.name[-2:] for path in tmp_path.rglob("step-*")))

    store = Store(tmp_path)
    base = made_base(store)
    by_steps = replace(TRAIN, steps=9, checkpoint_steps=3)
    weights = train(store, made_tokens(store, base), base, by_steps, CPU, look)
    # A process that is alone reads step 3 when it writes its checkpoint, before the folder is there.
    assert seen == [[], [], [], ["03"], ["03"], ["03"], ["03", "06"], ["03", "06"], ["03", "06"]]
    assert not list(weights.path.glob("checkpoints"))


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_ranks_that_are_killed_again_and_again_go_on_exactly(strategy: str, tmp_path: Path) -> None:
    """Each time another rank, at a moment that the machine chooses; each draws its own dropout."""
    hardware = replace(TWO_RANKS, strategy=strategy)
    lora = LoraConfig(rank=4, alpha=8, dropout=0.5, targets=("q_proj", "down_proj"))
    config = replace(EACH_STEP, lora=lora)
    with quick_ranks() as started:
        whole = run(Store(tmp_path / "whole"), hardware=hardware, config=config)
        for at in (2, 5):

            def kill(row: dict[str, Any], at: int = at) -> None:
                if row["step"] == at:
                    os.kill(started[-1 - at % 2].pid, signal.SIGKILL)

            with pytest.raises(TrialFailure, match="was killed by SIGKILL"):
                run(Store(tmp_path / "killed"), kill, hardware, config)
            assert all(rank.poll() is not None for rank in started), "none waits for the dead one"
        # a kill may come before the oldest of three is removed
        assert len(list(tmp_path.rglob("checkpoints/step-*"))) in (2, 3)
        resumed = run(Store(tmp_path / "killed"), hardware=hardware, config=config)
    assert curve(resumed).equals(curve(whole))
    assert resumed.digest == whole.digest


@pytest.mark.usefixtures("deepspeed")
def test_so_do_those_of_deepspeed(uninterrupted: Artifact, tmp_path: Path) -> None:
    """As one process that was never killed."""
    hardware, steps = replace(TWO_RANKS, strategy="zero3"), list[int]()

    def kill(row: dict[str, Any]) -> None:
        if row["step"] == 4:
            os.kill(started[1].pid, signal.SIGKILL)

    with quick_ranks() as started:
        with pytest.raises(TrialFailure, match="was killed by SIGKILL"):
            run(Store(tmp_path), kill, hardware)
        kept = max(int(path.name[-8:]) for path in tmp_path.rglob("checkpoints/step-*"))
        resumed = run(Store(tmp_path), lambda row: steps.append(row["step"]), hardware)
    assert steps == list(range(kept + 1, 10))
    for column in ("loss", "grad_norm", "learning_rate"):
        assert curve(resumed)[column].to_list() == pytest.approx(curve(uninterrupted)[column].to_list(), 1e-4)
    weights = (load_file(made.path / "model.safetensors") for made in (resumed, uninterrupted))
    torch.testing.assert_close(*weights, rtol=0, atol=1e-4)  # 1e-2 a step


@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_a_damaged_shard_falls_back_to_the_checkpoint_before(tmp_path: Path, damage: str) -> None:
    store, hardware = Store(tmp_path), replace(TWO_RANKS, strategy="fsdp2")

    def stop(row: dict[str, Any]) -> None:
        if row["step"] == 6:
            raise KeyboardInterrupt

    steps: list[int] = []
    with quick_ranks():
        with pytest.raises(KeyboardInterrupt):
            run(store, stop, hardware)
        before, newest = sorted(tmp_path.rglob("checkpoints/step-*"))
        shard = newest / "state" / "shards" / "__1_0.distcp"
        if damage == "cut":
            os.truncate(shard, 100)
        else:
            shard.unlink()
        run(store, lambda row: steps.append(row["step"]), hardware)
    assert steps[0] == int(before.name[-8:]) + 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few checkpoints' size."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk can't be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)  # tokens are still mapped


@pytest.mark.parametrize("hardware", [CPU, replace(TWO_RANKS, strategy="fsdp2")], ids=["alone", "fsdp2"])
def test_a_full_disk_is_one_clear_line_and_the_last_checkpoint_serves(
    uninterrupted: Artifact, small_disk: Path, hardware: HardwareConfig
) -> None:
    store, ballast = Store(small_disk), small_disk / "ballast"
    # ranks go on while their steps are told: there must be some left to write when the disk is full
    config = EACH_STEP if hardware == CPU else replace(EACH_STEP, steps=60)

    def fill(row: dict[str, Any]) -> None:
        if row["step"] == 5:
            with suppress(OSError):  # ranks write meanwhile
                ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free))
            os.truncate(ballast, ballast.stat().st_size - 100_000)

    steps: list[int] = []
    with quick_ranks():
        with pytest.raises(TrialFailure) as failure:
            run(store, fill, hardware, config)
        assert re.search(r"no space left: \S+ needs about \d\.\d MB for a checkpoint;", str(failure.value))
        assert "\n" not in str(failure.value)
        ballast.unlink()
        weights = run(store, lambda row: steps.append(row["step"]), hardware, config)
    assert steps[0] >= 4, "nothing is done again but the last step or two"
    if hardware == CPU:
        assert weights.digest == uninterrupted.digest


@pytest.mark.parametrize(
    ("config", "what"),
    [(EACH_STEP, "a checkpoint"), (TRAIN, "the trained weights")],
    ids=["checkpoint", "end"],
)
def test_what_has_no_room_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: TrainConfig, what: str
) -> None:
    usage = shutil._ntuple_diskusage(2**40, 2**40 - 9, 9)  # type: ignore[attr-defined]
    monkeypatch.setattr("limo_ablate.model.train.checkpoint.shutil.disk_usage", lambda _: usage)
    store = Store(tmp_path)
    base = made_base(store)
    with pytest.raises(DiskFull, match=rf"no space left: \S+ needs about \d\.\d MB for {what};"):
        train(store, made_tokens(store, base), base, config, CPU)
    assert not [path for path in tmp_path.rglob("*.safetensors") if ".partial" in str(path)]


@pytest.mark.parametrize("whole", [20.0, 100.0, 3600.0, 100_000.0])
@pytest.mark.parametrize("cost", [0.05, 5.0, 200.0])
@pytest.mark.parametrize("guess", [0.2, 1.0, 5.0])
def test_checkpoints_by_time_take_at_most_a_twentieth_of_a_training(
    whole: float, cost: float, guess: float
) -> None:
    """Whatever they cost; one more where the first costs more than it was taken for."""
    pace, now, saved, taken, longest = Pace(30.0, guess * cost), 0.0, 0.0, 0, 0.0
    while now < whole:
        now += 1.0
        if pace.due(now - saved, whole):
            longest = max(longest, now - saved)
            now += cost
            pace.add(cost)
            saved, taken = now, taken + 1
    assert taken * cost <= 0.05 * whole + (cost if guess < 1 else 0)
    assert longest <= max(31.0, 21 * cost), "and come as often as that allows"
    assert taken > 0 or guess * cost > 0.05 * whole or whole < 30


def test_a_costly_checkpoint_is_not_written_in_a_short_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    monkeypatch.setattr("limo_ablate.model.train.curve.WRITE_SPEED", 1e3)
    monkeypatch.setattr("limo_ablate.model.train.curve.save_checkpoint", lambda *_: written.append(1))
    run(Store(tmp_path), config=replace(TRAIN, checkpoint_seconds=1e-9))
    assert written == []
    monkeypatch.setattr("limo_ablate.model.train.curve.WRITE_SPEED", 1e18)
    run(Store(tmp_path / "cheap"), config=replace(TRAIN, checkpoint_seconds=1e-9))
    assert written
