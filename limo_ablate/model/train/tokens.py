"""Turns a selection's rows into token ids with the model's chat template, and notes where responses begin.

Only the response has a loss, including its end-of-turn token. Prompt and response are tokenised separately,
so that training sees exactly the ids that generation starts from. Rows over the limit are dropped, counted
and listed, never truncated.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np

from limo_ablate.core.artifacts import Artifact, Store, json_default
from limo_ablate.core.errors import UserError
from limo_ablate.core.text import counted
from limo_ablate.model.config import TemplateConfig
from limo_ablate.model.train.base import model_path
from limo_ablate.model.train.chat import AS_IT_IS, ChatEncoder
from limo_ablate.model.train.config import TOKEN_KEYS, TrainConfig
from limo_ablate.model.train.dialogs import Dialogs, Spans
from limo_ablate.model.train.load import load_tokenizer
from limo_ablate.model.train.model_config import context_length, model_config
from limo_ablate.model.train.response import Responses
from limo_ablate.model.train.token_rows import IDS, SPANS, read_tokens

if TYPE_CHECKING:
    import numpy.typing as npt
    from transformers import PreTrainedTokenizerFast

FACTS = "tokens.json"
BATCH_ROWS = 1024
"""Number of rows in memory at a time."""
HEADER = 1024
"""Bytes reserved for the header before the ids, which is written last."""


def tokenize(
    store: Store,
    selection: Artifact,
    base: Artifact,
    train: TrainConfig,
    template: TemplateConfig = AS_IT_IS,
) -> Artifact:
    """Token ids of `selection`'s rows for `base`'s tokenizer.

    Raises UserError if rows have no solution, if all are longer than `train.max_length`, or if any that are
    not are longer than the model's context.
    """
    tokenizer = load_tokenizer(model_path(base))
    inputs = {
        "selection": selection,
        "tokenizer": tokenizer_digest(tokenizer),
        **{key: value for key, value in json_default(train).items() if key in TOKEN_KEYS},
        **template.as_input(),
    }

    def make(folder: Path) -> None:
        responses = Responses(ChatEncoder(tokenizer, template), train.system_prompt, train.response)
        dialogs = Dialogs(responses, train.loss_on)
        rows = _encoded(selection.path / "rows.parquet", responses, dialogs)
        _write(rows, dialogs, train.max_length, folder)
        _check_context(folder, context_length(model_config(model_path(base))))
        responses.tell()
        _add_notes(folder, responses.lines())

    return store.build("tokens", inputs, make)


def tokenizer_digest(tokenizer: PreTrainedTokenizerFast) -> str:
    """SHA-256 over everything that decides the ids of a conversation."""
    parts = [tokenizer.backend_tokenizer.to_str(), tokenizer.chat_template, tokenizer.special_tokens_map]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


Encoded: TypeAlias = tuple[str, list[int], list[int], Spans]
"""Problem of a row, ids of its prompt, ids of its response, spans of the prompt that have a loss too."""


def _encoded(file: Path, responses: Responses, dialogs: Dialogs) -> Iterator[Encoded]:
    """The encoded rows of a selection, read `BATCH_ROWS` at a time."""
    import polars as pl
    from pyarrow.parquet import ParquetFile

    rows, missing = pl.scan_parquet(file).select(pl.len(), pl.col("response").null_count()).collect().row(0)
    if missing:
        raise UserError(
            f"{missing} of the {rows} selected problems have no solution to train on; "
            "set data.fields.solution to their column"
        )
    with ParquetFile(file) as table:
        columns = ["problem", "text", "response", "dialog"]
        columns = [name for name in columns if name in table.schema_arrow.names]
        for batch in table.iter_batches(BATCH_ROWS, columns=columns):
            part = pl.DataFrame(pl.from_arrow(batch))
            held = part["dialog"].to_list() if "dialog" in columns else [None] * part.height
            plain = part.filter(pl.Series([dialog is None for dialog in held], dtype=pl.Boolean))
            pairs = responses.encode(plain["text"].to_list(), plain["response"].to_list())
            for problem, response, dialog in zip(part["problem"], part["response"], held, strict=True):
                found = (*next(pairs), []) if dialog is None else dialogs.encode(dialog, response)
                if found is not None:
                    yield problem, *found


def _write(encoded: Iterator[Encoded], dialogs: Dialogs, max_length: int, folder: Path) -> None:
    """Writes the rows that are short enough, one by one; raises UserError if none is."""
    per_row: list[tuple[int, int, int]] = []
    spans: list[tuple[int, int, int]] = []
    over: list[dict[str, Any]] = []
    numbers: dict[str, int] = {}
    with (folder / IDS).open("wb") as file:
        file.write(bytes(HEADER))
        for problem, prompt, response, earlier in encoded:
            length = len(prompt) + len(response)
            if length > max_length:
                over.append({"problem": problem, "tokens": length})
                continue
            spans += [(len(per_row), begin, end) for begin, end in earlier]
            per_row.append((length, len(prompt), numbers.setdefault(problem, len(numbers))))
            file.write(np.array(prompt + response, "<i4").tobytes())
        if not per_row:
            raise UserError(_none_left(over, max_length, dialogs))
        lengths, prompts, problems = np.array(per_row, "<i8").T
        arrays = {"offsets": np.cumsum([0, *lengths]), "prompts": prompts, "problems": problems}
        if spans:
            arrays |= dict(zip(SPANS, np.array(spans, "<i8").T, strict=True))
        _finish(file, arrays)
    facts = {
        "rows": len(lengths),
        "rows_over_length": len(over),
        "tokens": int(lengths.sum()),
        "response_tokens": int((lengths - prompts).sum()) + sum(end - begin for _, begin, end in spans),
        "longest": int(lengths.max()),
        "over_length": over,
    }
    if dialogs.left_out:
        facts["rows_left_out"] = dialogs.left_out
    (folder / FACTS).write_text(json.dumps(facts, indent=1) + "\n")


def _check_context(folder: Path, context: int) -> None:
    """Raises UserError for rows that are longer than the model's context."""
    lengths = read_tokens(folder).lengths
    if beyond := int((lengths > context).sum()):
        raise UserError(
            f"train.max_length: {beyond} of {counted(len(lengths), 'row')} are longer than the {context} "
            f"tokens of the model's context, up to {lengths.max()}; set train.max_length={context}, which "
            "drops them"
        )


def _none_left(over: list[dict[str, Any]], max_length: int, dialogs: Dialogs) -> str:
    if not over:
        return f"no row can be trained on: {'; '.join(dialogs.responses.lines())}"
    lengths = [row["tokens"] for row in over]
    return (
        f"train.max_length={max_length}: all {len(lengths)} rows are longer "
        f"({min(lengths)} to {max(lengths)} tokens); raise it or select shorter solutions"
    )


def _add_notes(folder: Path, notes: list[str]) -> None:
    """Adds what was said about the rows; nothing where there is nothing to say."""
    if notes:
        facts = json.loads((folder / FACTS).read_text())
        (folder / FACTS).write_text(json.dumps(facts | {"notes": notes}, indent=1) + "\n")


def _finish(file: BinaryIO, per_row: dict[str, npt.NDArray[np.int64]]) -> None:
    """Appends `per_row` to the ids, and writes the header that makes this a safetensors file."""
    end = file.tell() - HEADER
    header = {"ids": {"dtype": "I32", "shape": [end // 4], "data_offsets": [0, end]}}
    for name, values in per_row.items():
        begin, end = end, end + values.nbytes
        header[name] = {"dtype": "I64", "shape": [len(values)], "data_offsets": [begin, end]}
        file.write(values.tobytes())
    file.seek(0)
    file.write((HEADER - 8).to_bytes(8, "little") + json.dumps(header).encode().ljust(HEADER - 8))
