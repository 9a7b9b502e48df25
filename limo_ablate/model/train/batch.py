"""Collates the rows of a micro-batch into tensors: concatenated, without padding."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from limo_ablate.model.train.plan import Rows
from limo_ablate.model.train.token_rows import TokenRows

IGNORED = -100
"""Label of a token that has no loss."""


@dataclass(frozen=True, slots=True)
class Borders:
    """Where the rows of a packed sequence begin and end."""

    lengths: list[int]
    """Number of tokens of each row."""
    offsets: Tensor
    """(rows + 1,) int32: where each row begins, and where the last ends, as attention kernels need it."""


def offsets_of(lengths: list[int], device: torch.device) -> Tensor:
    """Where rows of these lengths begin, and where the last ends; int32."""
    return torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=device)


@dataclass(frozen=True, slots=True)
class Collated:
    """The rows of a micro-batch, concatenated; the last token of each row is only a label."""

    ids: Tensor
    """(1, tokens)"""
    positions: Tensor
    """(1, tokens) position of each token in its row."""
    borders: Borders
    predicting: Tensor
    """(labels,) positions in the sequence whose next token has a loss."""
    labels: Tensor
    """(labels,) those next tokens."""
    most_labels: int = 0
    """Number of labels of the process that has the most in this pass; 0 if that does not matter."""


def collate(rows: TokenRows, part: Rows, device: torch.device, most_labels: int = 0) -> Collated:
    """Collates the rows `part`; no rows give one token without a label, for a process that must take part."""
    if len(part) == 0:
        zero = torch.zeros(1, dtype=torch.long, device=device)
        borders = Borders([1], torch.arange(2, dtype=torch.int32, device=device))
        return Collated(zero[None], zero[None], borders, zero, torch.full_like(zero, IGNORED), most_labels)
    lengths = rows.lengths[part] - 1
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    labelled = [rows.labels(row) for row in part]
    flat = [
        np.concatenate([rows.row(row)[:-1] for row in part]),
        np.concatenate([np.arange(length) for length in lengths]),
        np.concatenate([begin + at - 1 for begin, at in zip(offsets[:-1], labelled, strict=True)]),
        np.concatenate([rows.row(row)[at] for row, at in zip(part, labelled, strict=True)]),
    ]
    ids, positions, predicting, labels = (
        torch.from_numpy(a.astype(np.int64)).to(device, non_blocking=True) for a in flat
    )
    borders = Borders(lengths.tolist(), offsets_of(lengths.tolist(), device))
    return Collated(ids[None], positions[None], borders, predicting, labels, most_labels)
