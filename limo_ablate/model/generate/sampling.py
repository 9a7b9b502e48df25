"""Chooses the next token of each sequence, and makes the random numbers for it."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def uniforms(seed: int, problem: str, sample: int, count: int) -> npt.NDArray[np.float32]:
    """`count` numbers in [0, 1), one per token, that depend on the completion's seed, problem and sample."""
    name = f"{seed}/{sample}/{problem}".encode()
    key = int.from_bytes(hashlib.sha256(name).digest()[:16])
    return np.random.Generator(np.random.Philox(key=key)).random(count, dtype=np.float32)


def greedy(logits: Tensor) -> Tensor:
    """(n, vocabulary) logits to (n,) tokens."""
    return logits.argmax(-1)


def draw(logits: Tensor, temperature: Tensor, top_p: Tensor, uniform: Tensor) -> Tensor:
    """(n,) tokens, each drawn from its nucleus by its own uniform number; meaningless at temperature 0.

    Logits are (n, vocabulary), the other arguments (n,). The nucleus is the smallest set of most probable
    tokens whose probabilities sum to at least `top_p`.
    """
    probabilities = torch.softmax(logits.float() / temperature.clamp(min=1e-6)[:, None], -1)
    probabilities, tokens = probabilities.sort(dim=-1, descending=True, stable=True)
    cumulated = probabilities.cumsum(-1)
    size = (cumulated - probabilities < top_p[:, None]).sum(-1, keepdim=True)
    mass = cumulated.gather(-1, size - 1)
    drawn = (cumulated <= uniform[:, None] * mass).sum(-1, keepdim=True)
    chosen: Tensor = tokens.gather(-1, drawn.minimum(size - 1)).squeeze(-1)
    return chosen
