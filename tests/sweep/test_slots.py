from dataclasses import replace
from pathlib import Path

import pytest

from limo_ablate.config import HardwareConfig, LaunchConfig
from limo_ablate.errors import UserError
from limo_ablate.sweep.slots import cores, local_slots, visible_gpus

CPU = HardwareConfig(name="cpu", device="cpu", processes=1, strategy="single", precision="no", threads=1)
GPU = replace(CPU, name="gpu1", device="cuda")
DDP = replace(GPU, name="ddp", processes=2, strategy="ddp", threads=4)
ALL_THAT_FIT = LaunchConfig(slots=None, attempts=3)


@pytest.fixture
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2,5,7")


def gpus(*hardware: HardwareConfig, slots: int | None = None) -> list[tuple[str, ...]]:
    return [slot.gpus for slot in local_slots(hardware, LaunchConfig(slots=slots, attempts=3))]


def test_cpu_trials_share_the_cores() -> None:
    assert len(local_slots([CPU], ALL_THAT_FIT)) == cores()
    assert len(local_slots([CPU, replace(CPU, threads=10_000)], ALL_THAT_FIT)) == 1
    assert len(local_slots([CPU], LaunchConfig(slots=7, attempts=3))) == 7


@pytest.mark.usefixtures("four_gpus")
def test_gpus_are_cut_into_slots_as_wide_as_the_widest_trial() -> None:
    assert gpus(GPU) == [("0",), ("2",), ("5",), ("7",)]
    assert gpus(GPU, DDP, CPU) == [("0", "2"), ("5", "7")]
    assert gpus(replace(DDP, processes=3)) == [("0", "2", "5")]


@pytest.mark.usefixtures("four_gpus")
def test_more_slots_than_gpus_share_them() -> None:
    assert gpus(GPU, slots=6) == [("0",), ("2",), ("5",), ("7",), ("0",), ("2",)]
    assert gpus(DDP, slots=1) == [("0", "2")]


@pytest.mark.usefixtures("four_gpus")
def test_a_trial_wider_than_the_machine_is_a_users_error() -> None:
    with pytest.raises(UserError, match="hardware=ddp needs 8 GPUs for a trial, 4 are visible"):
        gpus(replace(DDP, processes=8))
    with pytest.raises(UserError, match=r"launch\.slots=0"):
        gpus(GPU, slots=0)


def test_a_trial_sees_its_slots_devices_only() -> None:
    (cpu,) = local_slots([CPU], LaunchConfig(slots=1, attempts=1))
    assert cpu.environment(CPU)["CUDA_VISIBLE_DEVICES"] == ""
    assert cpu.environment(replace(CPU, threads=3))["OMP_NUM_THREADS"] == "3"


def test_gpus_are_counted_without_cuda(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'GPU 0: H200 (UUID: GPU-1)'\necho 'GPU 1: H200 (UUID: GPU-2)'\n")
    tool.chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert visible_gpus() == ["0", "1"]
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert visible_gpus() == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []
