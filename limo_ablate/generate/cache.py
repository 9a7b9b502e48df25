"""Keys and values of the sequences that are decoded side by side, each at its own position."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache

GROWTH = 1.5


class SlotCache(Cache):  # type: ignore[misc]
    """A slot holds one sequence, from its first token on; the model adds one token to each at a time.

    Before each forward pass `place` says where the new tokens go. Slots are refilled by `fill` with the
    keys and values of new prompts, and dropped by `keep`.
    """

    def __init__(self, slots: int, device: torch.device) -> None:
        super().__init__(layers=[])
        self.slots = slots
        self.keys: list[Tensor] = []
        """One a layer: (slots, heads, capacity, head_dim)."""
        self.values: list[Tensor] = []
        self.index = torch.arange(slots, device=device)
        self.position = torch.zeros(slots, dtype=torch.long, device=device)
        self.span = 0

    def fill(self, slots: Tensor, prompts: DynamicCache) -> None:
        """Puts the prompts' keys and values, (n, heads, length, head_dim), into the n `slots`."""
        for number, layer in enumerate(prompts.layers):
            if number == len(self.keys):
                empty = (self.slots, layer.keys.shape[1], 0, layer.keys.shape[3])
                self.keys.append(layer.keys.new_zeros(empty))
                self.values.append(layer.values.new_zeros(empty))
            self._reserve(number, layer.keys.shape[2])
            self.keys[number][slots, :, : layer.keys.shape[2]] = layer.keys
            self.values[number][slots, :, : layer.values.shape[2]] = layer.values

    def place(self, position: Tensor, span: int) -> None:
        """The next token of each slot goes to `position` (slots,), all of them below `span`."""
        self.position, self.span = position, span
        if self.keys and self.keys[0].shape[2] < span:
            for number in range(len(self.keys)):
                self._reserve(number, int(span * GROWTH))

    def keep(self, slots: Tensor) -> None:
        """Only these slots, in this order."""
        self.slots, self.index = len(slots), self.index[: len(slots)]
        for store in (self.keys, self.values):
            for number, tensor in enumerate(store):
                store[number] = tensor[slots]

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Called by the model's attention with one new token a slot: (slots, heads, 1, head_dim)."""
        keys, values = self.keys[layer_idx], self.values[layer_idx]
        keys[self.index, :, self.position] = key_states[:, :, 0]
        values[self.index, :, self.position] = value_states[:, :, 0]
        return keys[:, :, : self.span], values[:, :, : self.span]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.span

    def _reserve(self, number: int, length: int) -> None:
        for store in (self.keys, self.values):
            slots, heads, capacity, dim = store[number].shape
            if capacity < length:
                more = store[number].new_zeros((slots, heads, length - capacity, dim))
                store[number] = torch.cat([store[number], more], dim=2)
