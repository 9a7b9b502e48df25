"""Rows of a micro-batch as tensors: one after the other, without padding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from limo_ablate.train.plan import Rows
from limo_ablate.train.tokens import TokenRows

IGNORED = -100
"""Label of a token that is not learnt."""


@dataclass(frozen=True, slots=True)
class Collated:
    """Rows of a micro-batch, one after the other; the last token of each is only a label."""

    ids: Tensor
    """(1, tokens)"""
    positions: Tensor
    """(1, tokens) each token's place in its row."""
    lengths: list[int]
    """Tokens of each row."""
    predicting: Tensor
    """(labels,) positions in the sequence whose next token is learnt."""
    labels: Tensor
    """(labels,) those next tokens."""


def collate(rows: TokenRows, part: Rows, device: torch.device) -> Collated:
    """The rows `part`; none give one token without a label, for a process that must take part."""
    if len(part) == 0:
        zero = torch.zeros(1, dtype=torch.long, device=device)
        return Collated(zero[None], zero[None], [1], zero, torch.full_like(zero, IGNORED))
    lengths = rows.lengths[part] - 1
    begins = np.cumsum(lengths) - lengths
    flat = [
        np.concatenate([rows.row(row)[:-1] for row in part]),
        np.concatenate([np.arange(length) for length in lengths]),
        np.concatenate(
            [
                np.arange(begin + rows.prompts[row] - 1, begin + length)
                for begin, length, row in zip(begins, lengths, part, strict=True)
            ]
        ),
        np.concatenate([rows.row(row)[rows.prompts[row] :] for row in part]),
    ]
    ids, positions, predicting, labels = (
        torch.from_numpy(a.astype(np.int64)).to(device, non_blocking=True) for a in flat
    )
    return Collated(ids[None], positions[None], lengths.tolist(), predicting, labels)
