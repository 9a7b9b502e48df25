"""What DeepSpeed is told, and what is refused; test_sharding.py and test_checkpoint.py train with it."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from limo_ablate.core.errors import TrialFailure
from limo_ablate.model.train.model import adamw
from limo_ablate.model.train.zero3 import check_partitioned, zero3_plugin
from tests.tiny_models import TRAIN, TWO_RANKS

ZERO3 = replace(TWO_RANKS, device="cuda", processes=8, strategy="zero3", precision="bf16")
WHOLE = {
    "train_micro_batch_size_per_gpu": 1,
    "gradient_accumulation_steps": 1,
    "gradient_clipping": 1.0,
    "bf16": {"enabled": True},
    "fp16": {"enabled": False},
    "data_types": {"grad_accum_dtype": "fp32"},
    "communication_data_type": "fp32",
    "steps_per_print": float("inf"),
    "zero_force_ds_cpu_optimizer": False,
    "zero_optimization": {
        "stage": 3,
        "overlap_comm": True,
        "contiguous_gradients": True,
        "stage3_gather_16bit_weights_on_model_save": True,
    },
}


def test_what_accelerate_makes_of_the_configuration() -> None:
    plugin = zero3_plugin(TRAIN, ZERO3)
    plugin.set_mixed_precision("bf16")
    assert plugin.deepspeed_config == WHOLE
    assert (plugin.zero_stage, plugin.gradient_clipping) == (3, 1.0)
    assert plugin.zero3_init_flag, "weights are read in parts"
    assert not plugin.hf_ds_config.is_offload()


def test_offloading_takes_weights_and_moments_to_the_cpu() -> None:
    plugin = zero3_plugin(TRAIN, replace(ZERO3, cpu_offload=True, precision="no"))
    plugin.set_mixed_precision("no")
    assert plugin.hf_ds_config.is_offload()
    assert plugin.deepspeed_config["bf16"] == {"enabled": False}
    cpu = {"device": "cpu", "pin_memory": True}
    extra = {"offload_optimizer": cpu, "offload_param": cpu}
    assert plugin.deepspeed_config["zero_optimization"] == WHOLE["zero_optimization"] | extra


def test_matrices_in_parts_are_decayed_as_whole_ones() -> None:
    """DeepSpeed leaves an empty vector in a weight's place, and its shape beside."""
    layer = nn.Linear(4, 3)
    for parameter in layer.parameters():
        parameter.ds_shape = parameter.shape
        parameter.data = torch.empty(0)
    decayed, others = adamw(layer, TRAIN).param_groups
    assert [decayed["params"], others["params"]] == [[layer.weight], [layer.bias]]
    assert [decayed["weight_decay"], others["weight_decay"]] == [TRAIN.weight_decay, 0]


def partitioned(parameter: nn.Parameter, ranks: int) -> nn.Parameter:
    """As DeepSpeed leaves it in each of `ranks`."""
    parameter.ds_numel, parameter.ds_tensor = parameter.numel(), torch.empty(-(-parameter.numel() // ranks))
    return parameter


def test_a_training_that_is_not_partitioned_is_none_of_zero3() -> None:
    """Accelerate trains with DDP where it takes no notice of the plugin."""
    weights = [("head", partitioned(nn.Parameter(torch.empty(5, 3)), 2))]
    engine = SimpleNamespace(zero_optimization_stage=lambda: 3, named_parameters=lambda: weights)
    check_partitioned(engine, 2)
    with pytest.raises(TrialFailure, match="zero3: head is not divided over 4 processes"):
        check_partitioned(engine, 4)
    weights.append(("norm", nn.Parameter(torch.empty(3))))
    with pytest.raises(TrialFailure, match="zero3: norm is not divided over 2 processes"):
        check_partitioned(engine, 2)
    with pytest.raises(TrialFailure, match="made a Linear with ZeRO stage None"):
        check_partitioned(nn.Linear(2, 2), 2)
