"""Negative controls change what they say and nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest

from limo_ablate.core.artifacts import Store
from limo_ablate.data.select.perturb import perturbation
from tests.data.select.sample_pool import SCORE, SELECT, choose, sample_pool

PARAGRAPHS = "First, set up.\n\nThen solve it.\n\nNow check.\n\nSo the answer is \\boxed{4}."
SENTENCES = "Set it up. Then solve it. Now check it. So the answer is \\boxed{4}."
CHINESE = "先设未知数。然后解方程。再检查。所以答案是\\boxed{4}。"


def perturbed(name: str, text: str, seed: int = 0) -> str:
    return perturbation(name, SCORE.phrases(), seed)(text, "4")


@pytest.mark.parametrize("text", [PARAGRAPHS, PARAGRAPHS.replace("\n\n", "\n"), SENTENCES, CHINESE])
def test_steps_are_shuffled_and_the_last_stays(text: str) -> None:
    changed = perturbed("shuffled_steps", text)
    assert changed != text
    assert changed.rstrip().endswith(text.rstrip()[-10:])
    assert sorted(changed.replace("\n", "").replace(" ", "")) == sorted(
        text.replace("\n", "").replace(" ", "")
    )
    assert perturbed("shuffled_steps", text) == changed


def test_another_seed_gives_another_order() -> None:
    text = "\n\n".join(f"step {i}" for i in range(20))
    assert perturbed("shuffled_steps", text, 0) != perturbed("shuffled_steps", text, 1)


@pytest.mark.parametrize("text", ["4", "So it is.\nAnswer: 4"])
def test_a_text_without_steps_is_unchanged(text: str) -> None:
    assert perturbed("shuffled_steps", text) == text


def test_keywords_are_removed_and_the_answer_stays() -> None:
    changed = perturbed("keywords_stripped", "Therefore, we check 3 + 1.\nWait, perhaps so. 因此 \\boxed{4}")
    assert changed == "we 3 + 1.\n. \\boxed{4}"


def test_format_only_is_the_box() -> None:
    assert perturbed("format_only", PARAGRAPHS) == "\\boxed{4}"


def test_a_perturbed_selection_is_the_same_rows(tmp_path: Path) -> None:
    store = Store(tmp_path)
    pool = sample_pool(
        store,
        [{"id": f"p{n}", "gold": "4"} for n in range(9)],
        [{"problem": f"p{n}", "text": PARAGRAPHS, "tier": "L5"} for n in range(9)],
    )
    config = replace(SELECT, size=5)
    plain, changed = (
        choose(store, pool, replace(config, perturb=p)).rows  # type: ignore[arg-type]
        for p in ("none", "format_only")
    )
    assert plain["problem"].to_list() == changed["problem"].to_list()
    assert changed["response"].unique().to_list() == ["\\boxed{4}"]


def test_three_paragraphs_are_enough_to_shuffle() -> None:
    assert perturbed("shuffled_steps", "a\n\nb\n\nc") == "b\n\na\n\nc"


def test_text_after_the_last_box_stays_after_it() -> None:
    text = "one\n\ntwo\n\nthree\n\nso \\boxed{4}\n\nA remark on this."
    changed = perturbed("shuffled_steps", text)
    assert changed != text
    assert changed.endswith("so \\boxed{4}\n\nA remark on this.")


def test_keywords_in_a_box_and_over_lines_stay() -> None:
    text = "so\nthen \\boxed{\\text{first}}"
    assert perturbed("keywords_stripped", text) == "\n\\boxed{\\text{first}}"
