"""Solutions that repeat themselves, mix scripts or have empty reasoning: told, or left out with a reason."""

import logging
import random
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from limo_ablate.core.artifacts import Store, json_default
from limo_ablate.core.errors import UserError
from limo_ablate.core.time_limit import within_processor_time
from limo_ablate.data.select.degenerate import degenerate, reason
from tests.data.select.sample_pool import DATA, SELECT, choose, sample_pool

STEPS = "".join(f"Step {n}: {n * n} and {n * 7} give {n * n + n * 7}, since we add them. " for n in range(40))
LOOP = "Wait, let me check that again. 12 + 30 is 42. "
WORDS = "ответ это คำตอบ คือ الجواب هو the answer is जवाब है "


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (STEPS + LOOP * 9, "it ends in a repetition"),
        (LOOP * 40 + "So the answer is 42.", "it repeats itself"),
        (STEPS[:200] + WORDS * 2 + "So 42.", "it mixes Arabic, Cyrillic, Devanagari, Latin, Thai"),
        ("<think>\n\n</think>\n\nThe answer is 42.", "its reasoning is empty"),
        ("<|begin_of_thought|> <|end_of_thought|>\n42", "its reasoning is empty"),
        (f"<think>{STEPS}</think>\n", "nothing follows its reasoning"),
    ],
)
def test_degenerate(text: str, why: str) -> None:
    assert reason(text) == why


@pytest.mark.parametrize(
    "text",
    [
        STEPS,
        "42",
        f"<think>{STEPS}</think>\n\nThe answer is \\boxed{{42}}.",
        "Пусть x = 4. Тогда αx + βy = 0, а значит ответ 42, как и требовалось доказать.",
        "設 x = 4。よって答えは 42 です。따라서 답은 42입니다. So the answer is 42.",
        "The word is спасибо. " + STEPS,
        "| n | n^2 |\n|---|---|\n" + "".join(f"| {n} | {n * n} |\n" for n in range(30)),
    ],
)
def test_not_degenerate(text: str) -> None:
    assert reason(text) is None


def test_its_time_is_linear_in_whitespace() -> None:
    spaces = "".join(random.Random(1).choices("\t \n\v\r\u2003\u3000", k=200_000))
    text = f"<think>{STEPS}</think>{spaces}It is 42."
    assert within_processor_time(2, lambda: reason(text)) is None
    ended = f"<think>{STEPS}</think> \n<|begin_of_solution|> \n<|end_of_solution|>\n "
    assert reason(ended) == "nothing follows its reasoning"


def test_they_are_told_or_left_out_before_tiers_are_assigned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path)
    texts = [f"{STEPS} So {n}." for n in range(5)] + [STEPS + LOOP * 30] * 5
    pool = sample_pool(
        store,
        [{"id": f"p{n}", "gold": "1"} for n in range(10)],
        [{"problem": f"p{n}", "text": text} for n, text in enumerate(texts)],
    )
    config = replace(SELECT, size=None, quality="any")
    with caplog.at_level(logging.WARNING):
        assert choose(store, pool, config).rows.height == 10
    assert "of 10 chosen examples, 5 solutions seem degenerate, most often because it ends in" in caplog.text
    caplog.clear()
    known = degenerate(store, pool)
    selected = choose(store, pool, replace(config, degenerate="drop"), degenerate=known)
    assert selected.rows["problem"].sort().to_list() == [f"p{n}" for n in range(5)]
    assert selected.rows["tier"].n_unique() == 5
    excluded = selected.funnel.excluded().filter(pl.col("step") == "degenerate=drop")
    assert excluded["reason"].to_list() == ["it ends in a repetition"] * 5
    assert caplog.text == ""
    with pytest.raises(UserError, match=r"To keep more: select.degenerate=keep"):
        choose(store, pool, replace(config, degenerate="drop", size=6), DATA, degenerate=known)


def test_a_selection_that_keeps_them_has_the_key_it_had() -> None:
    assert "degenerate" not in json_default(SELECT)
