"""SIGTERM to a training, and kill -9 of a rank: at most what was learnt since the last checkpoint is lost."""

import os
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import Preempted, TrialFailure
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.train.curve import MEASURED
from limo_ablate.model.train.launch import train
from limo_ablate.model.train.stop import deferring_sigterm, stop_requested
from tests.quick_ranks import quick_ranks
from tests.tiny_models import CPU, TRAIN, TWO_RANKS, made_base, made_tokens

LONG = replace(TRAIN, steps=12)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def trained(store: Store, hardware: HardwareConfig, on_step: Any = None) -> Artifact:
    base = made_base(store)
    return train(store, made_tokens(store, base), base, LONG, hardware, on_step)


def at_step(number: int, action: Any) -> Any:
    def on_step(row: dict[str, Any]) -> None:
        if row["step"] == number:
            action()

    return on_step


def checkpoints(store: Store) -> list[str]:
    return sorted(path.name for path in store.root.glob("weights/*.partial/checkpoints/step-*"))


def curve(made: Artifact) -> pl.DataFrame:
    return pl.read_parquet(made.path / "curve.parquet").drop(MEASURED)


def undisturbed(tmp_path: Path, hardware: HardwareConfig) -> Artifact:
    return trained(Store(tmp_path / "undisturbed"), hardware)


def test_sigterm_ends_a_training_after_a_checkpoint_from_which_it_goes_on(
    store: Store, tmp_path: Path
) -> None:
    ask = at_step(5, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Preempted, match="asked to end after step 7; its checkpoint is written"):
        trained(store, CPU, ask)
    assert checkpoints(store) == ["step-00000007"], "the step before is read while this one is under way"
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, "what is no training is ended by it at once"
    seen: list[int] = []
    made = trained(store, CPU, lambda row: seen.append(row["step"]))
    assert seen == list(range(8, 13))
    whole = undisturbed(tmp_path, CPU)
    assert made.digest == whole.digest
    assert curve(made).equals(curve(whole))


def test_sigterm_to_the_head_of_ranks_ends_all_of_them_after_a_checkpoint(
    store: Store, tmp_path: Path
) -> None:
    with quick_ranks() as started:
        ask = at_step(2, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Preempted, match="asked to end after step"):
            trained(store, TWO_RANKS, ask)
        assert all(rank.poll() is not None for rank in started)
        assert len(checkpoints(store)) == 1
        made = trained(store, TWO_RANKS)
        assert curve(made).equals(curve(undisturbed(tmp_path, TWO_RANKS)))


def test_sigterm_to_one_rank_ends_all_of_them_after_a_checkpoint(store: Store) -> None:
    with quick_ranks() as started:
        ask = at_step(2, lambda: os.kill(started[1].pid, signal.SIGTERM))
        with pytest.raises(Preempted, match="asked to end after step"):
            trained(store, TWO_RANKS, ask)
        assert len(checkpoints(store)) == 1


def test_kill_9_of_a_rank_costs_what_came_after_the_checkpoint(store: Store, tmp_path: Path) -> None:
    with quick_ranks() as started:
        kill = at_step(8, lambda: os.kill(started[1].pid, signal.SIGKILL))
        base = made_base(store)
        tokens, often = made_tokens(store, base), replace(LONG, checkpoint_steps=3, steps=10_000)
        with pytest.raises(TrialFailure, match="rank 1 of 2 was killed by SIGKILL"):
            train(store, tokens, base, often, TWO_RANKS, kill)
        assert checkpoints(store), "written before the kill"
        kept = int(checkpoints(store)[-1].removeprefix("step-"))
        seen: list[int] = []

        def note(row: dict[str, Any]) -> None:
            seen.append(row["step"])
            if len(seen) == 3:
                os.kill(started[-1].pid, signal.SIGKILL)

        with pytest.raises(TrialFailure, match="SIGKILL"):
            train(store, tokens, base, often, TWO_RANKS, note)
        assert seen[0] == kept + 1


def test_only_the_main_thread_listens(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    heard: list[bool] = []

    def elsewhere() -> None:
        with deferring_sigterm():
            heard.append(stop_requested(tmp_path))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert heard == [False]
    assert signal.getsignal(signal.SIGTERM) == before
