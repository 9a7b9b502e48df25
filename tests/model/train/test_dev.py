import json
import os
import signal
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import UserError
from limo_ablate.model.train.attention import attend_row_wise
from limo_ablate.model.train.batch import collate
from limo_ablate.model.train.config import DevConfig, LoraConfig, TrainConfig
from limo_ablate.model.train.curve import MEASURED
from limo_ablate.model.train.launch import train
from limo_ablate.model.train.load import load_model
from limo_ablate.model.train.loss import WithLoss
from limo_ablate.model.train.plan import Plan
from limo_ablate.model.train.token_rows import TokenRows, read_tokens
from tests.quick_ranks import quick_ranks
from tests.tiny_models import CPU, TRAIN, TWO_RANKS, made_base, made_tokens

DEV = DevConfig(rows=4, every=3, keep="best")
OVERFITTING = replace(
    TRAIN, dev=DEV, steps=20, learning_rate=5e-2, schedule="constant", micro_batch_tokens=300
)
"""Its dev loss is lowest before the end."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def best(store: Store) -> Artifact:
    return trained(store, OVERFITTING)


def trained(store: Store, config: TrainConfig, hardware: Any = CPU, on_step: Any = None) -> Artifact:
    base = made_base(store)
    return train(store, made_tokens(store, base), base, config, hardware, on_step)


def curve(weights: Artifact) -> pl.DataFrame:
    return pl.read_parquet(weights.path / "curve.parquet")


def facts(weights: Artifact) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((weights.path / "train.json").read_text())
    return found


def rows_and_plan(store: Store) -> tuple[TokenRows, Plan]:
    tokens = read_tokens(made_tokens(store, made_base(store)).path)
    return tokens, Plan(tokens.lengths, tokens.responses, OVERFITTING, tokens.problems)


def dev_loss_of(weights: Artifact, store: Store) -> float:
    """Of the saved weights, by a forward pass of their own."""
    tokens, plan = rows_and_plan(store)
    model = load_model(weights.path, dtype="float32", attention="sdpa", device="cpu")
    attend_row_wise(model)
    loss, _ = WithLoss(model)(collate(tokens, plan.dev, torch.device("cpu")))
    return loss.item() / int(tokens.responses[plan.dev].sum())


def test_the_dev_loss_is_that_of_rows_held_out(store: Store, best: Artifact) -> None:
    _, plan = rows_and_plan(store)
    assert len(plan.dev) == 4
    assert sorted([*plan.dev, *plan.rows]) == list(range(12))
    losses = curve(best)["dev_loss"]
    measured = [step for step, loss in enumerate(losses, start=1) if loss is not None]
    assert measured == [3, 6, 9, 12, 15, 18, 20]
    assert curve(best)["epoch"][0] == 0.5, "eight rows are left, five a step"
    assert (facts(best)["rows"], facts(best)["dev_rows"]) == (8, 4)
    assert facts(best)["dev_loss"] == pytest.approx(dev_loss_of(best, store), rel=1e-5)


def test_the_weights_of_the_best_step_are_kept(store: Store, best: Artifact) -> None:
    losses = curve(best)["dev_loss"]
    kept = facts(best)["kept_step"]
    assert losses[kept - 1] == losses.min() == facts(best)["dev_loss"]
    assert kept < 18, "else this test shows nothing"
    last = trained(store, replace(OVERFITTING, dev=replace(DEV, keep="last")))
    assert curve(last).drop(MEASURED).equals(curve(best).drop(MEASURED))
    assert (facts(last)["kept_step"], facts(last)["dev_loss"]) == (20, losses[-1])
    assert last.digest != best.digest
    assert not (best.path / "best").exists()


def test_measuring_changes_no_step(store: Store) -> None:
    lora = LoraConfig(rank=4, alpha=8, dropout=0.3, targets=("q_proj", "down_proj"))
    rarely, often = (
        curve(trained(store, replace(OVERFITTING, lora=lora, dev=replace(DEV, every=every))))["loss"]
        for every in (20, 1)
    )
    assert rarely.equals(often)


def test_after_kill_9_the_best_step_is_not_forgotten(best: Artifact, tmp_path: Path) -> None:
    """Killed after the best step and a checkpoint, and also just after a best step without a checkpoint."""
    store = Store(tmp_path)
    kept = facts(best)["kept_step"]
    config = replace(OVERFITTING, checkpoint_seconds=0.0)
    made_tokens(store, made_base(store))  # their threads would not live on in a forked process

    def killed_at(step: int) -> None:
        def kill(row: dict[str, Any]) -> None:
            if row["step"] == step:
                os.kill(os.getpid(), signal.SIGKILL)

        process = get_context("fork").Process(target=trained, args=(store, config, CPU, kill))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL

    for step in (kept, kept, kept + 2):
        killed_at(step)
    resumed = trained(store, config)
    assert curve(resumed).drop(MEASURED).equals(curve(best).drop(MEASURED))
    assert facts(resumed)["kept_step"] == kept
    assert resumed.digest == best.digest


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_two_processes_measure_and_keep_the_same(best: Artifact, store: Store, strategy: Any) -> None:
    with quick_ranks():
        both = trained(store, OVERFITTING, replace(TWO_RANKS, strategy=strategy))
    one, two = (curve(weights)["dev_loss"].drop_nulls().to_list() for weights in (best, both))
    assert two[:3] == pytest.approx(one[:3], rel=1e-3), "later steps drift apart, the rate is that high"
    assert curve(both)["dev_loss"][facts(both)["kept_step"] - 1] == min(two)
    assert facts(both)["dev_loss"] == min(two) == pytest.approx(dev_loss_of(both, store), rel=1e-5)


def test_measuring_each_step_hinders_no_checkpoint(tmp_path: Path) -> None:
    """The main process's word that one is due comes with a step that is read at once."""
    found: list[int] = []

    def look(row: dict[str, Any]) -> None:
        found.append(len(list(tmp_path.rglob("checkpoints/step-*"))))

    config = replace(TRAIN, dev=replace(DEV, every=1), checkpoint_seconds=0.0)
    with quick_ranks():
        trained(Store(tmp_path), config, TWO_RANKS, look)
    assert max(found) > 0


def test_problems_are_held_out_whole() -> None:
    lengths = np.arange(10, 30)
    problems = np.repeat(np.arange(5), 4)
    for seed in range(5):
        plan = Plan(lengths, lengths - 5, replace(OVERFITTING, seed=seed, dev=replace(DEV, rows=5)), problems)
        assert len(plan.dev) == 8
        assert not set(problems[plan.dev]) & set(problems[plan.rows])
    with pytest.raises(UserError, match=r"train\.dev\.rows=17: all 20 rows would be held out"):
        _ = Plan(lengths, lengths, replace(OVERFITTING, dev=replace(DEV, rows=17)), problems).dev
