"""Keys and values of sequences that are decoded at the same time, aligned at their newest token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache

GROWTH, BLOCK = 1.5, 64
"""The cache grows by half, to a multiple of 64 columns."""


class SlotCache(Cache):  # type: ignore[misc]
    """Each slot holds one sequence. A forward pass adds one token to every slot, all in the same column.

    A prompt is placed to end before that column, whatever its length. So writes are never scattered, and a
    slot's mask (all columns from its first one) changes only when it gets a new prompt. Attention is
    computed over the window, the columns that at least one slot uses. As a `Cache` it works with any
    transformers model.
    """

    def __init__(self, slots: int, device: torch.device) -> None:
        super().__init__(layers=[])
        self.slots, self.device = slots, device
        self.keys: list[Tensor] = []
        """One tensor per layer: (slots, heads, columns, head_dim)."""
        self.values: list[Tensor] = []
        self.bias = torch.empty(0)
        """(slots, heads, columns) added to attention scores: 0 within the sequence, else minus infinity."""
        self.first = [0] * slots
        """Column of each slot's first token."""
        self.column = 0
        """Column of the next tokens."""
        self.window = slice(0, 1)
        """Columns that at least one slot uses, including that of the next tokens."""

    def fill(
        self, slots: Sequence[int], prompts: DynamicCache, rows: Sequence[int], lengths: Sequence[int]
    ) -> None:
        """Copies the first `lengths` tokens of `rows` of `prompts` into `slots`."""
        if not self.keys:
            self._allocate(prompts)
        self._make_room(before=max(lengths))
        for slot, length in zip(slots, lengths, strict=True):
            self.first[slot] = self.column - length
            self.bias[slot, :, : self.first[slot]] = -torch.inf
            self.bias[slot, :, self.first[slot] :] = 0
        for length in set(lengths):
            same = [place for place, other in enumerate(lengths) if other == length]
            to, of = [torch.tensor([s[k] for k in same], device=self.device) for s in (slots, rows)]
            columns = slice(self.column - length, self.column)
            for number, layer in enumerate(prompts.layers):
                self.keys[number][to, :, columns] = layer.keys[of, :, :length]
                self.values[number][to, :, columns] = layer.values[of, :, :length]
        self._update_window()

    def keep(self, moves: Sequence[tuple[int, int]], slots: int) -> None:
        """Copies each (source, target) of `moves`, then drops all but the first `slots`."""
        if moves:
            source, target = torch.tensor(moves, device=self.device).T
            for tensor in (*self.keys, *self.values):
                tensor[target, :, self.window] = tensor[source, :, self.window]
            self.bias[target] = self.bias[source]
            for one, other in moves:
                self.first[other] = self.first[one]
        self.keys = [tensor[:slots] for tensor in self.keys]
        self.values = [tensor[:slots] for tensor in self.values]
        self.bias, self.first, self.slots = self.bias[:slots], self.first[:slots], slots
        self._update_window()

    def free(self, slot: int) -> None:
        """Forgets the slot's sequence."""
        self.first[slot] = self.column

    def advance(self) -> None:
        """Moves on to the next column, once the current one is written."""
        self.column += 1
        self._make_room(before=0)
        self._update_window()

    def window_bias(self) -> Tensor:
        """(slots * heads, 1, window) of `bias`."""
        return self.bias.flatten(0, 1)[:, None, self.window]

    def in_sequence(self) -> Tensor:
        """(slots, window) whether a column belongs to the slot's sequence, including its new token."""
        return self.bias[:, 0, self.window] == 0

    def add(self, number: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Writes layer `number`'s new keys and values, (slots, heads, head_dim), to the current column.

        Returns all keys and values of the layer, (slots * heads, window, head_dim).
        """
        stored = self.keys[number], self.values[number]
        for store, new in zip(stored, (keys, values), strict=True):
            store[:, :, self.column] = new
        all_keys, all_values = (store.flatten(0, 1)[:, self.window] for store in stored)
        return all_keys, all_values

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """`add` for transformers' attention: (slots, heads, 1, dim) to (slots, heads, window, dim)."""
        keys, values = self.add(layer_idx, key_states[:, :, 0], value_states[:, :, 0])
        shape = (*key_states.shape[:2], self.get_seq_length(), key_states.shape[3])
        return keys.view(shape), values.view(shape)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.window.stop - self.window.start

    def _allocate(self, prompts: DynamicCache) -> None:
        for layer in prompts.layers:
            _, heads, _, dim = layer.keys.shape
            self.keys.append(layer.keys.new_zeros((self.slots, heads, 0, dim)))
            self.values.append(layer.values.new_zeros((self.slots, heads, 0, dim)))
        self.bias = layer.keys.new_zeros((self.slots, heads, 0))

    def _update_window(self) -> None:
        self.window = slice(min(self.first), self.column + 1)

    def _make_room(self, before: int) -> None:
        """Ensures space for the current column and `before` columns before it."""
        columns, low = self.bias.shape[2], min(self.first)
        if self.column >= before and self.column < columns:
            return
        used = self.column - low
        start = max(before - used, 0)
        if columns < GROWTH * (start + used + 1):
            columns = int(GROWTH * (start + used + 1)) // BLOCK * BLOCK + BLOCK

        def moved(tensor: Tensor, ahead: float) -> Tensor:
            """The window in its new place, `ahead` before it; columns behind it are written before use."""
            result = tensor.new_empty((*tensor.shape[:2], columns, *tensor.shape[3:]))
            result[:, :, :start] = ahead
            result[:, :, start : start + used] = tensor[:, :, low : self.column]
            return result

        for store in (self.keys, self.values):
            for number, tensor in enumerate(store):
                store[number] = moved(tensor, 0.0)  # masked, but 0 times uninitialised memory could be NaN
        self.bias = moved(self.bias, -torch.inf)
        self.bias[:, :, start + used :] = 0
        self.column += start - low
        self.first = [column + start - low for column in self.first]
