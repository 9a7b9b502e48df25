"""Conversations: one question and its answer is read in every form; no row is cut, refusals are counted."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import UserError
from limo_ablate.data.pool.config import FieldsConfig
from limo_ablate.data.pool.load import load_pool, pool_counts
from limo_ablate.data.pool.schema import read_row
from limo_ablate.data.pool.values import BadRow
from limo_ablate.trial.compose import compose

BOTH = FieldsConfig(problem="messages", answer=None, solution="messages")
NAMED = FieldsConfig(problem="messages.0.content", answer=None, solution="messages.1.content")


def said(*turns: tuple[str, Any]) -> list[dict[str, Any]]:
    return [{"role": role, "content": content} for role, content in turns]


ASKED = said(("user", "2+2?"), ("assistant", "\\boxed{4}"))


@pytest.mark.parametrize(
    "turns",
    [
        ASKED,
        said(("system", "Be brief."), *((turn["role"], turn["content"]) for turn in ASKED)),
        [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "\\boxed{4}"}],
        said(
            ("user", [{"type": "text", "text": "2+2?"}]),
            ("assistant", [{"type": "text", "value": "\\boxed{4}"}]),
        ),
    ],
)
def test_one_question_and_its_answer(turns: list[dict[str, Any]]) -> None:
    read = read_row({"messages": turns}, BOTH, "made")
    assert read.problem["text"] == "2+2?"
    assert read.problem["gold"] == "4"
    assert [solution["text"] for solution in read.solutions] == ["\\boxed{4}"]
    assert read.own_system == (turns[0].get("role") == "system")


def test_reasoning_beside_the_answer_is_kept() -> None:
    turns = [ASKED[0], {**ASKED[1], "reasoning_content": "Two and two."}]
    (solution,) = read_row({"messages": turns}, BOTH, "made").solutions
    assert solution["text"] == "<think>\nTwo and two.\n</think>\n\n\\boxed{4}"


@pytest.mark.parametrize(
    ("row", "fields", "reason"),
    [
        ({"messages": ASKED * 2}, BOTH, "4 turns .user, assistant, user, assistant.: only one question"),
        (
            {"messages": ASKED * 2},
            NAMED,
            "messages: 4 turns, of which the fields leave out 2, 3",
        ),
        ({"messages": [*ASKED, *said(("tool", "x"))]}, BOTH, "turn 2: role tool can't be trained on"),
        ({"messages": [ASKED[0], {**ASKED[1], "tool_calls": [1]}]}, BOTH, "turn 1: tool calls can't be"),
        ({"messages": said(("user", [{"type": "image"}]), ("assistant", "4"))}, BOTH, "turn 0: no text"),
        (
            {"instruction": "And then?", "output": "4", "history": [["a", "b"]]},
            FieldsConfig(problem="instruction", answer=None, solution="output"),
            "history: 1 earlier turns, which can't be trained on",
        ),
    ],
)
def test_no_row_is_cut(row: dict[str, Any], fields: FieldsConfig, reason: str) -> None:
    with pytest.raises(BadRow, match=reason):
        read_row(row, fields, "made")


def test_named_turns_that_are_all_are_read() -> None:
    assert read_row({"messages": ASKED}, NAMED, "made").problem["text"] == "2+2?"
    last = FieldsConfig(problem="messages.-2.content", answer=None, solution="messages.-1.content")
    turns = said(("system", "Be brief."), *((turn["role"], turn["content"]) for turn in ASKED))
    assert read_row({"messages": turns}, last, "made").solutions[0]["text"] == "\\boxed{4}"


def loaded(folder: Path, file: Path, fields: FieldsConfig, name: str = "jsonl") -> Artifact:
    config = replace(compose([f"data={name}"]).data, path=str(file), fields=fields, without_gold="keep")
    return load_pool(Store(folder), config)


def test_refused_rows_are_counted(tmp_path: Path) -> None:
    rows = [{"messages": ASKED}, {"messages": ASKED * 2}, {"messages": said(("system", "s")) + ASKED[:1]}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pool = loaded(tmp_path / "store", tmp_path / "a.jsonl", BOTH)
    counts = pool_counts(pool)
    assert (counts["rejected"], counts["own_system"], counts["problems"]) == (1, 1, 1)
    assert "4 turns" in pl.read_parquet(pool.path / "rejected.parquet")["reason"][0]


def test_conversations_of_the_second_round(tmp_path: Path, shared: Path) -> None:
    folder = shared / "round2"
    if not folder.is_dir():
        pytest.skip("the second round's inputs are not in ../shared/data")
    mixed = loaded(tmp_path, folder / "chat_mixed_system.jsonl", BOTH)
    texts = pl.read_parquet(mixed.path / "problems.parquet")["text"]
    assert texts.n_unique() == 100
    assert not texts.str.starts_with("You are").any()
    assert pool_counts(mixed)["own_system"] > 0
    with pytest.raises(UserError, match=r"no usable problem among 60 rows \(60 rejected\).*4 turns"):
        loaded(tmp_path, folder / "chat_multiturn.jsonl", BOTH)
    kept = loaded(tmp_path, folder / "reasoning_content.jsonl", BOTH)
    assert pl.read_parquet(kept.path / "solutions.parquet")["text"].str.starts_with("<think>").all()
    alpaca = compose(["data=alpaca"]).data.fields
    assert alpaca
    history = loaded(tmp_path, folder / "alpaca_history.json", alpaca, "alpaca")
    assert pool_counts(history)["rejected"] == 1
    whole = loaded(tmp_path, folder / "real/lf_alpaca_en_demo.json", alpaca, "alpaca")
    assert pool_counts(whole)["rejected"] == 0
