from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from limo_ablate.core.artifacts import Store
from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.train.batch import IGNORED, Borders, Collated, offsets_of
from limo_ablate.model.train.config import DevConfig, TrainConfig
from limo_ablate.model.train.context import share
from tests.model.train.test_sharding import assert_same, trained
from tests.quick_ranks import quick_ranks
from tests.tiny_models import CPU, TRAIN, TWO_RANKS

SHARED = replace(TWO_RANKS, context_parallel=2)
ONE_PASS = replace(TRAIN, micro_batch_tokens=1000)


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    with quick_ranks():
        yield


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(2, 4))
def test_each_token_meets_just_the_ones_before_it_in_its_row(lengths: list[int], size: int) -> None:
    tokens, cpu = sum(lengths), torch.device("cpu")
    rows = Collated(
        ids=torch.arange(tokens)[None],
        positions=torch.cat([torch.arange(length) for length in lengths])[None],
        borders=Borders(lengths, offsets_of(lengths, cpu)),
        predicting=torch.arange(0, tokens, 2),
        labels=torch.arange(0, tokens, 2),
    )
    met: list[tuple[int, int]] = []
    learnt: list[int] = []
    for place in range(size):
        shared = share(rows, place, size, None)
        ids, places = shared.ids[0].tolist(), iter(range(shared.ids.shape[1]))
        learnt += [label for label in shared.labels.tolist() if label != IGNORED]
        trained_on = shared.labels != IGNORED
        assert shared.ids[0][shared.predicting[trained_on]].tolist() == shared.labels[trained_on].tolist()
        for queries, (first, last) in zip(shared.borders.lengths, shared.borders.keys, strict=True):
            for number in range(queries):
                place_of_query, seen = next(places), last - queries + number + 1
                if last <= tokens:  # else padding, a row of its own
                    met += [(ids[place_of_query], key) for key in range(first, seen)]
        assert next(places, None) is None
    begins = [sum(lengths[:number]) for number in range(len(lengths))]
    assert sorted(met) == sorted(
        (begin + query, begin + key)
        for begin, length in zip(begins, lengths, strict=True)
        for query in range(length)
        for key in range(query + 1)
    )
    assert sorted(learnt) == rows.labels.tolist()


@pytest.mark.parametrize(
    ("hardware", "config"),
    [
        pytest.param(SHARED, ONE_PASS, id="ddp, packed rows cut anywhere"),
        pytest.param(
            replace(SHARED, strategy="fsdp2"),
            replace(TRAIN, micro_batch_tokens=64, gradient_checkpointing=True),
            id="fsdp2, checkpointed, several passes",
        ),
        pytest.param(replace(SHARED, processes=4), TRAIN, id="ddp, two groups of two"),
    ],
)
def test_sharing_rows_is_the_same_training(
    tmp_path: Path, hardware: HardwareConfig, config: TrainConfig
) -> None:
    dev = replace(config, dev=DevConfig(rows=2, every=3, keep="best"))
    assert_same(trained(Store(tmp_path), CPU, dev).path, trained(Store(tmp_path), hardware, dev).path)


def test_a_row_alone_is_shared(tmp_path: Path) -> None:
    config = replace(TRAIN, steps=2, global_batch_size=1)
    alone, shared = (trained(Store(tmp_path), hardware, config, 1) for hardware in (CPU, SHARED))
    assert_same(alone.path, shared.path)


def test_what_cannot_be_shared_is_said() -> None:
    with pytest.raises(UserError, match=r"hardware.context_parallel=3 must divide hardware.processes=2"):
        replace(TWO_RANKS, context_parallel=3)
    with pytest.raises(UserError, match=r"needs strategy ddp or fsdp2, not zero3"):
        replace(SHARED, strategy="zero3", device="cuda")
