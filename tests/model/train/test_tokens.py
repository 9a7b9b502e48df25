# ruff: noqa: S106  tokens of a vocabulary are no passwords
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import load_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from limo_ablate.core.artifacts import Store
from limo_ablate.core.errors import UserError
from limo_ablate.model.train import tokens as tokens_module
from limo_ablate.model.train.base import base_model, model_path
from limo_ablate.model.train.batch import collate
from limo_ablate.model.train.chat import ChatEncoder
from limo_ablate.model.train.load import load_tokenizer
from limo_ablate.model.train.response import Responses
from limo_ablate.model.train.scratch import QWEN2_WORDS
from limo_ablate.model.train.token_rows import IDS, read_tokens
from limo_ablate.model.train.tokens import tokenize
from tests.tiny_models import (
    ARCHITECTURE,
    SCRATCH,
    TRAIN,
    hub_model,
    made_base,
    made_selection,
    made_tokens,
    sums,
)

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
QWEN = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def qwen(tmp_path: Path) -> PreTrainedTokenizerFast:
    """Qwen2.5's tokenizer with its template, of few tokens that have their real ids."""
    known = json.loads(Path(__file__).with_name("qwen2_5.json").read_text())
    special = {"<|endoftext|>": 151643, "<|im_start|>": 151644, "<|im_end|>": 151645}
    merges = [tuple(merge.split(" ")) for merge in known["merges"]]
    tokenizer = Tokenizer(models.BPE({**known["vocab"], **special}, merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<|endoftext|>", eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"], chat_template=QWEN2_5_TEMPLATE,
    ).save_pretrained(tmp_path / "qwen")  # fmt: skip
    return load_tokenizer(tmp_path / "qwen")


QUESTION, ANSWER = "What is 2+2?", "Two and two:\n\n2 + 2 = \\boxed{4}."
BOXED = "Please reason step by step, and put your final answer within \\boxed{}."
ASKED = [151644, 872, 198, 3838, 374, 220, 17, 10, 17, 30, 151645, 198, 151644, 77091, 198]
ANSWERED = [11613, 323, 1378, 1447, 17, 488, 220, 17, 284, 1124, 79075, 90, 19, 7810, 151645]
"""As Qwen2.5's whole vocabulary of 151,643 tokens has them, end of turn included."""


@pytest.mark.parametrize(
    ("system_prompt", "ids"),
    [
        (
            None,  # Qwen2.5's own: You are Qwen, ...
            [151644, 8948, 198, 2610, 525, 1207, 16948, 11, 3465, 553, 54364, 14817, 13, 1446, 525, 264,
             10950, 17847, 13, 151645, 198],
        ),
        (
            BOXED,
            [151644, 8948, 198, 5501, 2874, 3019, 553, 3019, 11, 323, 2182, 697, 1590, 4226, 2878, 1124,
             79075, 46391, 151645, 198],
        ),
    ],
)  # fmt: skip
def test_golden_ids_of_qwen2_5s_template(
    qwen: PreTrainedTokenizerFast, system_prompt: str | None, ids: list[int]
) -> None:
    responses = Responses(ChatEncoder(qwen), system_prompt)
    ((prompt, response),) = responses.encode([QUESTION], [ANSWER])
    assert responses.lines() == []
    assert prompt == ids + ASKED
    assert response == ANSWERED
    assert qwen.decode(prompt + response) == (
        f"<|im_start|>system\n{system_prompt or QWEN}<|im_end|>\n<|im_start|>user\n{QUESTION}<|im_end|>\n"
        f"<|im_start|>assistant\n{ANSWER}<|im_end|>"
    )


def test_the_golden_mask_is_the_response_alone(
    qwen: PreTrainedTokenizerFast, store: Store, tmp_path: Path
) -> None:
    """Labels as the loop sees them: every id of the response, predicted from the one before it."""
    shutil.copytree(made_base(store).path, tmp_path / "model")
    qwen.save_pretrained(tmp_path / "model")
    base = base_model(store, hub_model(tmp_path / "model"), None)
    rows = pl.DataFrame({"problem": ["p"], "text": [QUESTION], "response": [ANSWER]})
    selection = store.build("selection", {}, lambda f: rows.write_parquet(f / "rows.parquet"))
    tokens = read_tokens(tokenize(store, selection, base, replace(TRAIN, system_prompt=BOXED)).path)
    batch = collate(tokens, np.array([0]), torch.device("cpu"))
    assert batch.labels.tolist() == ANSWERED
    assert batch.ids[0, batch.predicting].tolist() == [198, *ANSWERED[:-1]]


def test_only_the_response_and_its_end_are_learnt(store: Store) -> None:
    base = made_base(store)
    tokenizer = load_tokenizer(model_path(base))
    rows = read_tokens(made_tokens(store, base).path)
    for number, row in enumerate(sums(12).iter_rows(named=True)):
        ids, prompt = rows.row(number).tolist(), int(rows.prompts[number])
        assert tokenizer.decode(ids[prompt:]) == row["response"] + "<|im_end|>"
        assert tokenizer.decode(ids[:prompt]) == ChatEncoder(tokenizer).prompts([row["text"]], None)[0].text
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
    questions = store.build("selection", {}, lambda f: rows.write_parquet(f / "rows.parquet"))
    with pytest.raises(UserError, match="2 of the 2 selected problems have no solution"):
        tokenize(store, questions, base, TRAIN)


def test_rows_beyond_the_context_are_refused(store: Store, tmp_path: Path) -> None:
    wide = Store(tmp_path / "wide")
    lengths = read_tokens(made_tokens(wide, made_base(wide)).path).lengths
    context = int(sorted(lengths)[5])
    beyond = int((lengths > context).sum())
    base = made_base(store, replace(SCRATCH, architecture=replace(ARCHITECTURE, context=context)))
    told = rf"{beyond} of 12 rows are longer than the {context} tokens .* train\.max_length={context}, which"
    with pytest.raises(UserError, match=told):
        made_tokens(store, base)
    kept = read_tokens(made_tokens(store, base, train=replace(TRAIN, max_length=context)).path)
    assert len(kept.lengths) == 12 - beyond > 0


def test_trainings_that_differ_only_in_how_they_learn_share_their_tokens(store: Store) -> None:
    base = made_base(store)
    tokens = made_tokens(store, base)
    assert made_tokens(store, base, train=replace(TRAIN, learning_rate=1.0, seed=9)) == tokens
    assert made_tokens(store, base, train=replace(TRAIN, system_prompt="Think.")) != tokens
    assert tokenize(store, made_selection(store, 11), base, TRAIN) != tokens


@pytest.mark.slow
def test_rows_are_read_and_written_so_many_at_a_time(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = made_tokens(store, made_base(store)).path
    monkeypatch.setattr(tokens_module, "BATCH_ROWS", 5)
    other = Store(tmp_path / "other")
    in_parts = made_tokens(other, made_base(other)).path
    assert (in_parts / IDS).read_bytes() == (at_once / IDS).read_bytes()


def test_ids_stay_on_the_disk(store: Store) -> None:
    folder = made_tokens(store, made_base(store)).path
    rows = read_tokens(folder)
    assert isinstance(rows.ids.base, np.memmap)
    assert rows.row(3).base is not None, "a view, not a copy"
    whole = load_file(folder / IDS)  # it is a plain safetensors file
    assert {name: values.tolist() for name, values in vars(rows).items() if values.size} == {
        name: values.tolist() for name, values in whole.items()
    }
    assert len(np.unique(rows.problems)) == 12
