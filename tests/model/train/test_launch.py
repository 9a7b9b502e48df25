import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import TrialFailure, UserError
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.train import zero3
from limo_ablate.model.train.base import model_path, read_reference
from limo_ablate.model.train.config import LoraConfig, TrainConfig
from limo_ablate.model.train.job import TrainingJob
from limo_ablate.model.train.launch import train
from limo_ablate.model.train.processes import make_accelerator
from limo_ablate.model.train.ranks import run_ranks
from tests.planted import plant
from tests.quick_ranks import quick_ranks
from tests.tiny_models import CPU, TRAIN, TWO_RANKS, made_base, made_tokens
from tests.waiting import gone, until


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def trained(
    store: Store, hardware: HardwareConfig, config: TrainConfig = TRAIN, on_step: Any = None
) -> Artifact:
    base = made_base(store)
    return train(store, made_tokens(store, base), base, config, hardware, on_step)


def workers_of(folder: Path) -> dict[int, dict[str, str]]:
    """Process id -> environment of what lives and runs a job under `folder`: ranks, and what starts them."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (process / "cmdline").read_bytes().decode()
            if "limo_ablate.model.train.worker" in command and str(folder) in command:
                pairs = (process / "environ").read_bytes().decode().split("\0")
                found[int(process.name)] = dict(pair.split("=", 1) for pair in pairs if pair)
    return found


def ranks_of(folder: Path) -> dict[int, int]:
    """Rank -> process id of the living workers whose job lies under `folder`."""
    workers = workers_of(folder)
    return {int(own["RANK"]): number for number, own in workers.items() if "RANK" in own}


def test_two_processes_have_the_curve_of_one(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """12 rows in batches of 5: the last batch of an epoch has 2, one a rank, and the ranks' parts differ.

    The store's path is relative, as `paths.artifacts` is.
    """
    config = replace(TRAIN, checkpoint_seconds=0.0)
    planted = plant(tmp_path)
    monkeypatch.chdir(tmp_path)  # whose modules no rank imports
    seen: list[dict[str, Any]] = []
    one = pl.read_parquet(trained(store, CPU, config).path / "curve.parquet")
    folder = trained(Store(Path()), TWO_RANKS, config, seen.append).path
    two = pl.read_parquet(folder / "curve.parquet")
    assert seen == two.to_dicts()
    assert two["tokens"].to_list() == one["tokens"].to_list()
    for column in ("loss", "token_accuracy", "grad_norm"):
        assert two[column].to_list() == pytest.approx(one[column].to_list(), rel=1e-4)
    assert {path.name for path in folder.iterdir() if path.is_dir()} == set()
    assert not planted.exists()


def test_a_rank_that_is_killed_takes_the_others_down(store: Store) -> None:
    def kill_the_second(row: dict[str, Any]) -> None:
        if row["step"] == 2:
            os.kill(started[1].pid, signal.SIGKILL)

    with quick_ranks() as started, pytest.raises(TrialFailure, match="rank 1 of 2 was killed by SIGKILL"):
        trained(store, TWO_RANKS, replace(TRAIN, steps=100_000), kill_the_second)
    assert all(rank.poll() is not None for rank in started)


def test_a_rank_that_fails_says_why(store: Store, tmp_path: Path) -> None:
    base = made_base(store)
    job = TrainingJob(
        tokens=str(tmp_path / "nowhere"), model=model_path(base), reference=read_reference(base),
        train=TRAIN, hardware=TWO_RANKS, folder=str(tmp_path),
    )  # fmt: skip
    with quick_ranks() as started:
        with pytest.raises(TrialFailure, match=r"(?s)rank \d failed.*No such file.*nowhere"):
            run_ranks(job, None)
        assert all(rank.poll() is not None for rank in started)
        asked = replace(TRAIN, lora=LoraConfig(rank=4, alpha=8, dropout=0.0, targets=("nonsense",)))
        with pytest.raises(
            UserError, match=r"^train\.lora\.targets: the model has no module named nonsense$"
        ):
            trained(store, TWO_RANKS, asked)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends a process with its parent on Linux only")
def test_a_worker_dies_with_its_parent() -> None:
    child = (
        "import os, sys, time; from limo_ablate.model.train.managed_process import die_with; "
        "die_with(int(sys.argv[1])); print(os.getpid(), flush=True); time.sleep(1000)"
    )
    parent = (
        "import os, subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1], str(os.getpid())])"
    )
    with subprocess.Popen([sys.executable, "-c", parent, child], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        process.kill()
    until(lambda: gone(worker))


def test_what_zero3_does_not_support(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    hardware = replace(TWO_RANKS, strategy="zero3")
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    with pytest.raises(UserError, match=r"needs DeepSpeed: pip install 'limo-ablate\[zero3\]'"):
        trained(store, hardware)
    monkeypatch.setattr(zero3, "find_spec", lambda name: name)
    lora = LoraConfig(rank=4, alpha=8, dropout=0.0, targets=("q_proj",), save="adapter")
    with pytest.raises(UserError, match=r"train\.lora is not supported with hardware\.strategy=zero3"):
        trained(store, hardware, replace(TRAIN, lora=lora))
    with pytest.raises(UserError, match=r"train\.loss=liger is not supported with"):
        zero3.check_zero3(replace(TRAIN, loss="liger"))
    base = made_base(store)
    adapter = trained(store, CPU, replace(TRAIN, steps=1, lora=lora))
    with pytest.raises(UserError, match=r"is a LoRA adapter; train it with train.lora.save=merged"):
        train(store, made_tokens(store, base), adapter, TRAIN, hardware)


def test_a_world_of_another_size_is_refused() -> None:
    with pytest.raises(TrialFailure, match=r"hardware.processes=2, but Accelerate has 1"):
        make_accelerator(TRAIN, TWO_RANKS)


def test_gpus_that_are_not_there_are_missed_before_anything_starts(store: Store) -> None:
    with pytest.raises(UserError, match=r"hardware=h needs 99 GPU\(s\), \d are visible here"):
        trained(store, replace(TWO_RANKS, name="h", device="cuda", processes=99))
