"""Attention over rows that are concatenated into a single sequence, without padding or masks.

transformers' own way for `sdpa` is a mask of all tokens by all tokens. Here each row is computed
separately: on a GPU by PyTorch's variable-length FlashAttention, elsewhere row by row with the kernels for
plain causal attention. `flash_attention_2` and `eager` find the borders between rows in the position ids.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward

from limo_ablate.model.train.batch import Borders
from limo_ablate.model.train.model_config import has_sliding_window

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PACKED = "packed_sdpa"
FLASH_HEAD_DIM = 256
"""Largest head dimension of FlashAttention's kernels."""


@torch.compiler.disable  # type: ignore[untyped-decorator]  # rows differ in each batch, and each would be compiled anew
def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    borders: Borders,
    dropout: float = 0.0,
    scaling: float | None = None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each row; (1, heads, tokens, head_dim) to (1, tokens, heads, head_dim).

    `borders` is an argument of the model's forward pass.
    """
    varlen = varlen_attention() if varlen_fits(query, dropout) else None  # importing it is slow
    if varlen is not None:
        return varlen_rows(varlen, query, key, value, borders, scaling), None
    parts = (tensor.split_with_sizes(borders.lengths, dim=2) for tensor in (query, key, value))
    outputs = [
        sdpa_attention_forward(module, *row, attention_mask, dropout=dropout, scaling=scaling, **settings)[0]
        for row in zip(*parts, strict=True)
    ]
    return torch.cat(outputs, dim=1), None


def varlen_fits(query: Tensor, dropout: float) -> bool:
    return (
        query.is_cuda
        and _precision(query).itemsize == 2
        and dropout == 0
        and query.shape[3] <= FLASH_HEAD_DIM
    )


def _precision(query: Tensor) -> torch.dtype:
    return torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else query.dtype


@cache
def varlen_attention() -> Callable[..., Any] | None:
    """torch.nn.attention.varlen.varlen_attn; None if torch lacks it, or has one without a window argument."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn if "window_size" in inspect.signature(varlen_attn).parameters else None


def varlen_rows(
    varlen: Callable[..., Any],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    borders: Borders,
    scaling: float | None,
    key_borders: Borders | None = None,
) -> Tensor:
    """Attention for all rows in one call of `varlen` (`varlen_attn`); shapes as in `packed_attention`.

    With `key_borders`, rows have more keys than queries, and the queries are the last positions.
    """
    key_borders = key_borders or borders
    if "enable_gqa" in inspect.signature(varlen).parameters:
        heads = {"enable_gqa": query.shape[1] != key.shape[1]}
    else:
        heads, groups = {}, query.shape[1] // key.shape[1]
        key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    states = (tensor[0].transpose(0, 1).to(_precision(query)).contiguous() for tensor in (query, key, value))
    output: Tensor = varlen(
        *states, borders.offsets, key_borders.offsets, max(borders.lengths), max(key_borders.lengths),
        scale=scaling, window_size=(-1, 0), **heads,
    )  # fmt: skip
    return output[None]


def attend_row_wise(model: PreTrainedModel) -> None:
    """Makes a model that was loaded with `sdpa` compute attention separately for each row.

    Models with sliding windows keep transformers' masks, which account for the window, as do models with
    another attention implementation.
    """
    if model.config._attn_implementation == "sdpa" and not has_sliding_window(model.config):
        AttentionInterface.register(PACKED, packed_attention)
        model.set_attn_implementation(PACKED)
