"""Dialogs: which tokens have a loss, what a chat template can't hold, control tokens in turns and tools."""

# ruff: noqa: S106  tokens of a vocabulary are no passwords
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import UserError
from limo_ablate.model.train.batch import collate
from limo_ablate.model.train.chat import ChatEncoder
from limo_ablate.model.train.dialogs import Dialogs
from limo_ablate.model.train.response import Responses
from limo_ablate.model.train.token_rows import TokenRows, read_tokens
from limo_ablate.model.train.tokens import tokenize
from tests.model.train.test_chat import byte_level
from tests.model.train.test_response import QWEN3, R1_DISTILL
from tests.tiny_models import TRAIN, made_base, made_selection

CHATML = (
    "{%- if tools %}{{- '<|im_start|>tools\n' + tools | tojson + '<|im_end|>\n' }}{%- endif %}"
    "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\n' + m.content }}"
    "{%- for c in m.tool_calls or [] %}"
    "{{- '<call>' + c.function.name + c.function.arguments | tojson }}{%- endfor %}"
    "{{- '<|im_end|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
NO_TOOLS = CHATML.replace("m.tool_calls or []", "[]")
USERS_ALONE = "{%- for m in messages if m.role != 'system' %}" + CHATML.split("{%- for m in messages %}")[1]


def encoder(template: str) -> ChatEncoder:
    special = ("<|im_start|>", "<|im_end|>", "<｜end▁of▁sentence｜>", "<bos>")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=byte_level(special, ("<think>", "</think>", "<｜User｜>", "<｜Assistant｜>")),
        chat_template=template, eos_token="<｜end▁of▁sentence｜>" if template == R1_DISTILL else "<|im_end|>",
        bos_token="<bos>", name_or_path="made",
    )  # fmt: skip
    return ChatEncoder(tokenizer)


def turns(*texts: str, system: str | None = None) -> list[dict[str, Any]]:
    roles = ("user", "assistant") * len(texts)
    before = [{"role": "system", "content": system}] if system else []
    return before + [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]


def trained(
    template: str,
    asked: list[dict[str, Any]],
    answer: str = "It is 8.",
    loss_on: Literal["every", "last"] = "every",
    tools: Any = (),
    system: str | None = None,
) -> tuple[str, list[str], list[str]]:
    """The row's text, its parts that have a loss, and what is said."""
    coder = encoder(template)
    responses = Responses(coder, system)
    dialog = json.dumps({"turns": asked, "tools": list(tools)})
    found = Dialogs(responses, loss_on).encode(dialog, answer)
    if found is None:
        return "", [], responses.lines()
    prompt, response, spans = found
    decode = coder.tokenizer.decode
    parts = [decode(prompt[begin:end]) for begin, end in spans] + [decode(response)]
    return decode(prompt + response), parts, responses.lines()


def test_every_turn_of_the_assistant_has_a_loss_with_its_end() -> None:
    text, parts, lines = trained(CHATML, turns("2+2?", "It is 4.", "Doubled?"))
    assert parts == ["It is 4.<|im_end|>", "It is 8.<|im_end|>"]
    assert text == (
        "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\nIt is 4.<|im_end|>\n"
        "<|im_start|>user\nDoubled?<|im_end|>\n<|im_start|>assistant\nIt is 8.<|im_end|>"
    )
    assert lines == []


def test_the_last_turn_alone_can_have_a_loss() -> None:
    every, last = (
        trained(CHATML, turns("2+2?", "It is 4.", "Doubled?"), loss_on=on) for on in ("every", "last")
    )
    assert last[1] == ["It is 8.<|im_end|>"]
    assert last[0] == every[0]


def test_a_row_s_own_system_turn_stands_in_place_of_the_system_prompt() -> None:
    text, _, _ = trained(CHATML, turns("2+2?", "It is 4.", "Doubled?", system="Be brief."), system="Box it.")
    assert text.startswith("<|im_start|>system\nBe brief.<|im_end|>")
    text, _, _ = trained(CHATML, turns("2+2?", "It is 4.", "Doubled?"), system="Box it.")
    assert text.startswith("<|im_start|>system\nBox it.<|im_end|>")


CALL = {"type": "function", "function": {"name": "add", "arguments": {"a": 2}}}
CALLED = [
    {"role": "user", "content": "2+2?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "4"},
]


def test_calls_of_tools_are_trained_on_and_their_results_are_not() -> None:
    text, parts, lines = trained(CHATML, CALLED, "It is 4.", tools=[{"name": "add"}])
    assert parts == ['<call>add{"a": 2}<|im_end|>', "It is 4.<|im_end|>"]
    assert text.startswith('<|im_start|>tools\n[{"name": "add"}]<|im_end|>')
    assert lines == []


@pytest.mark.parametrize(
    ("template", "asked", "reason"),
    [
        (NO_TOOLS, CALLED, "left out: the chat template leaves out a call of a tool"),
        (USERS_ALONE, turns("2+2?", "4", "3?", system="Be brief."), "leaves out a turn of the system"),
        (R1_DISTILL, turns("2+2?", "4", "Doubled?"), "an earlier turn otherwise than it asks for it"),
        ("{{ raise_exception('no') }}", turns("2+2?", "4", "3?"), "its chat template failed"),
    ],
)
def test_what_a_template_can_t_hold_is_left_out_and_said(
    template: str, asked: list[dict[str, Any]], reason: str
) -> None:
    if "raise" in template:
        template = "{%- if messages | length > 2 %}" + template + "{%- endif %}" + CHATML
    text, _, lines = trained(template, asked)
    assert text == ""
    (line,) = [line for line in lines if line.startswith("1 of 1 row: left out: ")]
    assert reason in line


def test_thinking_of_earlier_turns_is_trained_on_as_the_template_keeps_it() -> None:
    asked = turns("2+2?", "<think>\nhm\n</think>\n\nIt is 4.", "Doubled?")
    text, parts, _ = trained(QWEN3, asked, "<think>\nso\n</think>\n\nIt is 8.")
    assert parts == ["It is 4.<|im_end|>", "<think>\nso\n</think>\n\nIt is 8.<|im_end|>"]
    assert "hm" not in text
    kept = trained(R1_DISTILL, asked, "so</think>It is 8.", loss_on="last")
    assert kept[1] == ["so</think>It is 8.<｜end▁of▁sentence｜>"]


def test_control_tokens_in_turns_and_tools_are_text() -> None:
    coder = encoder(CHATML)
    (end,) = coder.tokenizer.encode("<|im_end|>", add_special_tokens=False)
    asked = turns("2+2?<|im_end|>", "It <|im_end|> is 4.", "Doubled?")
    dialog = json.dumps({"turns": asked, "tools": [{"name": "<|im_end|>"}]})
    found = Dialogs(Responses(coder, None), "every").encode(dialog, "It is 8.")
    assert found
    prompt, response, spans = found
    assert prompt.count(end) == 4, "of the template: tools, two users, an assistant"
    ((begin, behind),) = spans
    assert coder.tokenizer.decode(prompt[begin:behind]) == "It <|im_end|> is 4.<|im_end|>"
    assert response.count(end) == 1


def selection_of_dialogs(store: Store, dialogs: list[dict[str, Any] | None]) -> Artifact:
    rows = [
        {
            "problem": f"p{n}", "text": "What is 2+2?", "response": "\\boxed{4}",
            "dialog": None if dialog is None else json.dumps(dialog),
        }
        for n, dialog in enumerate(dialogs)
    ]  # fmt: skip
    return store.build(
        "selection",
        {"test": repr(dialogs)},
        lambda folder: pl.DataFrame(rows).write_parquet(folder / "rows.parquet"),
    )


def test_rows_of_one_and_of_several_turns_keep_their_order(tmp_path: Path) -> None:
    store = Store(tmp_path)
    base = made_base(store)
    dialog = {"turns": turns("What is 1+1?", "It is 2.", "Doubled?"), "tools": []}
    selection = selection_of_dialogs(store, [dialog, None, dialog])
    rows = read_tokens(tokenize(store, selection, base, TRAIN).path)
    assert rows.responses.tolist() == [
        len(rows.labels(0)),
        rows.lengths[1] - rows.prompts[1],
        len(rows.labels(2)),
    ]
    assert rows.responses[0] > rows.responses[1]
    last = read_tokens(tokenize(store, selection, base, replace(TRAIN, loss_on="last")).path)
    assert last.responses.tolist() == [last.responses[1]] * 3
    assert last.span_rows.size == 0
    plain = tokenize(store, made_selection(store, 3), base, TRAIN)
    assert plain.key == tokenize(store, made_selection(store, 3), base, replace(TRAIN, loss_on="every")).key


def test_a_loss_on_spans_is_collated_as_on_responses() -> None:
    ids = np.arange(20, dtype=np.int32)
    spans = (np.array([1, 1]), np.array([2, 6]), np.array([4, 7]))
    rows = TokenRows(ids, np.array([0, 8, 20]), np.array([5, 10]), np.array([0, 1]), *spans)
    assert rows.responses.tolist() == [3, 5]
    batch = collate(rows, np.array([0, 1]), torch.device("cpu"))
    assert batch.labels.tolist() == [5, 6, 7, 10, 11, 14, 18, 19]
    assert batch.ids[0][batch.predicting].tolist() == [4, 5, 6, 9, 10, 13, 17, 18]


def test_dialogs_that_are_all_left_out_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    call = {"turns": CALLED, "tools": []}
    with pytest.raises(UserError, match=r"no row can be trained on: .*leaves out a call of a tool"):
        tokenize(store, selection_of_dialogs(store, [call]), made_base(store), TRAIN)
