from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from torch.distributed.checkpoint import FileSystemReader

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.train.config import LoraConfig, TrainConfig
from limo_ablate.model.train.launch import train
from tests.quick_ranks import quick_ranks
from tests.tiny_models import CPU, TRAIN, TWO_RANKS, made_base, made_tokens

FSDP2 = replace(TWO_RANKS, name="fsdp2", strategy="fsdp2")
LORA = LoraConfig(rank=4, alpha=8, dropout=0.0, targets=("q_proj", "v_proj"))
SEVERAL_PASSES = replace(TRAIN, micro_batch_tokens=64)


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    with quick_ranks():
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


def trained(store: Store, hardware: HardwareConfig, config: TrainConfig, rows: int = 12) -> Artifact:
    base = made_base(store)
    return train(store, made_tokens(store, base, rows), base, config, hardware)


def assert_same(one: Artifact, other: Artifact, rel: float = 1e-4) -> None:
    """The same curve, and weights as close."""
    curves = [pl.read_parquet(weights.path / "curve.parquet") for weights in (one, other)]
    for column in ("loss", "token_accuracy", "grad_norm"):
        assert curves[1][column].to_list() == pytest.approx(curves[0][column].to_list(), rel=rel)
    states = [load_file(weights.path / "model.safetensors") for weights in (one, other)]
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, rtol=0, atol=1e-4)  # 1e-2 a step
    files = [{path.name for path in weights.path.iterdir()} for weights in (one, other)]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(SEVERAL_PASSES, id="accumulated"),
        pytest.param(replace(TRAIN, gradient_checkpointing=True), id="checkpointed"),
        pytest.param(replace(TRAIN, lora=LORA), id="lora"),
    ],
)
def test_sharded_and_replicated_and_alone_are_the_same_training(store: Store, config: TrainConfig) -> None:
    """12 rows in batches of 5: the last batch of an epoch has 2."""
    alone = trained(store, CPU, config)
    assert_same(alone, trained(store, FSDP2, config))
    assert_same(alone, trained(store, TWO_RANKS, config))


def test_offloading_changes_nothing(store: Store, tmp_path: Path) -> None:
    offloaded = replace(FSDP2, cpu_offload=True)
    assert_same(trained(store, FSDP2, TRAIN), trained(Store(tmp_path), offloaded, TRAIN))


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_bf16_shards_stay_near_the_autocast_of_one_process(store: Store, lora: LoraConfig | None) -> None:
    """Under LoRA, frozen bf16 and trained float32 weights are in one group."""
    config = replace(TRAIN, lora=lora)
    alone, sharded = (
        pl.read_parquet(trained(store, replace(hardware, precision="bf16"), config).path / "curve.parquet")
        for hardware in (CPU, FSDP2)
    )
    assert sharded["loss"].to_list() == pytest.approx(alone["loss"].to_list(), rel=2e-2)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
@pytest.mark.parametrize("rows", [1, 3])
def test_rows_that_are_fewer_than_ranks_or_do_not_divide(store: Store, rows: int, strategy: str) -> None:
    config = replace(TRAIN, steps=3, global_batch_size=2)
    hardware = replace(TWO_RANKS, strategy=strategy)
    assert_same(trained(store, CPU, config, rows), trained(store, hardware, config, rows))


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
    with pytest.raises(KeyboardInterrupt):
        train(inside, made_tokens(inside, base), base, config, FSDP2, stop)
    metadata = FileSystemReader(kept[0]).read_metadata()
    tensors = {
        name: [chunk.sizes.numel() for chunk in entry.chunks]
        for name, entry in metadata.state_dict_metadata.items()
        if hasattr(entry, "chunks") and entry.size.numel() > 1
    }
    assert len(tensors) > 60, "weights and both moments of each"
    assert all(len(parts) == 2 and parts[0] == parts[1] for parts in tensors.values()), tensors
