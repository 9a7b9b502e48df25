"""Token ids of training rows, memory-mapped so that they need not fit in memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

IDS = "tokens.safetensors"
SPANS = ("span_rows", "span_begins", "span_ends")
"""Names of the arrays that only rows of several turns have."""


@dataclass(frozen=True)
class TokenRows:
    """Rows of token ids, concatenated."""

    ids: npt.NDArray[np.int32]
    """(tokens,) ids of all rows."""
    offsets: npt.NDArray[np.int64]
    """(rows + 1,) where each row begins in `ids`, and where the last one ends."""
    prompts: npt.NDArray[np.int64]
    """(rows,) number of tokens of each row's prompt; the tokens after it have a loss."""
    problems: npt.NDArray[np.int64]
    """(rows,) number of each row's problem."""
    span_rows: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """(spans,) row of each span of a prompt that has a loss too, in order: an earlier turn of a dialog."""
    span_begins: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """(spans,) position of its first token in the row."""
    span_ends: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """(spans,) position behind its last token."""

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        return np.diff(self.offsets)

    @cached_property
    def responses(self) -> npt.NDArray[np.int64]:
        """(rows,) number of tokens of each row that have a loss."""
        counts = self.lengths - self.prompts
        np.add.at(counts, self.span_rows, self.span_ends - self.span_begins)
        return counts

    def labels(self, number: int) -> npt.NDArray[np.int64]:
        """Positions of the tokens of a row that have a loss."""
        last = np.arange(self.prompts[number], self.lengths[number])
        first, behind = np.searchsorted(self.span_rows, [number, number + 1])
        if first == behind:
            return last
        spans = zip(self.span_begins[first:behind], self.span_ends[first:behind], strict=True)
        return np.concatenate([*(np.arange(begin, end) for begin, end in spans), last])

    def row(self, number: int) -> npt.NDArray[np.int32]:
        return self.ids[self.offsets[number] : self.offsets[number + 1]]


def blank_rows(lengths: Sequence[int], prompt: int) -> TokenRows:
    """Rows of these lengths without their tokens, for forecasts; their prompts have `prompt` tokens."""
    count = len(lengths)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return TokenRows(np.empty(0, np.int32), offsets, np.full(count, prompt), np.arange(count))


def read_tokens(folder: Path) -> TokenRows:
    """The rows of a `tokens` artifact; their ids are read from disk when they are used."""
    from safetensors import safe_open

    with (folder / IDS).open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        begin, _ = json.loads(file.read(size))["ids"]["data_offsets"]
    with safe_open(folder / IDS, "numpy") as tensors:
        (count,) = tensors.get_slice("ids").get_shape()
        per_row = {name: tensors.get_tensor(name) for name in tensors.keys() if name != "ids"}  # noqa: SIM118
    ids = np.memmap(folder / IDS, np.int32, "r", offset=8 + size + begin, shape=(count,))
    return TokenRows(ids=np.asarray(ids), **per_row)
