"""The miniature's base models: Qwen2 of a few ten thousand parameters, and their initial weights.

The initial weights are a hand-built inductive bias (see docs/miniature.md): heads of the first layer look
back a fixed number of tokens, heads of later layers attend to earlier copies of the current token. Without
it, a model of this size does not learn to look things up within a few million tokens.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from limo_ablate.model.config import ArchitectureConfig

LOOK_BACK = (1, 2, 3, 5, 4, 6, 7)
"""Distances in tokens that the heads of the first layer look back."""
FAST = 0.12
"""Rotary frequencies (radians a token) above this tell neighbouring tokens apart."""
PEAK = 6.0
"""Attention logit that one fast frequency adds at the wanted distance."""


def make_model(
    architecture: ArchitectureConfig, tokenizer: PreTrainedTokenizerFast, seed: int
) -> Qwen2ForCausalLM:
    """An untrained Qwen2 with hand-built initial weights; seeds torch's global generator."""
    torch.manual_seed(seed)
    # Qwen2's range of 0.02 is meant for widths of thousands: with it, the model hardly learns facts here.
    spread = architecture.width**-0.5
    model = Qwen2ForCausalLM(qwen2_config(architecture, tokenizer, initializer_range=spread))
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, do_sample=False
    )
    with torch.no_grad():
        for number, layer in enumerate(model.model.layers):
            layer.self_attn.o_proj.weight.mul_(0.5)
            layer.mlp.down_proj.weight.mul_(0.35)
            initialise = _look_back if number == 0 else _look_for_copies
            initialise(layer.self_attn, model.model.rotary_emb.inv_freq)
    return model


def qwen2_config(
    architecture: ArchitectureConfig, tokenizer: PreTrainedTokenizerFast, **others: Any
) -> Qwen2Config:
    """Qwen2 of this shape for this vocabulary; `others` are keys of Qwen2Config."""
    return Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=architecture.width,
        intermediate_size=3 * architecture.width,
        num_hidden_layers=architecture.layers,
        num_attention_heads=architecture.heads,
        num_key_value_heads=architecture.heads,
        head_dim=architecture.head_dim,
        max_position_embeddings=architecture.context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **others,
    )


def _look_back(attention: nn.Module, frequencies: Tensor) -> None:
    """Makes each head attend `LOOK_BACK[head]` tokens back: biases give the rotary kernel a peak there."""
    query, key, dim, fast = _parts(attention, frequencies)
    size = math.sqrt(PEAK * math.sqrt(dim))
    for head, weight in enumerate(zip(query.bias.view(-1, dim), key.bias.view(-1, dim), strict=True)):
        query_bias, key_bias = weight
        angle = -LOOK_BACK[head % len(LOOK_BACK)] * frequencies[:fast]
        key_bias[:fast] = size
        query_bias[:fast] = size * torch.cos(angle)
        query_bias[dim // 2 : dim // 2 + fast] = size * torch.sin(angle)
    query.weight.mul_(0.3)
    key.weight.mul_(0.3)


def _look_for_copies(attention: nn.Module, frequencies: Tensor) -> None:
    """Makes tokens attend to their earlier copies: keys equal queries; biases suppress the token itself."""
    query, key, dim, fast = _parts(attention, frequencies)
    key.weight.copy_(query.weight)
    size = math.sqrt(PEAK * math.sqrt(dim) / fast)
    query.bias.view(-1, dim)[:, :fast] = -size
    key.bias.view(-1, dim)[:, :fast] = size


def _parts(attention: nn.Module, frequencies: Tensor) -> tuple[nn.Linear, nn.Linear, int, int]:
    query, key = attention.q_proj, attention.k_proj
    assert isinstance(query, nn.Linear)
    assert isinstance(key, nn.Linear)
    return query, key, 2 * len(frequencies), int((frequencies > FAST).sum())
