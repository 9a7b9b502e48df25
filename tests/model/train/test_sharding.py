"""DDP, FSDP2 and a real DeepSpeed ZeRO-3 in two gloo ranks: each training is that of one process."""

import os
import sys
import traceback
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from torch import distributed
from torch.distributed.checkpoint import FileSystemReader
from transformers import MistralConfig, MistralForCausalLM

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.config import ArchitectureConfig
from limo_ablate.model.train import loss as losses
from limo_ablate.model.train.base import model_path, read_reference
from limo_ablate.model.train.config import DevConfig, LoraConfig, TrainConfig
from limo_ablate.model.train.job import TrainingJob
from limo_ablate.model.train.launch import train
from limo_ablate.model.train.load import load_tokenizer
from limo_ablate.model.train.loop import fine_tune
from limo_ablate.model.train.nodes import device_variables
from tests.quick_ranks import forked, quick_ranks, settle
from tests.tiny_models import CPU, SCRATCH, TRAIN, TWO_RANKS, hub_model, made_base, made_tokens

FSDP2 = replace(TWO_RANKS, name="fsdp2", strategy="fsdp2")
WIDE = ArchitectureConfig(width=256, layers=1, heads=4, head_dim=64, context=256, vocab_size=600)
"""DeepSpeed keeps weights of less than 100,000 elements whole in each rank; embedding and MLP are larger."""
CHUNK = 8
"""Labels whose logits fit the small budget of the chunked cases: ranks have different numbers of chunks."""
Job: TypeAlias = tuple[TrainingJob, bool]
PASSES = replace(TRAIN, steps=3, learning_rate=1e-3, micro_batch_tokens=64)
"""Several a step: 12 rows in batches of 5, of which the last of an epoch has 2."""
LORA = LoraConfig(rank=4, alpha=8, dropout=0.0, targets=("q_proj", "v_proj"))


@dataclass(frozen=True)
class Case:
    train: TrainConfig = PASSES
    base: str = "tied"
    chunked: bool = True
    """Whether the loss is computed in chunks, of which the ranks have different numbers."""
    rows: int = 12
    hardware: dict[str, Any] = field(default_factory=dict)
    """What is changed of it."""


CASES = {
    "tied": Case(chunked=False),
    "recomputed": Case(replace(PASSES, gradient_checkpointing=True)),
    "untied": Case(base="untied"),
    "dev": Case(replace(PASSES, dev=DevConfig(rows=3, every=1, keep="best")), base="untied", chunked=False),
    "fewer rows than ranks": Case(replace(PASSES, global_batch_size=2), rows=3),
    "offloaded": Case(hardware={"cpu_offload": True}),
    "bf16": Case(base="untied", hardware={"precision": "bf16"}),
    "lora": Case(replace(PASSES, lora=LORA)),
    "lora bf16": Case(replace(PASSES, lora=LORA), hardware={"precision": "bf16"}),
}
NOT_SUPPORTED = {("ddp", "offloaded"), ("zero3", "lora"), ("zero3", "lora bf16")}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def bases(store: Store, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    tied = made_base(store, replace(SCRATCH, architecture=WIDE))
    folder, tokenizer = tmp_path_factory.mktemp("untied"), load_tokenizer(tied.path)
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=len(tokenizer), hidden_size=256, intermediate_size=768, num_hidden_layers=1,
        num_attention_heads=4, num_key_value_heads=2, head_dim=64, max_position_embeddings=256,
        sliding_window=None, tie_word_embeddings=False,
    )  # fmt: skip
    MistralForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return {"tied": tied, "untied": made_base(store, hub_model(folder))}


def job(store: Store, bases: dict[str, Artifact], name: str, hardware: HardwareConfig, folder: Path) -> Job:
    """The training of a case, and whether its loss is in chunks: one process has it whole."""
    case, alone = CASES[name], hardware == CPU
    (folder / name).mkdir(parents=True)
    changes = {key: value for key, value in case.hardware.items() if not alone or key == "precision"}
    base = bases[case.base]
    training = TrainingJob(
        tokens=str(made_tokens(store, base, case.rows, case.train).path), model=model_path(base),
        reference=read_reference(base), train=case.train, hardware=replace(hardware, **changes),
        folder=str(folder / name),
    )  # fmt: skip
    return training, case.chunked and not alone


def run(rank: int, jobs: list[Job], meeting: Path) -> None:
    """One of two ranks, which run all trainings one after the other."""
    settle(meeting / f"{rank}.log", device_variables(jobs[0][0].hardware) | {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
        "GLOO_SOCKET_IFNAME": "lo",
    })  # fmt: skip
    distributed.init_process_group("gloo", init_method=f"file://{meeting}/meet", rank=rank, world_size=2)
    kept = []  # gloo's destructors can deadlock
    budget = losses.LOGITS_BYTES
    try:
        for training, chunked in jobs:
            print(training.folder, flush=True)
            losses.LOGITS_BYTES = 4 * WIDE.vocab_size * CHUNK if chunked else budget
            kept.append(fine_tune(training))
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def in_two_ranks(jobs: list[Job], meeting: Path) -> None:
    ranks = [forked(run, rank, jobs, meeting) for rank in (0, 1)]
    for rank in ranks:
        rank.join(300)
    logs = [(meeting / f"{rank}.log").read_text()[-3000:] for rank in (0, 1)]
    for rank in ranks:
        rank.kill()
    assert [rank.exitcode for rank in ranks] == [0, 0], "\n".join(logs)


@pytest.fixture(scope="module")
def alone(store: Store, bases: dict[str, Artifact], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    for name in CASES:
        fine_tune(job(store, bases, name, CPU, folder)[0])
    return folder


def test_sharded_and_replicated_and_alone_are_the_same_training(
    store: Store, bases: dict[str, Artifact], alone: Path, tmp_path: Path
) -> None:
    compare(("ddp", "fsdp2"), store, bases, alone, tmp_path)


@pytest.mark.usefixtures("deepspeed")
def test_so_is_that_of_deepspeed(
    store: Store, bases: dict[str, Artifact], alone: Path, tmp_path: Path
) -> None:
    compare(("zero3",), store, bases, alone, tmp_path)


def compare(
    strategies: tuple[str, ...], store: Store, bases: dict[str, Artifact], alone: Path, tmp_path: Path
) -> None:
    jobs = [
        job(store, bases, name, replace(TWO_RANKS, strategy=strategy), tmp_path / strategy)
        for strategy in strategies
        for name in CASES
        if (strategy, name) not in NOT_SUPPORTED
    ]
    in_two_ranks(jobs, tmp_path)
    for training, _ in jobs:
        folder = Path(training.folder)
        assert_same(alone / folder.name, folder, loose="bf16" in folder.name)


def trained(store: Store, hardware: HardwareConfig, config: TrainConfig, rows: int = 12) -> Artifact:
    base = made_base(store)
    return train(store, made_tokens(store, base, rows), base, config, hardware)


def assert_same(one: Path, other: Path, loose: bool = False) -> None:
    """The same curve, weights as close, and the same files."""
    name = str(other.relative_to(other.parent.parent))
    curves = [pl.read_parquet(folder / "curve.parquet") for folder in (one, other)]
    for column in ("loss", "dev_loss", "token_accuracy", "grad_norm"):
        values = [[value for value in curve[column] if value is not None] for curve in curves]
        assert values[1] == pytest.approx(values[0], rel=2e-2 if loose else 1e-4), (name, column)
    states = [load_file(folder / "model.safetensors") for folder in (one, other)]
    assert states[0].keys() == states[1].keys(), name
    for key, value in states[0].items():
        assert states[1][key].dtype == value.dtype
        far = (states[1][key] - value).abs().max()
        assert far < (1e-2 if loose else 1e-4), (name, key, far)  # 1e-3 a step
    assert {path.name for path in one.iterdir()} == {path.name for path in other.iterdir()}, name


def test_each_rank_holds_its_part_of_every_weight_and_moment(store: Store, tmp_path: Path) -> None:
    """Read from the checkpoint that the ranks leave: who wrote which part of what."""
    kept: list[Path] = []

    def stop(row: dict[str, object]) -> None:
        if row["step"] == 3:
            kept.extend(sorted(tmp_path.rglob("step-00000002/state/shards")))
            raise KeyboardInterrupt

    inside = Store(tmp_path)
    base = made_base(inside)
    config = replace(TRAIN, checkpoint_steps=1)
    with quick_ranks(), pytest.raises(KeyboardInterrupt):
        train(inside, made_tokens(inside, base), base, config, FSDP2, stop)
    metadata = FileSystemReader(kept[0]).read_metadata()
    tensors = {
        name: [chunk.sizes.numel() for chunk in entry.chunks]
        for name, entry in metadata.state_dict_metadata.items()
        if hasattr(entry, "chunks") and entry.size.numel() > 1
    }
    assert len(tensors) > 60, "weights and both moments of each"
    assert all(len(parts) == 2 and parts[0] == parts[1] for parts in tensors.values()), tensors
