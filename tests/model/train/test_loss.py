import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import CohereConfig, CohereForCausalLM

from limo_ablate.core.errors import UserError
from limo_ablate.model.train import loss as losses
from limo_ablate.model.train.loss import IGNORED, WithLoss, head_loss, liger_loss

WIDTH, VOCABULARY, POSITIONS = 16, 500, 130
CHUNK = 32
"""Positions whose logits the small budget of these tests allows at once."""


class Tied(nn.Module):
    """An embedding whose weight is the head's too."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.head.weight = self.embedding.weight


def heads() -> Iterator[tuple[str, nn.Module, nn.Module]]:
    """Name, module that holds everything, its head."""
    torch.manual_seed(0)
    tied = Tied()
    yield "tied", tied, tied.head
    biased = nn.Linear(WIDTH, VOCABULARY)
    yield "bias", biased, biased
    frozen = nn.Linear(WIDTH, VOCABULARY).requires_grad_(False)
    yield "frozen", frozen, frozen
    from peft import LoraConfig, inject_adapter_in_model

    adapted = nn.ModuleDict({"head": nn.Linear(WIDTH, VOCABULARY, bias=False)})
    config = LoraConfig(r=4, target_modules=["head"], init_lora_weights=False)
    inject_adapter_in_model(config, adapted)
    yield "lora", adapted, adapted["head"]
    half = nn.Linear(WIDTH, VOCABULARY, dtype=torch.bfloat16)
    yield "bfloat16", half, half


def outcome(holder: nn.Module, head: nn.Module, autocast: bool) -> list[Tensor]:
    """Loss, right predictions and all gradients of a small batch; some labels are to be ignored."""
    holder.zero_grad()
    generator = torch.Generator().manual_seed(1)
    dtype = next(head.parameters()).dtype
    ids = torch.randint(VOCABULARY, (POSITIONS,), generator=generator)
    hidden = torch.randn(POSITIONS, WIDTH, generator=generator).to(dtype).requires_grad_()
    labels = torch.randint(VOCABULARY, (POSITIONS,), generator=generator)
    labels[::7] = IGNORED
    states = hidden + holder.embedding(ids) if isinstance(holder, Tied) else hidden
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss, right = head_loss(head, states, labels)
    (loss * 0.25).backward()
    learnt = [parameter.grad for parameter in holder.parameters() if parameter.requires_grad]
    return [loss.detach(), right, *(grad for grad in [hidden.grad, *learnt] if grad is not None)]


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("name", ["tied", "bias", "frozen", "lora", "bfloat16"])
def test_chunks_have_the_loss_and_gradients_of_the_whole(
    name: str, autocast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder, head = next((holder, head) for found, holder, head in heads() if found == name)
    whole = outcome(holder, head, autocast)
    monkeypatch.setattr(losses, "LOGITS_BYTES", 4 * VOCABULARY * CHUNK)
    chunked = outcome(holder, head, autocast)
    assert len(whole) == 2 + 1 + {"tied": 1, "bias": 2, "frozen": 0, "lora": 2, "bfloat16": 2}[name]
    loose = autocast or name == "bfloat16"
    for one, other in zip(chunked, whole, strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, rtol=2e-2 if loose else 1e-5, atol=1e-2 if loose else 1e-6)


def test_without_gradients_and_under_zero3_too(monkeypatch: pytest.MonkeyPatch) -> None:
    _, holder, head = next(heads())
    whole = outcome(holder, head, False)
    monkeypatch.setattr(losses, "LOGITS_BYTES", 4 * VOCABULARY * CHUNK)
    with torch.no_grad():
        hidden, labels = torch.randn(POSITIONS, WIDTH), torch.randint(VOCABULARY, (POSITIONS,))
        loss, right = head_loss(head, hidden, labels)
        logits = head(hidden)
    torch.testing.assert_close(loss, functional.cross_entropy(logits, labels, reduction="sum"))
    assert right == (logits.argmax(-1) == labels).sum()
    head.weight.ds_id = 0  # type: ignore[assignment]  # DeepSpeed marks what it holds a part of
    for one, other in zip(outcome(holder, head, False), whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


class Largest(TorchDispatchMode):
    """Elements of the largest tensor that any operation returns."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
        self.elements = max([self.elements, *sizes])
        return output


@pytest.mark.parametrize("learns", [True, False])
def test_logits_never_exceed_the_budget(learns: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    head = nn.Linear(WIDTH, VOCABULARY)
    hidden, labels = torch.randn(1000, WIDTH), torch.randint(VOCABULARY, (1000,))
    monkeypatch.setattr(losses, "LOGITS_BYTES", 4 * VOCABULARY * CHUNK)
    with Largest() as largest, torch.set_grad_enabled(learns):
        loss, _ = head_loss(head, hidden.requires_grad_(learns), labels)
        if learns:
            loss.backward()
    assert largest.elements == VOCABULARY * CHUNK


def liger_as_in_its_wheel(
    input: Tensor, weight: Tensor, target: Tensor, bias: Tensor | None = None, ce_weight: None = None,
    ignore_index: int = -100, lse_square_scale: float = 0.0, label_smoothing: float = 0.0,
    reduction: str = "mean", softcap: None = None, return_z_loss: bool = False, accum_dtype: Any = None,
    use_token_scaling: bool = False, return_token_accuracy: bool = False,
    return_predicted_tokens: bool = False, chunk_mem_const: int = 1,
) -> SimpleNamespace:  # fmt: skip
    """liger_kernel 0.8.5's function, computed by torch: its own kernels need a GPU."""
    logits = functional.linear(input, weight, bias)
    loss = functional.cross_entropy(logits, target, ignore_index=ignore_index, reduction=reduction)
    predicted = logits.argmax(-1) if return_predicted_tokens else None
    return SimpleNamespace(loss=loss, z_loss=None, token_accuracy=None, predicted_tokens=predicted)


def test_what_liger_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    liger = SimpleNamespace(liger_fused_linear_cross_entropy=liger_as_in_its_wheel)
    monkeypatch.setitem(sys.modules, "liger_kernel.transformers.functional", liger)
    head, hidden = nn.Linear(WIDTH, VOCABULARY), torch.randn(POSITIONS, WIDTH)
    labels = torch.randint(VOCABULARY, (POSITIONS,))
    labels[::5] = IGNORED
    ours, theirs = head_loss(head, hidden, labels), liger_loss(head, hidden, labels)
    torch.testing.assert_close(theirs, ours)
    with pytest.raises(UserError, match=r"train\.loss=liger: the LM head is a Sequential"):
        liger_loss(nn.Sequential(head), hidden, labels)


def test_a_model_that_scales_its_logits_is_refused() -> None:
    tiny = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "vocab_size": 20}
    config = CohereConfig(**tiny, num_attention_heads=2, logit_scale=0.25)
    with pytest.raises(UserError, match=r"cohere changes its logits after the head \(logit_scale=0.25\)"):
        WithLoss(CohereForCausalLM(config))
