import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import MixtralConfig, MixtralForCausalLM, Qwen2Config, Qwen2ForCausalLM

from limo_ablate.model.train.batch import Borders, Collated
from limo_ablate.model.train.config import LoraConfig
from limo_ablate.model.train.lora import with_lora
from limo_ablate.model.train.loss import WithLoss
from limo_ablate.model.train.plan import Plan
from limo_ablate.model.train.speed import peak_flops, row_operations, speed
from tests.tiny_models import TRAIN

LENGTH, LEARNT, LAYERS = 96, 40, 6


def model(tied: bool, lora: bool) -> WithLoss:
    config = Qwen2Config(
        vocab_size=300, hidden_size=64, intermediate_size=160, num_hidden_layers=LAYERS,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128, tie_word_embeddings=tied,
    )  # fmt: skip
    network = Qwen2ForCausalLM._from_config(config, attn_implementation="eager")
    if lora:
        targets = LoraConfig(rank=4, alpha=8, dropout=0.0, targets=("q_proj", "down_proj"))
        return WithLoss(with_lora(network, targets))
    return WithLoss(network)


@pytest.mark.parametrize(("tied", "lora"), [(True, False), (False, False), (False, True)])
def test_operations_are_those_that_torch_counts(tied: bool, lora: bool) -> None:
    """torch counts attention as if it were not causal, which is twice as much."""
    network = model(tied, lora)
    ids = torch.randint(300, (1, LENGTH))
    predicting = torch.arange(LENGTH - LEARNT, LENGTH)
    rows = Collated(
        ids, torch.arange(LENGTH)[None], Borders([LENGTH], torch.tensor([0, LENGTH], dtype=torch.int32)),
        predicting, torch.randint(300, (LEARNT,)),
    )  # fmt: skip
    with FlopCounterMode(display=False) as counter:
        network(rows)[0].backward()
    (ours,) = row_operations(network, np.array([LENGTH]), np.array([LEARNT]))  # type: ignore[misc]
    causal = counter.get_total_flops() - 6 * LAYERS * 64 * LENGTH**2
    # Under LoRA nothing is passed back below the first layer's adapters, which the formula ignores.
    assert ours == pytest.approx(causal, rel=0.05 if lora else 0.01)


def test_what_a_row_would_take_at_the_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    network = model(True, False)
    plan = Plan(np.array([97, 50]), np.array([40, 10]), TRAIN)
    gpu = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H100 80GB HBM3")
    pace = speed(network, plan, gpu, 4)
    operations = row_operations(network, np.array([96, 49]), plan.responses)
    assert operations is not None
    facts = pace.rates(np.array([1, 0, 1]), 0.5)
    assert facts["tokens_per_second"] == 2 * (49 + 96 + 49)
    assert facts["mfu"] == pytest.approx((operations[0] + 2 * operations[1]) / (0.5 * 4 * 989e12))


@pytest.mark.parametrize(
    ("name", "peak"),
    [("NVIDIA H100 PCIe", 756e12), ("NVIDIA H200", 989e12), ("NVIDIA A100-SXM4-80GB", 312e12),
     ("NVIDIA L40S", 362e12), ("NVIDIA L4", 121e12), ("Tesla V100", None)],
)  # fmt: skip
def test_known_devices(name: str, peak: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: name)
    assert peak_flops(torch.device("cuda")) == peak
    assert peak_flops(torch.device("cpu")) is None


def test_of_a_mixture_of_experts_nothing_is_claimed() -> None:
    config = MixtralConfig(
        vocab_size=30, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2,
    )  # fmt: skip
    assert row_operations(WithLoss(MixtralForCausalLM(config)), np.array([4]), np.array([2])) is None
