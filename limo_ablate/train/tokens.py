"""From a selection's rows to token ids: the model's chat template, and where the response begins.

Only the response is learnt, its end-of-turn token included. Prompt and response are tokenised apart, so
that training sees exactly the ids that generation starts from. Rows over the limit are dropped, counted
and listed, never cut.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from limo_ablate.artifacts import Artifact, Store
from limo_ablate.config import TrainConfig
from limo_ablate.errors import UserError
from limo_ablate.train.base import model_path
from limo_ablate.train.load import end_of_turn, load_tokenizer

if TYPE_CHECKING:
    import numpy.typing as npt
    from transformers import PreTrainedTokenizerFast

VERSION = 1
IDS, FACTS = "tokens.safetensors", "tokens.json"


@dataclass(frozen=True)
class TokenRows:
    """Rows of ids, one after the other."""

    ids: npt.NDArray[np.int32]
    """(tokens,) all rows' ids."""
    offsets: npt.NDArray[np.int64]
    """(rows + 1,) where each row begins in `ids`, and where the last ends."""
    prompts: npt.NDArray[np.int64]
    """(rows,) tokens of each row's prompt; what follows them is learnt."""

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        return np.diff(self.offsets)

    @cached_property
    def responses(self) -> npt.NDArray[np.int64]:
        """(rows,) tokens of each row that are learnt."""
        return self.lengths - self.prompts

    def row(self, number: int) -> npt.NDArray[np.int32]:
        return self.ids[self.offsets[number] : self.offsets[number + 1]]


def tokenize(store: Store, selection: Artifact, base: Artifact, train: TrainConfig) -> Artifact:
    """Token ids of `selection`'s rows for `base`'s tokenizer.

    Raises UserError when there are no rows, or when all of them are longer than `train.max_length`.
    """
    tokenizer = load_tokenizer(model_path(base))
    inputs = {
        "selection": selection,
        "tokenizer": tokenizer_digest(tokenizer),
        "system_prompt": train.system_prompt,
        "max_length": train.max_length,
    }

    def make(folder: Path) -> None:
        rows = pl.read_parquet(selection.path / "rows.parquet")
        _write(encode(rows, tokenizer, train.system_prompt), rows, train.max_length, folder)

    return store.build("tokens", VERSION, inputs, make)


def read_tokens(folder: Path) -> TokenRows:
    from safetensors.numpy import load_file

    return TokenRows(**load_file(folder / IDS))


def tokenizer_digest(tokenizer: PreTrainedTokenizerFast) -> str:
    """SHA-256 over everything that decides which ids a conversation gets."""
    parts = [tokenizer.backend_tokenizer.to_str(), tokenizer.chat_template, tokenizer.special_tokens_map]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def prompt_texts(
    tokenizer: PreTrainedTokenizerFast, problems: list[str], system_prompt: str | None
) -> list[str]:
    """What the model is given for each problem, up to where its answer begins."""
    system = [{"role": "system", "content": system_prompt}] if system_prompt else []
    conversations = [[*system, {"role": "user", "content": problem}] for problem in problems]
    texts: list[str] = tokenizer.apply_chat_template(
        conversations, tokenize=False, add_generation_prompt=True
    )
    return texts


def encode_texts(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> list[list[int]]:
    """Ids of each text, nothing added to it."""
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return ids


def encode(
    rows: pl.DataFrame, tokenizer: PreTrainedTokenizerFast, system_prompt: str | None
) -> list[tuple[list[int], list[int]]]:
    """(prompt ids, response ids with the end of turn) of each row of `text` and `response`."""
    if missing := rows["response"].null_count():
        raise UserError(
            f"{missing} of the {rows.height} selected problems have no solution to train on; "
            "set data.fields.solution to their column"
        )
    end = end_of_turn(tokenizer)
    prompts = encode_texts(tokenizer, prompt_texts(tokenizer, rows["text"].to_list(), system_prompt))
    responses = encode_texts(tokenizer, rows["response"].to_list())
    return [(prompt, [*response, end]) for prompt, response in zip(prompts, responses, strict=True)]


def _write(
    encoded: list[tuple[list[int], list[int]]], rows: pl.DataFrame, max_length: int, folder: Path
) -> None:
    from safetensors.numpy import save_file

    lengths = [len(prompt) + len(response) for prompt, response in encoded]
    kept = [pair for pair, length in zip(encoded, lengths, strict=True) if length <= max_length]
    if not kept:
        raise UserError(
            f"train.max_length={max_length}: all {len(lengths)} rows are longer "
            f"({min(lengths)} to {max(lengths)} tokens); raise it or select shorter solutions"
        )
    offsets = np.cumsum([0, *(len(prompt) + len(response) for prompt, response in kept)])
    tensors = {
        "ids": np.array([token for pair in kept for part in pair for token in part], np.int32),
        "offsets": offsets.astype(np.int64),
        "prompts": np.array([len(prompt) for prompt, _ in kept], np.int64),
    }
    save_file(tensors, folder / IDS)
    over = [
        {"problem": problem, "tokens": length}
        for problem, length in zip(rows["problem"], lengths, strict=True)
        if length > max_length
    ]
    facts = {
        "rows": len(kept),
        "rows_over_length": len(over),
        "tokens": int(offsets[-1]),
        "response_tokens": sum(len(response) for _, response in kept),
        "longest": max(length for length in lengths if length <= max_length),
        "over_length": over,
    }
    (folder / FACTS).write_text(json.dumps(facts, indent=1) + "\n")
