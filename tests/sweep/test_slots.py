from dataclasses import replace
from pathlib import Path

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import HardwareConfig, available_cores, visible_gpus
from limo_ablate.sweep.slots import PASSES, Devices, Slot
from limo_ablate.trial.launch_config import LaunchConfig

CPU = HardwareConfig(name="cpu", device="cpu", processes=1, strategy="single", precision="no", threads=1)
GPU = replace(CPU, name="gpu1", device="cuda")
DDP = replace(GPU, name="ddp", processes=2, strategy="ddp", threads=4)
LAUNCH = LaunchConfig(
    executor="local", slots=None, attempts=3, backoff_seconds=0, hang_seconds=None, grace_seconds=5
)


def devices(slots: int | None = None, gpus: int = 4, cores: int = 4) -> Devices:
    return Devices(replace(LAUNCH, slots=slots), gpus=[f"gpu{i}" for i in range(gpus)], cores=cores)


def filled(machine: Devices, *hardware: HardwareConfig) -> list[Slot]:
    """What is started of `hardware`, each again and again, until nothing fits."""
    machine.check(hardware)
    waiting, started = [(one.name, one) for one in hardware for _ in range(20)], []
    while (place := machine.choose(waiting)) is not None:
        started.append(machine.acquire(waiting.pop(place)[1]))
    return started


def test_cpu_trials_share_the_cores() -> None:
    assert len(filled(devices(), CPU)) == 4
    assert len(filled(devices(), replace(CPU, threads=3))) == 1
    assert len(filled(devices(), replace(CPU, threads=10_000))) == 1
    assert len(filled(devices(slots=7), CPU)) == 7
    assert Devices(LAUNCH).cores == available_cores()


def test_each_trial_gets_as_many_gpus_as_it_has_ranks() -> None:
    assert [slot.gpus for slot in filled(devices(), GPU)] == [("gpu0",), ("gpu1",), ("gpu2",), ("gpu3",)]
    assert [slot.gpus for slot in filled(devices(), DDP)] == [("gpu0", "gpu1"), ("gpu2", "gpu3")]
    assert [slot.gpus for slot in filled(devices(), replace(DDP, processes=3), GPU)] == [
        ("gpu0", "gpu1", "gpu2"), ("gpu3",),
    ]  # fmt: skip
    assert [slot.devices for slot in filled(devices(), replace(DDP, processes=8, nodes=2))] == [4]


def test_a_trial_without_gpus_runs_beside_those_that_have_them() -> None:
    slots = filled(devices(gpus=1), GPU, replace(CPU, threads=2))
    assert [(slot.gpus, slot.cores) for slot in slots] == [(("gpu0",), 0), ((), 2), ((), 2)]


def test_more_slots_than_gpus_share_them_evenly() -> None:
    assert [slot.gpus for slot in filled(devices(slots=6), GPU)] == [
        ("gpu0",), ("gpu1",), ("gpu2",), ("gpu3",), ("gpu0",), ("gpu1",),
    ]  # fmt: skip
    assert [slot.gpus for slot in filled(devices(slots=1), DDP)] == [("gpu0", "gpu1")]


def test_what_is_given_back_is_used_again() -> None:
    machine = devices()
    slots = filled(machine, GPU)
    machine.release(slots[2])
    assert machine.acquire(GPU) == slots[2]


def test_a_wide_trial_is_passed_but_not_for_ever() -> None:
    machine, wide = devices(), replace(DDP, processes=4)
    slots = filled(machine, GPU)
    machine.release(slots.pop())
    waiting = [("wide", wide), ("narrow", GPU)]
    for _ in range(PASSES):
        assert machine.choose(waiting) == 1
        machine.release(machine.acquire(GPU))
    assert machine.choose(waiting) is None, "the narrow ones have passed it often enough"
    for slot in slots:
        machine.release(slot)
    assert machine.choose(waiting) == 0


def test_a_trial_wider_than_the_machine_is_a_users_error() -> None:
    with pytest.raises(UserError, match="hardware=ddp needs 8 GPUs for a trial, 4 are visible"):
        devices().check([GPU, replace(DDP, processes=8)])
    with pytest.raises(UserError, match=r"launch\.slots=0"):
        devices(slots=0)


def test_a_trial_sees_its_own_devices_only() -> None:
    assert devices().acquire(CPU).environment(CPU)["CUDA_VISIBLE_DEVICES"] == ""
    assert devices().acquire(DDP).environment(DDP)["CUDA_VISIBLE_DEVICES"] == "gpu0,gpu1"
    assert devices().acquire(CPU).environment(replace(CPU, threads=3))["OMP_NUM_THREADS"] == "3"


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
