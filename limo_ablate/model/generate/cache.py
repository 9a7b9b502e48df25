"""Keys and values of the sequences that are decoded side by side, aligned at their newest token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache

GROWTH, BLOCK = 1.5, 64
"""Room is made for half as many columns more, in steps of 64."""


class SlotCache(Cache):  # type: ignore[misc]
    """A slot holds one sequence; each forward pass adds one token to each, all of them in the same column.

    A prompt is filled in before that column, whatever its length, so that nothing is scattered, and what a
    slot sees (all columns from its first on) changes only when it gets a new prompt. The window, the columns
    that some slot sees, is all that is computed with. Being a `Cache`, it goes into any transformers model.
    """

    def __init__(self, slots: int, device: torch.device) -> None:
        super().__init__(layers=[])
        self.slots, self.device = slots, device
        self.keys: list[Tensor] = []
        """One a layer: (slots, heads, columns, head_dim)."""
        self.values: list[Tensor] = []
        self.bias = torch.empty(0)
        """(slots, heads, columns) what is added to attention scores: 0 where seen, else minus infinity."""
        self.first = [0] * slots
        """Column of each slot's first token."""
        self.column = 0
        """Where the next tokens go."""
        self.window = slice(0, 1)
        """The columns that some slot sees, the next tokens' included."""

    def fill(
        self, slots: Sequence[int], prompts: DynamicCache, rows: Sequence[int], lengths: Sequence[int]
    ) -> None:
        """Gives each of `slots` the first `lengths` tokens of a row of `prompts`."""
        if not self.keys:
            self._allocate(prompts)
        self._make_room(before=max(lengths))
        for slot, length in zip(slots, lengths, strict=True):
            self.first[slot] = self.column - length
            self.bias[slot, :, : self.first[slot]] = -torch.inf
            self.bias[slot, :, self.first[slot] :] = 0
        for length in set(lengths):
            alike = [place for place, other in enumerate(lengths) if other == length]
            to, of = [torch.tensor([s[k] for k in alike], device=self.device) for s in (slots, rows)]
            columns = slice(self.column - length, self.column)
            for number, layer in enumerate(prompts.layers):
                self.keys[number][to, :, columns] = layer.keys[of, :, :length]
                self.values[number][to, :, columns] = layer.values[of, :, :length]
        self._look()

    def keep(self, moves: Sequence[tuple[int, int]], slots: int) -> None:
        """Only the first `slots`, after each (source, target) of `moves` has been copied over."""
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
        self._look()

    def free(self, slot: int) -> None:
        """The slot's sequence is not needed any more."""
        self.first[slot] = self.column

    def advance(self) -> None:
        """The column is full: the next tokens go behind it."""
        self.column += 1
        self._make_room(before=0)
        self._look()

    def seen_bias(self) -> Tensor:
        """(slots * heads, 1, window) of `bias`."""
        return self.bias.flatten(0, 1)[:, None, self.window]

    def seen(self) -> Tensor:
        """(slots, window) whether a column is part of the slot's sequence, its new token included."""
        return self.bias[:, 0, self.window] == 0

    def add(self, number: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Layer `number`'s new keys and values, (slots, heads, head_dim), to their column.

        Returns all of its keys and values, (slots * heads, window, head_dim).
        """
        stored = self.keys[number], self.values[number]
        for store, new in zip(stored, (keys, values), strict=True):
            store[:, :, self.column] = new
        all_keys, all_values = (store.flatten(0, 1)[:, self.window] for store in stored)
        return all_keys, all_values

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """`add` as transformers' attention calls it: (slots, heads, 1 or window, head_dim) both ways."""
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

    def _look(self) -> None:
        self.window = slice(min(self.first), self.column + 1)

    def _make_room(self, before: int) -> None:
        """At least `before` columns before the next one, and the next one itself."""
        columns, low = self.bias.shape[2], min(self.first)
        if self.column >= before and self.column < columns:
            return
        used = self.column - low
        start = max(before - used, 0)
        if columns < GROWTH * (start + used + 1):
            columns = int(GROWTH * (start + used + 1)) // BLOCK * BLOCK + BLOCK

        def moved(tensor: Tensor, ahead: float) -> Tensor:
            """The window in its new place, `ahead` before it; what is behind is written before it is read."""
            result = tensor.new_empty((*tensor.shape[:2], columns, *tensor.shape[3:]))
            result[:, :, :start] = ahead
            result[:, :, start : start + used] = tensor[:, :, low : self.column]
            return result

        for store in (self.keys, self.values):
            for number, tensor in enumerate(store):
                store[number] = moved(tensor, 0.0)  # unseen, but 0 times what memory held could be NaN
        self.bias = moved(self.bias, -torch.inf)
        self.bias[:, :, start + used :] = 0
        self.column += start - low
        self.first = [column + start - low for column in self.first]
