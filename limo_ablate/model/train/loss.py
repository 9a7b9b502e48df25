"""The loss as the last part of the model, so that a wrapper of the model (DDP, FSDP2) includes the loss.

The LM head runs only on positions whose next token has a loss. If the logits would be large, it runs in
chunks that are freed one by one: 16k tokens by a vocabulary of 152k would be 10 GB.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from limo_ablate.core.errors import UserError
from limo_ablate.model.train.batch import IGNORED, Collated
from limo_ablate.model.train.memory import LOGITS_BYTES
from limo_ablate.model.train.model_config import check_logits


class WithLoss(nn.Module):
    """The causal language model `lm`, full or with LoRA, whose forward pass ends in the loss."""

    def __init__(self, lm: nn.Module, kernel: Literal["torch", "liger"] = "torch") -> None:
        super().__init__()
        self.lm = lm
        self.kernel = kernel
        check_logits(self.causal.config)

    @property
    def causal(self) -> Any:
        """The transformers model, which contains LoRA's layers."""
        lm: Any = self.lm
        return lm.get_base_model() if hasattr(lm, "get_base_model") else lm

    def forward(self, rows: Collated) -> tuple[Tensor, Tensor]:
        """Sums over the rows' response tokens: cross entropy, correct predictions."""
        hidden, head = self.hidden(rows), self.causal.get_output_embeddings()
        if self.kernel == "liger" and hidden.is_cuda:
            return liger_loss(head, hidden, rows.labels)
        return head_loss(head, hidden, rows.labels, rows.most_labels)

    def each(self, rows: Collated) -> tuple[Tensor, Tensor]:
        """(labels,) log-probability of each response token, and whether it is the most likely one; without
        gradients."""
        hidden, head = self.hidden(rows), self.causal.get_output_embeddings()
        size = max(1, LOGITS_BYTES // (4 * head.out_features))
        parts = [
            _each(head, *part) for part in zip(_pieces(hidden, size), _pieces(rows.labels, size), strict=True)
        ]
        values, hits = zip(*parts, strict=True)
        return torch.cat(values), torch.cat(hits)

    def hidden(self, rows: Collated) -> Tensor:
        """(labels, width) last hidden states at the positions whose next token has a loss."""
        states: Tensor = self.causal.base_model(
            input_ids=rows.ids, position_ids=rows.positions, borders=rows.borders, use_cache=False
        ).last_hidden_state
        return states[0, rows.predicting]


def head_loss(head: Any, hidden: Tensor, labels: Tensor, most_labels: int = 0) -> tuple[Tensor, Tensor]:
    """Sums of cross entropy and of correct predictions; `hidden` (labels, width), `labels` (labels,).

    `most_labels` is the number of labels of the process that has the most: ZeRO-3 gathers the head's weights
    in each call of it, so all processes must call it as often. A process with fewer labels has empty chunks.
    """
    size = max(1, LOGITS_BYTES // (4 * head.out_features))
    parameters = list(head.parameters())
    partitioned = any(hasattr(parameter, "ds_id") for parameter in parameters)
    most = max(len(labels), most_labels if partitioned else 0)
    if most <= size:
        return _sums(head, hidden, labels)
    if torch.is_grad_enabled() and not partitioned:
        sums: tuple[Tensor, Tensor] = _Chunked.apply(  # type: ignore[no-untyped-call]
            hidden, labels, head, size, *parameters
        )
        return sums
    # ZeRO-3 has the weights only during a call of the head: chunks are recomputed in the backward pass.
    parts = [
        checkpoint(_sums, head, *part, use_reentrant=False)
        for part in zip(_pieces(hidden, size, most), _pieces(labels, size, most), strict=True)
    ]
    losses, hits = zip(*parts, strict=True)
    return torch.stack(losses).sum(), torch.stack(hits).sum()


def _sums(head: nn.Module, hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    logits = head(hidden)
    loss = functional.cross_entropy(logits.float(), labels, ignore_index=IGNORED, reduction="sum")
    return loss, (logits.detach().argmax(-1) == labels).sum()


def _each(head: nn.Module, hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    logits = head(hidden).float()
    return -functional.cross_entropy(logits, labels, reduction="none"), logits.argmax(-1) == labels


def _pieces(tensor: Tensor, size: int, most: int = 0) -> tuple[Tensor, ...]:
    """As many pieces as `most` elements would have; the last ones may be empty."""
    return tuple(tensor.tensor_split(list(range(size, max(most, len(tensor)), size))))


class _Chunked(torch.autograd.Function):
    """`_sums` in chunks of positions; gradients are computed chunk by chunk, so that logits can be freed.

    The head may be any module: tied to the embedding, with a bias, with LoRA, frozen.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, labels: Tensor, head: nn.Module, size: int, *parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        gradients = [torch.zeros_like(parameter, dtype=torch.float32) for parameter in trained]
        hidden_gradient = torch.empty_like(hidden)
        total, hits = hidden.new_zeros((), dtype=torch.float32), labels.new_zeros(())
        pieces = (_pieces(tensor, size) for tensor in (hidden, labels, hidden_gradient))
        for states, targets, target_gradient in zip(*pieces, strict=True):
            with torch.enable_grad():
                states = states.detach().requires_grad_()
                loss, right = _sums(head, states, targets)
            first, *others = torch.autograd.grad(loss, [states, *trained])
            target_gradient.copy_(first)
            for gradient, other in zip(gradients, others, strict=True):
                gradient.add_(other)
            total += loss.detach()
            hits += right
        ctx.mark_non_differentiable(hits)
        ctx.hidden_gradient = hidden_gradient
        ctx.gradients = [
            gradients.pop(0).to(parameter.dtype) if parameter.requires_grad else None
            for parameter in parameters
        ]
        return total, hits

    @staticmethod
    def backward(ctx: Any, factor: Tensor, _: Any) -> Any:
        hidden_gradient, gradients = ctx.hidden_gradient, ctx.gradients
        del ctx.hidden_gradient, ctx.gradients  # scaled in place, so they can be used only once
        scaled = [None if gradient is None else gradient.mul_(factor) for gradient in gradients]
        return hidden_gradient.mul_(factor), None, None, None, *scaled


def liger_loss(head: nn.Module, hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """`head_loss` with Liger's fused Triton kernel, which never stores the softmax (Hsu et al. 2024).

    Raises UserError if the head is not a plain linear layer.
    """
    from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy

    if not isinstance(head, nn.Linear):
        raise UserError(f"train.loss=liger: the LM head is a {type(head).__name__}; use train.loss=torch")
    output = liger_fused_linear_cross_entropy(
        hidden, head.weight, labels, head.bias, ignore_index=IGNORED, reduction="sum",
        accum_dtype=torch.float32, return_predicted_tokens=True,
    )  # fmt: skip
    return output.loss, (output.predicted_tokens == labels).sum()
