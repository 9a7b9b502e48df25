"""The energy counter, over a stand-in of NVML with the same functions: there is no GPU here."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from limo_ablate.core.energy import EnergyMeter
from tests.tiny_models import CPU

GPU = replace(CPU, device="cuda", processes=2, strategy="ddp")


@pytest.fixture
def counters(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Millijoules by GPU."""
    found = {"0": 5000, "1": 7000, "2": 0, "GPU-ab": 100}
    nvml = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=lambda number: str(number),
        nvmlDeviceGetHandleByUUID=lambda name: name,
        nvmlDeviceGetTotalEnergyConsumption=lambda gpu: found[gpu],
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    return found


@pytest.mark.parametrize(
    ("visible", "own"), [(None, ("0", "1")), ("2,1", ("2", "1")), ("GPU-ab,0", ("GPU-ab", "0"))]
)
def test_only_the_energy_of_the_trials_own_gpus_counts(
    counters: dict[str, int], monkeypatch: pytest.MonkeyPatch, visible: str | None, own: tuple[str, str]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    meter = EnergyMeter(GPU)
    for gpu in counters:
        counters[gpu] += 2000 if gpu in own else 9
    assert meter.joules() == 4.0


def test_without_nvml_or_gpus_energy_is_unknown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert EnergyMeter(CPU).joules() is None
    assert not caplog.records
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert EnergyMeter(GPU).joules() is None
    assert "energy is not measured: ModuleNotFoundError" in caplog.text
