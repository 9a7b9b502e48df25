"""Generation that runs out of memory continues with half the batch, and loses nothing."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from limo_ablate.core.artifacts import Store
from limo_ablate.core.errors import TrialFailure
from limo_ablate.model.generate.completions import completions
from limo_ablate.model.generate.decoding import TransformersEngine
from limo_ablate.model.generate.engine import Completed, Request
from limo_ablate.model.generate.oom import BatchSizes
from limo_ablate.model.generate.open import open_once
from tests.model.generate.test_completions import EVAL, ask, completed, table
from tests.tiny_models import CPU, made_base

Starve = Callable[[int], list[tuple[int, int]]]


@pytest.fixture
def starve(monkeypatch: pytest.MonkeyPatch) -> Starve:
    """Memory for so many sequences at a time, which runs out after two completions; returns what each pass is
    asked for: (batch size, number of requests)."""
    generate, passes = TransformersEngine.generate, []

    def starving(largest: int) -> list[tuple[int, int]]:
        def starved(self: TransformersEngine, requests: list[Request]) -> Iterator[Completed]:
            passes.append((self.batch_size, len(requests)))
            for count, done in enumerate(generate(self, requests)):
                if self.batch_size > largest and count == 2:
                    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nOf which")
                yield done

        monkeypatch.setattr(TransformersEngine, "generate", starved)
        return passes

    return starving


def test_the_batch_is_halved_and_what_is_drawn_is_kept(
    tmp_path: Path, starve: Starve, caplog: pytest.LogCaptureFixture
) -> None:
    (undisturbed,) = completed(Store(tmp_path / "undisturbed"))
    store, sizes, passes = Store(tmp_path / "starved"), BatchSizes(), starve(1)
    with caplog.at_level(logging.WARNING):
        wanted = {"b0": ask(store)}
        found = completions(store, made_base(store), wanted, EVAL, CPU, open_once(), sizes)
    assert passes == [(4, 15), (2, 13), (1, 11)]
    assert found["b0"].digest == undisturbed.digest
    assert [text for text in caplog.messages if text.startswith("out of")] == [
        "out of memory (CUDA out of memory. Tried to allocate 2 GiB.); continuing with "
        f"eval.batch_size={size}; completions that are finished are kept"
        for size in (2, 1)
    ]
    assert sizes.used == {"b0": 1}
    more = {"more": ask(store, seed=1)}
    completions(store, made_base(store), more, EVAL, CPU, batch_sizes=sizes)
    assert passes[3:] == [(1, 15)], "the model's next pass begins with what fits"
    assert sizes.used == {"b0": 1, "more": 1}


def test_a_completion_that_does_not_fit_alone_fails_the_trial(tmp_path: Path, starve: Starve) -> None:
    store, passes = Store(tmp_path), starve(0)
    with pytest.raises(TrialFailure, match=r"^out of memory with eval.batch_size=1 \(4 is configured\)") as e:
        completed(store)
    assert "\n" not in str(e.value)
    assert passes == [(4, 15), (2, 13), (1, 11)]
    starve(1)
    assert len(table(*completed(store))) == 15
    assert passes[3:] == [(4, 9), (2, 7), (1, 5)]
