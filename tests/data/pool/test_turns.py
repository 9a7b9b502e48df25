"""Conversations: read whole, as one question or a dialog; what can't be is refused and counted."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.data.pool.config import BenchmarkSetConfig, FieldsConfig
from limo_ablate.data.pool.load import load_benchmark, load_pool, pool_counts
from limo_ablate.data.pool.schema import ParsedRow, read_row
from limo_ablate.data.pool.values import BadRow
from limo_ablate.trial.compose import compose

BOTH = FieldsConfig(problem="messages", answer=None, solution="messages")
NAMED = FieldsConfig(problem="messages.0.content", answer=None, solution="messages.1.content")


def said(*turns: tuple[str, Any]) -> list[dict[str, Any]]:
    return [{"role": role, "content": content} for role, content in turns]


ALPACA = FieldsConfig(problem="instruction", answer=None, solution="output")
CALLED = [
    {"role": "user", "content": "2+2?"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": {"name": "add", "arguments": {"a": 2}}}],
    },
    {"role": "tool", "content": "4"},
]
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
    ("turn", "content"),
    [
        ({"thinking": "Two and two."}, "<think>\nTwo and two.\n</think>\n\n"),
        ({"reasoning_content": None, "content": [{"type": "text", "text": "I add."}]}, "I add."),
    ],
)
def test_what_is_said_beside_a_call_is_kept(turn: dict[str, Any], content: str) -> None:
    """Arguments that parquet fills in with null, since other calls have them, are no arguments."""
    call = {"function": {"name": "add", "arguments": {"a": 2, "query": None}}}
    for calls in ([call], [json.dumps(call)]):
        turns = [ASKED[0], {"role": "Assistant", "content": None, "tool_calls": calls, **turn}, CALLED[2]]
        dialog = read_row({"messages": [*turns, ASKED[1]]}, BOTH, "made").dialog
        assert dialog
        said = json.loads(dialog)["turns"][1]
        assert said["content"] == content
        assert said["tool_calls"] == CALLED[1]["tool_calls"]


@pytest.mark.parametrize(
    ("row", "fields", "reason"),
    [
        ({"messages": ASKED * 2}, NAMED, "messages: 4 turns, of which the fields leave out 2, 3"),
        ({"messages": [*ASKED, *said(("narrator", "x"))]}, BOTH, "turn 2: role narrator can't be"),
        (
            {"messages": [ASKED[0], {**ASKED[1], "tool_calls": [1]}]},
            BOTH,
            "a call of a tool without its name",
        ),
        (
            {"messages": said(("user", [{"type": "image"}]), ("assistant", "4"))},
            BOTH,
            r"turn 0: has a picture \(image\); only text can be read",
        ),
        (
            {"messages": said(("user", [{"type": "image_url"}, {"type": "text", "text": "What?"}]))},
            BOTH,
            r"turn 0: has a picture \(image_url\); only text can be read",
        ),
        (
            {"messages": said(("user", [{"type": "input_audio"}]), ("assistant", "4"))},
            BOTH,
            r"turn 0: has a sound \(input_audio\)",
        ),
        (
            {"messages": said(("user", ["What?"]), ("assistant", "4"))},
            BOTH,
            r"turn 0: has a part without a text \(str\)",
        ),
        ({"messages": said(("user", []), ("assistant", "4"))}, BOTH, "turn 0: no text"),
        *(
            (
                {"messages": [*ASKED[:1], {**ASKED[1], key: mark}, *ASKED]},
                BOTH,
                f"turn 1: {key}={mark}, an answer",
            )
            for key, mark in (("weight", 0), ("train", False), ("loss", False))
        ),
        ({"messages": said(("system", "Be brief."))}, BOTH, "only a system turn: nothing is asked"),
        ({"messages": ASKED[1:] + ASKED}, BOTH, "begins with assistant, not with the user"),
        ({"messages": [*ASKED, *said(("system", "x")), *ASKED]}, BOTH, "turn 2: a system turn after others"),
        ({"messages": CALLED[:2]}, BOTH, "ends with a call of a tool, without an answer"),
        ({"messages": ASKED, "tools": "hammer"}, BOTH, "tools: not JSON"),
        (
            {"messages": said(("user", "<image>What?"), ("assistant", "4")), "images": ["a.png"]},
            BOTH,
            r"problem: has a picture \(<image>, column images\)",
        ),
        (
            {"messages": ASKED, "other": "x"},
            replace(BOTH, solution="other"),
            "and fields.solution is another",
        ),
        ({"instruction": "And?", "output": "4", "history": [["a"]]}, ALPACA, "history: neither pairs"),
        ({"messages": ASKED * 2, "o": ["a", "b"]}, replace(BOTH, options="o"), "options: under a dialog"),
    ],
)
def test_no_row_is_cut(row: dict[str, Any], fields: FieldsConfig, reason: str) -> None:
    with pytest.raises(BadRow, match=reason):
        read_row(row, fields, "made")


def dialog(row: dict[str, Any], fields: FieldsConfig) -> tuple[ParsedRow, list[Any], list[Any]]:
    """A row as it is read; the turns before its answer, and the tools."""
    read = read_row(row, fields, "made")
    assert read.dialog
    held = json.loads(read.dialog)
    return read, held["turns"], held["tools"]


def test_earlier_turns_stay_with_the_problem() -> None:
    later = said(("user", "Doubled?"), ("assistant", "\\boxed{8}"))
    read, turns, tools = dialog({"messages": ASKED + later}, BOTH)
    assert turns == [*ASKED, later[0]]
    assert tools == []
    assert read.problem["text"] == "User: 2+2?\n\nAssistant: \\boxed{4}\n\nUser: Doubled?"
    assert (read.problem["gold"], read.solutions[0]["text"]) == ("8", "\\boxed{8}")


def test_alpaca_s_history_comes_before() -> None:
    row = {"instruction": "Doubled?", "output": "8", "history": [["2+2?", "4"]]}
    _, turns, _ = dialog(row, ALPACA)
    assert [turn["content"] for turn in turns] == ["2+2?", "4", "Doubled?"]
    assert read_row({**row, "history": []}, ALPACA, "made").dialog is None


def test_a_system_turn_is_left_out_or_kept() -> None:
    row = {"messages": said(("system", "Be brief.")) + ASKED}
    dropped = read_row(row, BOTH, "made")
    assert (dropped.own_system, dropped.dialog) == (True, None)
    read, turns, _ = dialog(row, replace(BOTH, system_turns="keep"))
    assert turns[0] == {"role": "system", "content": "Be brief."}
    assert not read.own_system
    row = {"instruction": "2+2?", "output": "4", "system": "Be brief."}
    assert read_row(row, ALPACA, "made").own_system
    _, turns, _ = dialog(row, replace(ALPACA, system_turns="keep"))
    assert turns[0] == {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize(
    "turns",
    [
        [
            {"role": "user", "content": "2+2?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "1", "function": {"name": "add", "arguments": '{"a": 2}'}}],
            },
            {"role": "tool", "content": "4"},
            {"role": "assistant", "content": "It is 4."},
        ],
        [
            {"from": "human", "value": "2+2?"},
            {"from": "function_call", "value": '{"name": "add", "arguments": {"a": 2}}'},
            {"from": "observation", "value": "4"},
            {"from": "gpt", "value": "It is 4."},
        ],
    ],
)
def test_calls_of_tools_and_their_results(turns: list[dict[str, Any]]) -> None:
    row = {"messages": turns, "tools": '[{"name": "add"}]'}
    read, held, tools = dialog(row, BOTH)
    assert held == CALLED
    assert tools == [{"name": "add"}]
    assert read.problem["text"] == 'User: 2+2?\n\nAssistant: add({"a": 2})\n\nTool: 4'


def test_a_benchmark_asks_one_question(tmp_path: Path) -> None:
    rows = [{"messages": ASKED}, {"messages": ASKED + ASKED}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = BenchmarkSetConfig(source="file", path=str(tmp_path / "a.jsonl"), fields=BOTH)
    made = load_benchmark(Store(tmp_path / "store"), "own", config)
    assert pl.read_parquet(made.path / "problems.parquet").height == 1
    assert "a benchmark asks one question" in pl.read_parquet(made.path / "rejected.parquet")["reason"][0]


def test_named_turns_that_are_all_are_read() -> None:
    assert read_row({"messages": ASKED}, NAMED, "made").problem["text"] == "2+2?"
    last = FieldsConfig(problem="messages.-2.content", answer=None, solution="messages.-1.content")
    turns = said(("system", "Be brief."), *((turn["role"], turn["content"]) for turn in ASKED))
    assert read_row({"messages": turns}, last, "made").solutions[0]["text"] == "\\boxed{4}"


def loaded(folder: Path, file: Path, fields: FieldsConfig, name: str = "jsonl") -> Artifact:
    config = replace(compose([f"data={name}"]).data, path=str(file), fields=fields, without_gold="keep")
    return load_pool(Store(folder), config)


def test_refused_rows_are_counted(tmp_path: Path) -> None:
    rows = [
        {"messages": ASKED},
        {"messages": ASKED[1:]},
        {"messages": said(("system", "s")) + ASKED[:1]},
        {"messages": ASKED * 2},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pool = loaded(tmp_path / "store", tmp_path / "a.jsonl", BOTH)
    counts = pool_counts(pool)
    assert (counts["rejected"], counts["own_system"], counts["problems"]) == (1, 1, 2)
    assert "begins with assistant" in pl.read_parquet(pool.path / "rejected.parquet")["reason"][0]
    dialogs = pl.read_parquet(pool.path / "dialogs.parquet")
    assert dialogs.height == counts["dialogs"] == 1


def test_conversations_of_the_second_round(tmp_path: Path, shared: Path) -> None:
    folder = shared / "round2"
    if not folder.is_dir():
        pytest.skip("the second round's inputs are not in ../shared/data")
    mixed = loaded(tmp_path, folder / "chat_mixed_system.jsonl", BOTH)
    texts = pl.read_parquet(mixed.path / "problems.parquet")["text"]
    assert texts.n_unique() == 100
    assert not texts.str.starts_with("You are").any()
    assert pool_counts(mixed)["own_system"] > 0
    counts = pool_counts(loaded(tmp_path, folder / "chat_multiturn.jsonl", BOTH))
    assert (counts["problems"], counts["dialogs"], counts["rejected"]) == (60, 60, 0)
    fields = replace(BOTH, problem="conversations", solution="conversations")
    counts = pool_counts(loaded(tmp_path, folder / "real/lf_glaive_toolcall_en_demo.json", fields))
    assert (counts["solutions"], counts["rejected"]) == (12, 0)
    assert counts["problems"] == 11, "one row is there twice"
    kept = loaded(tmp_path, folder / "reasoning_content.jsonl", BOTH)
    assert pl.read_parquet(kept.path / "solutions.parquet")["text"].str.starts_with("<think>").all()
    alpaca = compose(["data=alpaca"]).data.fields
    assert alpaca
    history = loaded(tmp_path, folder / "alpaca_history.json", alpaca, "alpaca")
    assert (pool_counts(history)["rejected"], pool_counts(history)["dialogs"]) == (0, 1)
    whole = loaded(tmp_path, folder / "real/lf_alpaca_en_demo.json", alpaca, "alpaca")
    assert pool_counts(whole)["rejected"] == 0
