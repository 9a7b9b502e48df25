"""Attention over rows that lie one after the other in a single sequence, without padding or masks.

transformers' own way for `sdpa` is a mask of all tokens by all tokens. Here each row is attended to by
itself, with the kernels that plain causal attention has. FlashAttention and `eager` find the rows'
borders in the position ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from limo_ablate.train.load import windowed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel

ROW_WISE_SDPA = "row_wise_sdpa"


def row_wise_sdpa(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    row_lengths: Sequence[int],
    **settings: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each row; (1, heads, tokens, head_dim) to (1, tokens, heads, head_dim).

    `row_lengths` adds up to the tokens, and is an argument of the model's forward pass.
    """
    lengths = list(row_lengths)
    rows = zip(*(states.split_with_sizes(lengths, dim=2) for states in (query, key, value)), strict=True)
    outputs = [sdpa_attention_forward(module, *row, attention_mask, **settings)[0] for row in rows]
    return torch.cat(outputs, dim=1), None


def attend_row_wise(model: PreTrainedModel) -> None:
    """Has a model that is loaded with `sdpa` attend to each row by itself.

    Windowed layers keep transformers' masks, which know the window; so do the other implementations.
    """
    if model.config._attn_implementation == "sdpa" and not windowed(model):
        AttentionInterface.register(ROW_WISE_SDPA, row_wise_sdpa)
        model.set_attn_implementation(ROW_WISE_SDPA)
