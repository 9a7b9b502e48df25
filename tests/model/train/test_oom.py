"""Trainings whose memory really runs out: the kernel refuses a process more than a limit."""

import json
import logging
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from limo_ablate.core.artifacts import Store
from tests.model.train.starved import CONFIG, LIMITED_FROM, MALLOC, run, starve_below_its_peak, trained
from tests.quick_ranks import forked, quick_ranks
from tests.tiny_models import TWO_RANKS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux obeys such a limit (RLIMIT_DATA)")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(Store(tmp_path_factory.mktemp("undisturbed"))).path


def losses(weights: Path) -> list[float]:
    return pl.read_parquet(weights / "curve.parquet")["loss"].to_list()


def micro_batch_tokens(weights: Path) -> int:
    return json.loads((weights / "train.json").read_text())["micro_batch_tokens"]


def test_a_training_out_of_memory_goes_on_with_half_the_tokens(undisturbed: Path, tmp_path: Path) -> None:
    """Rows that do not even fit alone fail, and the next training of the process has the memory back."""
    alone = {"micro_batch_tokens": 1, "checkpoint_seconds": 1e9}
    process = forked(run, tmp_path, [(alone, 1), ({}, 80)], tmp_path / "log")
    process.join()
    said = (tmp_path / "log").read_text()
    assert process.exitcode == 0, said
    failed, halved = json.loads(said.splitlines()[-1])
    weights = Path(halved["weights"])
    half = micro_batch_tokens(weights)
    assert 1000 < half < 2000
    assert f"resuming with train.micro_batch_tokens={half}" in said
    assert "can't allocate memory" in said
    assert halved["steps"] == list(range(1, 9)), "none comes twice"
    assert losses(weights)[:LIMITED_FROM] == losses(undisturbed)[:LIMITED_FROM], "from the checkpoint"
    assert losses(weights) == pytest.approx(losses(undisturbed), rel=1e-4)
    assert failed["steps"] == [1, 2]
    assert "out of memory with a single row of" in failed["error"]
    assert "It would fit with train.gradient_checkpointing=true" in failed["error"]


def test_a_rank_out_of_memory_starts_all_of_them_again(
    undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in MALLOC.items():
        monkeypatch.setenv(name, value)
    steps: list[int] = []

    def starve_one(row: dict[str, Any]) -> None:
        steps.append(row["step"])
        if row["step"] == LIMITED_FROM:
            starve_below_its_peak(started[1].pid)

    with quick_ranks() as started, caplog.at_level(logging.WARNING):
        weights = trained(Store(tmp_path), TWO_RANKS, CONFIG, starve_one).path
    assert steps == list(range(1, 9))
    assert "out of memory (rank 1: " in caplog.text
    assert losses(weights) == pytest.approx(losses(undisturbed), rel=1e-4)
    assert 500 < micro_batch_tokens(weights) < 1000
