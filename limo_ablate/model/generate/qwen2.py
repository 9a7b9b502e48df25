"""Qwen2's forward pass for one token per sequence, directly on the weights.

transformers' own pass spends about 1.5 ms per layer in Python, which is most of the time of a small model.
Other architectures use it nevertheless; see `decoding`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from limo_ablate.model.generate.cache import SlotCache


@dataclass(frozen=True, slots=True)
class Layer:
    """Weights of a decoder layer; projections of the same input are joined into one matrix."""

    attention_norm: Tensor
    qkv: Tensor
    qkv_bias: Tensor
    output: Tensor
    mlp_norm: Tensor
    gate_up: Tensor
    down: Tensor


class Qwen2Step:
    """Logits (slots, vocabulary) of the next token of each slot's sequence."""

    def __init__(self, model: Any) -> None:
        self.model, self.config = model, model.config
        self.layers = [_layer(layer) for layer in model.model.layers]
        self.rotary = torch.empty(0, 2, 1, 1)
        """(positions, 2, 1, head_dim) cosines and sines; the first half of the sines is negated."""

    @staticmethod
    def fits(model: Any) -> bool:
        """Whether `model` is a Qwen2 with plain rotary embeddings and full attention in every layer."""
        config = model.config
        return bool(
            config.model_type == "qwen2"
            and config.rope_parameters["rope_type"] == "default"
            and set(config.layer_types) == {"full_attention"}
        )

    def __call__(self, token: Tensor, position: Tensor, cache: SlotCache) -> Tensor:
        """Tokens (slots,), the last of each slot's sequence, and their positions (slots,) to logits."""
        core, width, eps = self.model.model, self.config.hidden_size, self.config.rms_norm_eps
        hidden: Tensor = functional.embedding(token, core.embed_tokens.weight)
        self._extend_rotary(cache.get_seq_length(), hidden)
        cos, sin = self.rotary.index_select(0, position).unbind(1)
        bias = cache.window_bias()
        for number, layer in enumerate(self.layers):
            normed = functional.rms_norm(hidden, (width,), layer.attention_norm, eps)
            hidden = hidden + self._attention(normed, layer, (cos, sin), bias, number, cache)
            normed = functional.rms_norm(hidden, (width,), layer.mlp_norm, eps)
            gate, up = functional.linear(normed, layer.gate_up).chunk(2, dim=-1)
            hidden = hidden + functional.linear(functional.silu(gate) * up, layer.down)
        logits: Tensor = self.model.lm_head(functional.rms_norm(hidden, (width,), core.norm.weight, eps))
        return logits

    def _attention(
        self,
        normed: Tensor,
        layer: Layer,
        rotary: tuple[Tensor, Tensor],
        bias: Tensor,
        number: int,
        cache: SlotCache,
    ) -> Tensor:
        heads, kv_heads = self.config.num_attention_heads, self.config.num_key_value_heads
        slots, dim = len(normed), rotary[0].shape[-1]
        states = functional.linear(normed, layer.qkv, layer.qkv_bias).view(slots, -1, dim)
        rotated = _rotate(states[:, : heads + kv_heads], *rotary)
        keys, values = cache.add(number, rotated[:, heads:], states[:, heads + kv_heads :])
        queries = rotated[:, :heads].reshape(slots * kv_heads, heads // kv_heads, dim)
        scores = torch.baddbmm(bias, queries, keys.transpose(1, 2), alpha=dim**-0.5)
        weights = scores.softmax(-1, dtype=torch.float32).to(values.dtype)
        return functional.linear(torch.bmm(weights, values).view(slots, heads * dim), layer.output)

    def _extend_rotary(self, span: int, hidden: Tensor) -> None:
        if len(self.rotary) < span:
            places = torch.arange(2 * span, device=hidden.device)[None]
            cos, sin = self.model.model.rotary_emb(hidden, places)
            half = sin.shape[-1] // 2
            signed = torch.cat([-sin[0, :, :half], sin[0, :, half:]], dim=-1)
            self.rotary = torch.stack([cos[0], signed], dim=1)[:, :, None]


def _rotate(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding of (slots, heads, dim)."""
    first, second = states.chunk(2, dim=-1)
    return torch.addcmul(states * cos, torch.cat((second, first), dim=-1), sin)


def _layer(layer: Any) -> Layer:
    attention, mlp = layer.self_attn, layer.mlp
    return Layer(
        attention_norm=layer.input_layernorm.weight,
        qkv=_joined([attention.q_proj, attention.k_proj, attention.v_proj]),
        qkv_bias=torch.cat([attention.q_proj.bias, attention.k_proj.bias, attention.v_proj.bias]).detach(),
        output=attention.o_proj.weight,
        mlp_norm=layer.post_attention_layernorm.weight,
        gate_up=_joined([mlp.gate_proj, mlp.up_proj]),
        down=mlp.down_proj.weight,
    )


def _joined(projections: list[nn.Linear]) -> Tensor:
    """The projections' weights as one matrix; they become views of it, so no memory is used twice."""
    sizes = [projection.out_features for projection in projections]
    joined = torch.cat([projection.weight.detach() for projection in projections])
    for projection, part in zip(projections, joined.split_with_sizes(sizes), strict=True):
        projection.weight = nn.Parameter(part, requires_grad=False)
    return joined
