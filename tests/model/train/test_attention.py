from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers import Qwen2Config, Qwen2ForCausalLM

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.model.train.attention import (
    PACKED,
    attend_row_wise,
    packed_attention,
    varlen_attention,
    varlen_rows,
)
from limo_ablate.model.train.base import model_path
from limo_ablate.model.train.batch import Borders, collate
from limo_ablate.model.train.loss import WithLoss
from limo_ablate.model.train.token_rows import TokenRows, read_tokens
from tests.tiny_models import made_tokens

CPU = torch.device("cpu")
PART = np.array([2, 7, 0, 5])


@pytest.fixture(scope="module")
def rows(store: Store, base: Artifact) -> TokenRows:
    return read_tokens(made_tokens(store, base).path)


def alone(model: Qwen2ForCausalLM, rows: TokenRows, number: int) -> tuple[Tensor, Tensor]:
    """Logits and labels of a row's response by a plain forward pass of that row."""
    ids = torch.from_numpy(rows.row(number).astype(np.int64))
    return model(ids[None]).logits[0, rows.prompts[number] - 1 : -1], ids[rows.prompts[number] :]


@pytest.mark.parametrize(
    ("attention", "window", "used"),
    [("sdpa", None, PACKED), ("sdpa", 8, "sdpa"), ("eager", None, "eager")],
)
def test_packed_rows_have_the_loss_of_each_alone_token_by_token(
    base: Artifact, rows: TokenRows, attention: Any, window: int | None, used: str
) -> None:
    """Nothing is seen across the border of two rows."""
    torch.manual_seed(0)
    config = Qwen2Config.from_pretrained(
        model_path(base), initializer_range=0.3, max_window_layers=0, num_key_value_heads=1
    )
    config.layer_types = ["sliding_attention" if window else "full_attention"] * 2
    config.sliding_window = window
    plain = Qwen2ForCausalLM._from_config(config, attn_implementation="eager")
    packed = Qwen2ForCausalLM._from_config(deepcopy(config), attn_implementation=attention)
    packed.load_state_dict(plain.state_dict())
    attend_row_wise(packed)
    assert packed.config._attn_implementation == used
    model, batch = WithLoss(packed), collate(rows, PART, CPU)
    each = functional.cross_entropy(packed.lm_head(model.hidden(batch)), batch.labels, reduction="none")
    apart = [alone(plain, rows, number) for number in PART]
    expected = torch.cat([functional.cross_entropy(*row, reduction="none") for row in apart])
    torch.testing.assert_close(each, expected, rtol=1e-4, atol=1e-5)
    loss, right = model(batch)
    assert loss.item() == pytest.approx(expected.sum().item(), rel=1e-5)
    assert right == sum(int((logits.argmax(-1) == labels).sum()) for logits, labels in apart)


def reference(
    query: Tensor, key: Tensor, value: Tensor, cu_seq_q: Tensor, cu_seq_k: Tensor, max_q: int, max_k: int,
    *, scale: float | None = None, window_size: tuple[int, int] = (-1, -1), enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    """torch's varlen_attn with its signature and shapes (tokens, heads, head_dim), by a mask."""
    assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
    assert (max_q, max_k) == (int(cu_seq_q.diff().max()), int(cu_seq_k.diff().max()))
    assert window_size == (-1, 0), "causal"
    assert enable_gqa or query.shape[1] == key.shape[1]
    row = torch.repeat_interleave(torch.arange(len(cu_seq_q) - 1), cu_seq_q.diff())
    mask = (row[:, None] == row) & torch.ones(len(row), len(row)).tril().bool()
    states = (tensor.transpose(0, 1)[None] for tensor in (query, key, value))
    output = functional.scaled_dot_product_attention(
        *states, attn_mask=mask, scale=scale, enable_gqa=enable_gqa
    )
    return output[0].transpose(0, 1)


def without_gqa(
    query: Tensor, key: Tensor, value: Tensor, cu_seq_q: Tensor, cu_seq_k: Tensor, max_q: int, max_k: int,
    *, scale: float | None = None, window_size: tuple[int, int] = (-1, -1),
) -> Tensor:  # fmt: skip
    """As the first versions of varlen_attn have it."""
    return reference(
        query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, scale=scale, window_size=window_size
    )


@pytest.mark.parametrize("varlen", [reference, without_gqa])
@pytest.mark.parametrize("key_heads", [4, 2])
def test_what_is_handed_to_the_gpus_kernel(varlen: Any, key_heads: int) -> None:
    torch.manual_seed(0)
    lengths = [5, 1, 9, 3]
    borders = Borders(lengths, torch.tensor([0, 5, 6, 15, 18], dtype=torch.int32))
    query = torch.randn(1, 4, 18, 8)
    key, value = torch.randn(2, 1, key_heads, 18, 8)
    module = torch.nn.Module()
    module.num_key_value_groups = 4 // key_heads  # type: ignore[assignment]
    expected, _ = packed_attention(module, query, key, value, None, borders=borders, scaling=0.3)
    torch.testing.assert_close(varlen_rows(varlen, query, key, value, borders, 0.3), expected)


def test_the_installed_torch_has_the_kernel_as_it_is_called() -> None:
    """Its own shape function checks the call; the kernel itself needs a GPU."""
    varlen = varlen_attention()
    if varlen is None:
        pytest.skip("torch has no variable-length attention")
    with torch.device("meta"):
        query = torch.empty(1, 4, 18, 8, dtype=torch.bfloat16, requires_grad=True)
        key = torch.empty(1, 2, 18, 8, dtype=torch.bfloat16)
        borders = Borders([8, 10], torch.empty(3, dtype=torch.int32))
    output = varlen_rows(varlen, query, key, key, borders, 0.3)
    assert output.shape == (1, 18, 4, 8)
    assert output.requires_grad
