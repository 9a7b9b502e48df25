"""Keys and values of the sequences that are decoded side by side, each at its own position."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache

GROWTH = 1.5


class SlotCache(Cache):  # type: ignore[misc]
    """A slot holds one sequence, from its first token on; each forward pass adds one token to each.

    Before it, `place` says where the new tokens go. Slots get new prompts by `fill`, and are given up by
    `keep`. Being a `Cache`, it can be handed to any transformers model.
    """

    def __init__(self, slots: int, device: torch.device) -> None:
        super().__init__(layers=[])
        self.slots, self.device = slots, device
        self.keys: list[Tensor] = []
        """One a layer: (slots, heads, capacity, head_dim)."""
        self.values: list[Tensor] = []
        self.position = torch.zeros(slots, dtype=torch.long, device=device)
        self.span = 0

    def fill(self, slots: Tensor, prompts: DynamicCache) -> None:
        """Puts the prompts' keys and values, (n, heads, length, head_dim), into the n `slots`."""
        for number, layer in enumerate(prompts.layers):
            length = layer.keys.shape[2]
            if number == len(self.keys):
                empty = (self.slots, layer.keys.shape[1], 0, layer.keys.shape[3])
                self.keys.append(layer.keys.new_zeros(empty))
                self.values.append(layer.values.new_zeros(empty))
            self._reserve(number, length)
            self.keys[number][slots, :, :length] = layer.keys
            self.values[number][slots, :, :length] = layer.values

    def place(self, position: Tensor, span: int) -> None:
        """The next token of each slot goes to `position` (slots,), all of them below `span`."""
        self.position, self.span = position, span
        if self.keys[0].shape[2] < span:
            for number in range(len(self.keys)):
                self._reserve(number, int(span * GROWTH))
        heads, capacity = self.keys[0].shape[1:3]
        rows = torch.arange(self.slots * heads, device=self.device).view(self.slots, heads)
        self._rows = (rows * capacity + position[:, None]).flatten()

    def keep(self, slots: Tensor) -> None:
        """Only these slots, in this order."""
        self.slots = len(slots)
        for store in (self.keys, self.values):
            for number, tensor in enumerate(store):
                store[number] = tensor[slots]

    def seen(self) -> Tensor:
        """(slots, span) whether a place is part of the slot's sequence, its new token included."""
        return torch.arange(self.span, device=self.device) <= self.position[:, None]

    def bias(self, dtype: torch.dtype) -> Tensor:
        """(slots * heads, 1, span) what is added to attention scores: 0 where seen, else minus infinity."""
        bias = torch.zeros(self.slots, 1, self.span, dtype=dtype, device=self.device)
        bias.masked_fill_(~self.seen()[:, None], -torch.inf)
        return bias.repeat_interleave(self.keys[0].shape[1], dim=0)

    def add(self, number: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Layer `number`'s new keys and values, (slots, heads, head_dim), to their places.

        Returns all of its keys and values, (slots * heads, span, head_dim).
        """
        stored = self.keys[number], self.values[number]
        for store, new in zip(stored, (keys, values), strict=True):
            store.view(-1, store.shape[3]).index_copy_(0, self._rows, new.reshape(-1, store.shape[3]))
        all_keys, all_values = (store.flatten(0, 1)[:, : self.span] for store in stored)
        return all_keys, all_values

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """`add` as transformers' attention calls it: (slots, heads, 1 or span, head_dim) both ways."""
        keys, values = self.add(layer_idx, key_states[:, :, 0], value_states[:, :, 0])
        shape = (self.slots, key_states.shape[1], self.span, key_states.shape[3])
        return keys.view(shape), values.view(shape)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.span

    def _reserve(self, number: int, length: int) -> None:
        for store in (self.keys, self.values):
            slots, heads, capacity, dim = store[number].shape
            if capacity < length:
                more = store[number].new_zeros((slots, heads, length - capacity, dim))
                store[number] = torch.cat([store[number], more], dim=2)
