"""Context parallel: processes that share each row, to train on rows that are too long for one GPU.

Each process of a group holds two of the packed sequence's 2 x `hardware.context_parallel` equal parts, one
from the front and one from the back, so that all attend to about as much. Its queries attend to the keys
and values of the whole sequence, which each layer gathers as in Llama 3 (Grattafiori et al. 2024, section
3.3.2): with grouped queries they are small compared to the rest. The backward pass sums their gradients on
the processes they came from. Everything else in the model is computed per token and is not affected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.train.attention import PACKED, varlen_attention, varlen_fits, varlen_rows
from limo_ablate.model.train.batch import IGNORED, Borders, Collated, collate, offsets_of
from limo_ablate.model.train.plan import Plan, Rows
from limo_ablate.model.train.token_rows import TokenRows

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedModel

SHARED = "shared_sdpa"


@dataclass(frozen=True, slots=True)
class SharedBorders(Borders):
    """Borders of this process's queries, which are pieces of rows, and of the keys they attend to."""

    keys: list[tuple[int, int]]
    """For each piece of a row: where its keys begin and end in the whole sequence."""
    group: Any
    """Group of the processes that share the rows."""


class Feed:
    """The micro-batches that this process passes forward for each global batch."""

    def __init__(
        self, accelerator: Accelerator, hardware: HardwareConfig, rows: TokenRows, plan: Plan
    ) -> None:
        self._rows, self._plan, self._device = rows, plan, accelerator.device
        self._size = hardware.context_parallel
        self._group = _subgroup(self._size) if self._size > 1 else None
        self._rank, self._place = divmod(accelerator.process_index, self._size)
        self._world = accelerator.num_processes // self._size

    def passes(self, batch: Rows) -> list[Collated]:
        """This process's micro-batches of `batch`; all processes have the same number."""
        whole = [
            collate(
                self._rows,
                ranks[self._rank],
                self._device,
                most_labels=max(int(self._plan.responses[part].sum()) for part in ranks),
            )
            for ranks in self._plan.passes(batch, self._world)
        ]
        return [share(rows, self._place, self._size, self._group) for rows in whole] if self._group else whole


def _subgroup(size: int) -> Any:
    groups: Any = distributed.new_subgroups(size)  # type: ignore[no-untyped-call]
    return groups[0]


def share(rows: Collated, place: int, size: int, group: Any) -> Collated:
    """The share of `rows` for the process at `place` (0..size-1) of `group`."""
    device, tokens = rows.ids.device, rows.ids.shape[1]
    half = -(-tokens // (2 * size))
    padding = 2 * size * half - tokens
    begins = (place * half, (2 * size - 1 - place) * half)
    mine = torch.cat([torch.arange(begin, begin + half, device=device) for begin in begins])
    here = torch.full((tokens + padding,), -1, device=device)
    here[mine] = torch.arange(2 * half, device=device)
    places = here[rows.predicting]
    own = places >= 0
    predicting, labels = places[own], rows.labels[own]
    if len(labels) == 0:  # the process must take part
        predicting, labels = rows.predicting.new_zeros(1), rows.labels.new_full((1,), IGNORED)
    ids, positions = (
        nn.functional.pad(values, (0, padding))[:, mine] for values in (rows.ids, rows.positions)
    )
    lengths, keys = _pieces([*rows.borders.lengths, padding], begins, half)
    borders = SharedBorders(lengths, offsets_of(lengths, device), keys, group)
    return Collated(ids, positions, borders, predicting, labels)


def share_rows(model: PreTrainedModel) -> None:
    """Makes a model attend to rows that several processes share; raises UserError if it can't."""
    if model.config._attn_implementation != PACKED:
        raise UserError(
            "hardware.context_parallel needs model.attention=sdpa and a model without sliding windows; "
            "set hardware.context_parallel=1"
        )
    AttentionInterface.register(SHARED, shared_attention)
    model.set_attn_implementation(SHARED)


@torch.compiler.disable  # type: ignore[untyped-decorator]  # as `packed_attention`
def shared_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    borders: SharedBorders,
    dropout: float = 0.0,
    scaling: float | None = None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """`packed_attention` of this process's queries to all earlier keys in their rows."""
    key, value = _gathered(torch.stack([key, value]), borders.group)
    keys, values = ([states[:, :, a:b] for a, b in borders.keys] for states in (key, value))
    varlen = varlen_attention() if varlen_fits(query, dropout) else None
    if varlen is not None:
        lengths = [b - a for a, b in borders.keys]
        key_borders = Borders(lengths, offsets_of(lengths, query.device))
        states = query, torch.cat(keys, dim=2), torch.cat(values, dim=2)
        return varlen_rows(varlen, *states, borders, scaling, key_borders), None
    outputs = [
        sdpa_attention_forward(
            module, *piece, _causal(piece[0], piece[1]), dropout=dropout, scaling=scaling, **settings
        )[0]
        for piece in zip(query.split_with_sizes(borders.lengths, dim=2), keys, values, strict=True)
    ]
    return torch.cat(outputs, dim=1), None


def _pieces(rows: list[int], begins: tuple[int, int], half: int) -> tuple[list[int], list[tuple[int, int]]]:
    """For each piece of a row in the parts at `begins`: its length, and where its keys begin and end."""
    lengths, keys = [], []
    for begin in begins:
        start = 0
        for row in rows:
            first, last = max(start, begin), min(start + row, begin + half)
            if first < last:
                lengths.append(last - first)
                keys.append((start, last))
            start += row
    return lengths, keys


def _causal(query: Tensor, key: Tensor) -> Tensor | None:
    """Mask for queries at the last positions of their keys; None where plain causal attention suffices."""
    queries, keys = query.shape[2], key.shape[2]
    if queries in (1, keys):
        return None
    mask = torch.ones(queries, keys, dtype=torch.bool, device=query.device)
    return mask.tril(keys - queries)[None, None]


def _gathered(states: Tensor, group: Any) -> Tensor:
    """Gathers (..., tokens, head_dim) of each process into the whole sequence, in its order."""
    parts: Tensor = _Gather.apply(states, group)  # type: ignore[no-untyped-call]
    fronts, backs = parts.chunk(2, dim=-2)
    return torch.cat([*fronts, *backs.flip(0)], dim=-2)


class _Gather(torch.autograd.Function):
    """Gathers (...) of each process into (processes, ...); sums gradients in the backward pass."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, group: Any) -> Tensor:
        ctx.group = group
        gathered = states.new_empty((group.size() * len(states), *states.shape[1:]))
        distributed.all_gather_into_tensor(gathered, states.contiguous(), group)
        return gathered.view(group.size(), *states.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        own = gradient.new_empty(gradient.shape[1:])
        distributed.reduce_scatter_tensor(own, gradient.flatten(0, 1).contiguous(), group=ctx.group)
        return own, None
