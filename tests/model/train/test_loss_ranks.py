"""The chunked loss in two real gloo processes, under DDP and under FSDP2, against one process."""

import os
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel
from transformers import Qwen2Config, Qwen2ForCausalLM

from limo_ablate.model.train import loss as losses
from limo_ablate.model.train.attention import attend_row_wise
from limo_ablate.model.train.batch import collate
from limo_ablate.model.train.loss import WithLoss
from limo_ablate.model.train.token_rows import TokenRows

CONFIG = Qwen2Config(
    vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
    num_key_value_heads=1, max_position_embeddings=128, tie_word_embeddings=True,
)  # fmt: skip
PARTS = [np.array([0, 3]), np.array([1, 2])]


def rows() -> TokenRows:
    lengths, draw = np.array([30, 21, 40, 17]), np.random.default_rng(0)
    ids = draw.integers(300, size=lengths.sum()).astype(np.int32)
    return TokenRows(ids, np.cumsum([0, *lengths]), np.array([5, 9, 1, 12]), np.arange(4))


def network() -> WithLoss:
    torch.manual_seed(0)
    model = Qwen2ForCausalLM._from_config(CONFIG, attn_implementation="sdpa")
    attend_row_wise(model)
    return WithLoss(model)


def gradients(model: torch.nn.Module, part: np.ndarray, wraps: Any) -> dict[str, Tensor]:
    wrapped = wraps(model)
    wrapped(collate(rows(), part, torch.device("cpu")))[0].backward()
    found = {}
    for name, parameter in wrapped.named_parameters():
        assert parameter.grad is not None
        grad = parameter.grad
        found[name.removeprefix("module.")] = grad.full_tensor() if isinstance(grad, DTensor) else grad
    return found


def sharded(model: Any) -> Any:
    mesh = init_device_mesh("cpu", (2,))
    for layer in model.causal.model.layers:
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def run(rank: int, folder: Path) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    losses.LOGITS_BYTES = 4 * 300 * 8
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    for name, wraps in (("ddp", DistributedDataParallel), ("fsdp2", sharded)):
        found = gradients(network(), PARTS[rank], wraps)
        torch.save(found, folder / f"{name}{rank}.pt")
    os._exit(0)  # gloo's destructors can deadlock


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_gradients_are_those_of_one_process(strategy: str, both: Path) -> None:
    """Averaged over the processes, as the loop expects them."""
    expected = gradients(network(), np.concatenate(PARTS), lambda model: model)
    for rank in (0, 1):
        found = torch.load(both / f"{strategy}{rank}.pt", weights_only=True)
        assert found.keys() == expected.keys()
        for name, value in found.items():
            torch.testing.assert_close(value * 2, expected[name], rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    context = get_context("fork")
    ranks = [context.Process(target=run, args=(rank, folder)) for rank in (0, 1)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(60)
        assert rank.exitcode == 0
    return folder
