from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.model.train.config import LoraConfig
from limo_ablate.model.train.plan import Plan
from tests.tiny_models import TRAIN

LENGTHS = np.array([9, 3, 12, 7, 5, 4, 8, 20, 6, 11, 10, 2, 13])


def plan(**changes: object) -> Plan:
    return Plan(LENGTHS, LENGTHS - 1, replace(TRAIN, **changes))


def test_every_row_comes_once_an_epoch_in_an_order_of_the_seed() -> None:
    epoch = list(islice(plan().batches(), 3))
    assert [len(batch) for batch in epoch] == [5, 5, 3]
    assert sorted(np.concatenate(epoch)) == list(range(13))
    both = [np.concatenate(list(islice(plan(seed=seed).batches(), 6))) for seed in (0, 1)]
    assert not np.array_equal(both[0][:13], both[0][13:])
    assert not np.array_equal(both[0], both[1])


@pytest.mark.parametrize(
    ("budget", "steps"),
    [({"steps": 7}, 7), ({"epochs": 2.0}, 6), ({"epochs": 0.5}, 2), ({"epochs": 0.01}, 1)],
)
def test_budgets_of_steps_and_epochs(budget: dict, steps: int) -> None:
    assert plan(**{"steps": None, **budget}).total_steps == steps


def test_a_budget_of_tokens_ends_with_the_step_that_reaches_it() -> None:
    some = plan(steps=None, tokens=150)
    trained = np.cumsum([(LENGTHS[batch] - 1).sum() for batch in islice(some.batches(), some.total_steps)])
    assert trained[-2] < 150 <= trained[-1]


@pytest.mark.parametrize("world", [1, 2, 3, 8])
@pytest.mark.parametrize("tokens", [1, 20, 40, 1000])
def test_the_ranks_share_every_batch(world: int, tokens: int) -> None:
    some = plan(micro_batch_tokens=tokens)
    for batch in islice(some.batches(), 3):
        passes = some.passes(batch, world)
        assert {len(ranks) for ranks in passes} == {world}, "collectives must match"
        parts = [part for ranks in passes for part in ranks]
        assert all(len(part) < 2 or LENGTHS[part].sum() <= tokens for part in parts)
        assert sorted(np.concatenate(parts)) == sorted(batch)


def test_schedules() -> None:
    def rates(schedule: str, warmup: float = 0.0) -> list[float]:
        some = plan(schedule=schedule, warmup_ratio=warmup, learning_rate=1.0, steps=4)
        return [some.learning_rate(step) for step in range(4)]

    assert rates("constant") == [1, 1, 1, 1]
    assert rates("linear") == [1, 0.75, 0.5, 0.25]
    assert rates("cosine") == pytest.approx([1, (1 + 2**-0.5) / 2, 0.5, (1 - 2**-0.5) / 2])
    assert rates("linear", warmup=0.5) == [0.5, 1, 1, 0.5]
    assert rates("constant", warmup=1.0) == [0.25, 0.5, 0.75, 1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"learning_rate": -1.0}, r"learning_rate=-1\.0 must not be negative"),
        ({"betas": (0.9, 1.0)}, r"betas=\[0\.9, 1\.0\] from 0 to below 1"),
        ({"grad_clip": 0.0}, r"grad_clip=0\.0 must be positive"),
        ({"warmup_ratio": 5.0}, r"train\.warmup_ratio=5\.0 must be from 0 to 1"),
        ({"steps": 0}, r"train\.tokens: 0 must be positive"),
    ],
)
def test_settings_that_no_training_can_have_are_refused(changes: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        plan(**changes)


def test_adapters_that_cannot_be_are_refused() -> None:
    for rank, dropout, targets in ((0, 0.0, ("q_proj",)), (4, 1.0, ("q_proj",)), (4, 0.0, ())):
        with pytest.raises(UserError, match=r"train\.lora: rank="):
            LoraConfig(rank=rank, alpha=8, dropout=dropout, targets=targets)
