import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from limo_ablate.artifacts import Store
from limo_ablate.errors import UserError
from limo_ablate.train import model_path, tokenize
from limo_ablate.train.load import load_tokenizer
from limo_ablate.train.tokens import encode, prompt_texts, read_tokens
from tests.tiny_models import TRAIN, made_base, made_selection, made_tokens, sums

QWEN2_5_TEMPLATE = (
    "{%- if messages[0]['role'] == 'system' %}"
    "{{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}"
    "{%- else %}"
    "{{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant."
    "<|im_end|>\\n' }}"
    "{%- endif %}"
    "{%- for message in messages %}"
    '{%- if (message.role == "user") or (message.role == "system" and not loop.first)'
    ' or (message.role == "assistant" and not message.tool_calls) %}'
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}"
    "{%- endif %}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
"""Qwen2.5's, without the parts about tools."""
START, END = 1, 2


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def bytes_tokenizer() -> PreTrainedTokenizerFast:
    """Qwen2.5's special tokens and template; every other byte is a token, 3 + its place in the alphabet."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = Tokenizer(models.BPE({t: n for n, t in enumerate([*special, *alphabet])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=special[0], eos_token=special[2],
        additional_special_tokens=special[1:2], chat_template=QWEN2_5_TEMPLATE,
    )  # fmt: skip


def test_golden_ids_of_qwen2_5s_template() -> None:
    rows = sums(1).with_columns(text=pl.lit("2+2?"), response=pl.lit("4"))
    ((prompt, response),) = encode(rows, bytes_tokenizer(), "Be brief.")
    newline, space = 201, 223
    letters = {c: 3 + sorted(pre_tokenizers.ByteLevel.alphabet()).index(c) for c in map(chr, range(33, 127))}
    assert (letters["!"], letters["4"], letters["z"]) == (3, 22, 92)
    spelled = {**letters, "\n": newline, " ": space}

    def spell(text: str) -> list[int]:
        return [spelled[c] for c in text]

    assert prompt == [
        START, *spell("system\nBe brief."), END, newline,
        START, *spell("user\n2+2?"), END, newline,
        START, *spell("assistant\n"),
    ]  # fmt: skip
    assert prompt[:9] == [1, 85, 91, 85, 86, 71, 79, 201, 36]
    assert response == [22, END]


def test_the_template_adds_its_own_system_prompt_only_without_one() -> None:
    tokenizer = bytes_tokenizer()
    assert "You are Qwen" in prompt_texts(tokenizer, ["2+2?"], None)[0]
    assert "You are Qwen" not in prompt_texts(tokenizer, ["2+2?"], "Be brief.")[0]


def test_only_the_response_and_its_end_are_learnt(store: Store) -> None:
    base = made_base(store)
    tokenizer = load_tokenizer(model_path(base))
    rows = read_tokens(made_tokens(store, base).path)
    for number, row in enumerate(sums(12).iter_rows(named=True)):
        ids, prompt = rows.row(number).tolist(), int(rows.prompts[number])
        assert tokenizer.decode(ids[prompt:]) == row["response"] + "<|im_end|>"
        assert tokenizer.decode(ids[:prompt]) == prompt_texts(tokenizer, [row["text"]], None)[0]
        assert rows.responses[number] == len(ids) - prompt


def test_rows_over_the_limit_are_dropped_and_counted(store: Store) -> None:
    base = made_base(store)
    every = read_tokens(made_tokens(store, base).path)
    limit = int(sorted(every.lengths)[5])
    folder = made_tokens(store, base, train=replace(TRAIN, max_length=limit)).path
    kept, facts = read_tokens(folder), json.loads((folder / "tokens.json").read_text())
    fitting = [n for n, length in enumerate(every.lengths) if length <= limit]
    assert [kept.row(n).tolist() for n in range(len(kept.lengths))] == [
        every.row(n).tolist() for n in fitting
    ]
    assert (facts["rows"], facts["rows_over_length"]) == (len(fitting), 12 - len(fitting))
    assert facts["tokens"] == kept.lengths.sum()
    assert facts["response_tokens"] == kept.responses.sum()
    assert facts["longest"] == limit
    assert {row["problem"] for row in facts["over_length"]} == {
        f"p{n}" for n in set(range(12)) - set(fitting)
    }


def test_nothing_left_is_an_error_that_says_what_would_fit(store: Store) -> None:
    base = made_base(store)
    every = read_tokens(made_tokens(store, base).path)
    with pytest.raises(
        UserError, match=f"all 12 rows are longer .{every.lengths.min()} to {every.lengths.max()}"
    ):
        made_tokens(store, base, train=replace(TRAIN, max_length=5))
    rows = sums(2).with_columns(response=pl.lit(None, pl.String))
    questions = store.build("selection", 1, {}, lambda f: rows.write_parquet(f / "rows.parquet"))
    with pytest.raises(UserError, match="2 of the 2 selected problems have no solution"):
        tokenize(store, questions, base, TRAIN)


def test_trainings_that_differ_only_in_how_they_learn_share_their_tokens(store: Store) -> None:
    base = made_base(store)
    tokens = made_tokens(store, base)
    assert made_tokens(store, base, train=replace(TRAIN, learning_rate=1.0, seed=9)) == tokens
    assert made_tokens(store, base, train=replace(TRAIN, system_prompt="Think.")) != tokens
    assert tokenize(store, made_selection(store, 11), base, TRAIN) != tokens
