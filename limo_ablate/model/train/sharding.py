"""FSDP2: each process holds a part of every weight, gradient and optimiser state (ZeRO-3 in torch).

The same code runs on gloo and NCCL. Accelerate's own FSDP2 plugin is not used: without a GPU it silently
trains with DDP.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from limo_ablate.core.errors import TrialFailure
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.train.context import share_rows
from limo_ablate.model.train.loss import WithLoss
from limo_ablate.model.train.model import adamw, saves_without_change, trainable_model
from limo_ablate.model.train.zero3 import check_partitioned

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch.distributed.device_mesh import DeviceMesh

    from limo_ablate.model.train.job import TrainingJob

SHARDS = "shards"


def prepare(job: TrainingJob, accelerator: Accelerator) -> tuple[nn.Module, torch.optim.Optimizer]:
    """This process's model and optimiser for the strategy of `job`; every process must call it."""
    if job.hardware.strategy != "fsdp2":
        # Under zero3 transformers reads the model in parts, as configured by Accelerate.
        whole = _model(job, accelerator.device)
        prepared: tuple[nn.Module, torch.optim.Optimizer] = accelerator.prepare(
            whole, adamw(whole, job.train)
        )
        if job.hardware.strategy == "zero3":
            check_partitioned(prepared[0], job.hardware.processes)
        return prepared
    model = _sharded_model(job, accelerator)
    optimizer = adamw(model, job.train)
    accelerator.register_save_state_pre_hook(lambda _, __, folder: _save_shards(model, optimizer, folder))
    accelerator.register_load_state_pre_hook(lambda _, folder: _load_shards(model, optimizer, folder))
    return model, optimizer


def whole_model(accelerator: Accelerator, model: nn.Module, job: TrainingJob) -> nn.Module | None:
    """The trained model in the form of `trainable_model`, in the main process; None in the others.

    Every process must call it. Shards are put together on the main process's CPU.
    """
    if job.hardware.strategy == "fsdp2":
        state = _gather_weights(model, accelerator.is_main_process)
    elif job.hardware.strategy == "zero3":
        state = accelerator.get_state_dict(model)
    elif accelerator.is_main_process:
        return unwrapped(model).lm
    if not accelerator.is_main_process:
        return None
    whole = _model(job, torch.device("meta"))
    _replace_parameters(whole, lambda name, _: state.pop(name))
    return whole.lm


def copied_model(accelerator: Accelerator, model: nn.Module, job: TrainingJob) -> nn.Module | None:
    """`whole_model` while the training goes on: one that may be saved without changing what is trained."""
    whole = whole_model(accelerator, model, job)
    if whole is None or job.hardware.strategy in ("fsdp2", "zero3") or saves_without_change(job):
        return whole
    state = {name: value.detach().to("cpu", copy=True) for name, value in unwrapped(model).named_parameters()}
    copied = _model(job, torch.device("meta"))
    _replace_parameters(copied, lambda name, _: state.pop(name))
    return copied.lm


def unwrapped(model: Any) -> WithLoss:
    """The network inside DDP's or DeepSpeed's wrapper, if there is one; Accelerate's own function would
    import DeepSpeed wherever it is installed."""
    network: WithLoss = getattr(model, "module", model)
    return network


def full_norm(norm: Tensor) -> Tensor:
    """The gradient norm over all processes; `norm` may cover this process's shards only."""
    return _full_tensor(norm)


def _model(job: TrainingJob, device: torch.device) -> WithLoss:
    model = WithLoss(trainable_model(job, device), job.train.loss)
    if job.hardware.context_parallel > 1:
        share_rows(model.causal)
    return model


def _sharded_model(job: TrainingJob, accelerator: Accelerator) -> nn.Module:
    """The model of `job`, read by the main process, which distributes the shards.

    The other processes build it without weights, so only the main process's CPU ever holds all of them.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import DTensor, distribute_tensor

    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    weights: dict[str, Tensor] = {}
    if accelerator.is_main_process:
        weights = dict(_model(job, torch.device("cpu")).named_parameters())
    model = _model(job, torch.device("meta"))
    _fully_shard(model, mesh, job.hardware)

    def distributed_shard(name: str, shard: Any) -> Tensor:
        if accelerator.is_main_process:
            whole = weights.pop(name).detach().to(accelerator.device)
        else:
            whole = torch.empty(shard.shape, dtype=shard.dtype, device=accelerator.device)
        part = distribute_tensor(whole, mesh, shard.placements)
        return part.cpu() if job.hardware.cpu_offload else part

    _replace_parameters(model, distributed_shard)
    for name, parameter in model.named_parameters():
        if not isinstance(parameter, DTensor) or parameter.device_mesh.size() != job.hardware.processes:
            raise TrialFailure(f"fsdp2: {name} is not sharded over {job.hardware.processes} processes")
    return model


def _fully_shard(model: nn.Module, mesh: DeviceMesh, hardware: HardwareConfig) -> None:
    """Shards each decoder layer by itself: gathered, used, freed; the root (embedding, norm, head) stays."""
    from torch.distributed.fsdp import (
        CPUOffloadPolicy,
        MixedPrecisionPolicy,
        OffloadPolicy,
        fully_shard,
    )
    from transformers.modeling_layers import GradientCheckpointingLayer

    half = torch.bfloat16 if hardware.precision == "bf16" else None
    settings: dict[str, Any] = {
        "mesh": mesh,
        "mp_policy": MixedPrecisionPolicy(param_dtype=half, reduce_dtype=torch.float32),
        "offload_policy": CPUOffloadPolicy(pin_memory=hardware.device == "cuda")
        if hardware.cpu_offload
        else OffloadPolicy(),
    }
    for module in model.modules():
        if isinstance(module, GradientCheckpointingLayer):
            fully_shard(module, reshard_after_forward=True, **settings)
    fully_shard(model, **settings)


def _replace_parameters(model: nn.Module, new: Callable[[str, Any], Tensor]) -> None:
    """Replaces each parameter by `new(name, parameter)`; tied parameters stay tied."""
    replaced = {
        id(parameter): nn.Parameter(new(name, parameter), requires_grad=parameter.requires_grad)
        for name, parameter in model.named_parameters()
    }
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            setattr(module, name, replaced[id(parameter)])


def _gather_weights(model: nn.Module, keep: bool) -> dict[str, Tensor]:
    """The whole weights on the CPU if `keep`; gathered one by one, since a GPU could not hold them all."""
    state = {}
    for name, parameter in model.named_parameters():
        value = _full_tensor(parameter.detach())
        if keep:
            state[name] = value.cpu()
    return state


def _full_tensor(value: Tensor) -> Tensor:
    from torch.distributed.tensor import DTensor

    return value.full_tensor() if isinstance(value, DTensor) else value


def _save_shards(model: nn.Module, optimizer: torch.optim.Optimizer, folder: str) -> None:
    """Writes this process's shards; Accelerate saves the random states."""
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.state_dict import get_state_dict
    from torch.distributed.checkpoint.state_dict_saver import save

    weights, states = get_state_dict(model, optimizer)
    try:
        save({"model": weights, "optimizer": states}, checkpoint_id=Path(folder) / SHARDS)
    except CheckpointException as failures:  # raised in all processes
        raise next(iter(failures.failures.values()))[0] from failures


def _load_shards(model: nn.Module, optimizer: torch.optim.Optimizer, folder: str) -> None:
    from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
    from torch.distributed.checkpoint.state_dict_loader import load

    weights, states = get_state_dict(model, optimizer)
    load({"model": weights, "optimizer": states}, checkpoint_id=Path(folder) / SHARDS)
    set_state_dict(model, optimizer, model_state_dict=weights, optim_state_dict=states)
