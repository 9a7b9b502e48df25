"""The forecast beside the bytes that tensors really take, and what is said when a training can't fit."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import GPT2Config, Qwen2Config

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.config import ArchitectureConfig
from limo_ablate.model.train import memory_check as room
from limo_ablate.model.train.config import LoraConfig, TrainConfig
from limo_ablate.model.train.launch import train
from limo_ablate.model.train.memory import Load, forecast, heaviest_load, model_shape
from limo_ablate.model.train.memory_check import Demand, FreeMemory, advice, check_memory, free_main_memory
from limo_ablate.model.train.token_rows import TokenRows, read_tokens
from limo_ablate.trial.compose import compose
from tests.live_bytes import LiveBytes
from tests.tiny_models import CPU, SCRATCH, TRAIN, made_base, made_tokens

SMALL = ArchitectureConfig(width=128, layers=3, heads=4, head_dim=32, context=256, vocab_size=1000)
GPUS = HardwareConfig(name="gpus", device="cuda", processes=8, strategy="ddp", precision="bf16", threads=4)
LORA = LoraConfig(rank=8, alpha=16, dropout=0.0, targets=room.LINEAR)
GB = 10**9


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def base(store: Store) -> Artifact:
    return made_base(store, replace(SCRATCH, architecture=SMALL))


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Qwen2.5-7B, without its weights."""
    folder = tmp_path_factory.mktemp("qwen")
    Qwen2Config(
        vocab_size=152064, hidden_size=3584, intermediate_size=18944, num_hidden_layers=28,
        num_attention_heads=28, num_key_value_heads=4,
    ).save_pretrained(folder)  # fmt: skip
    return str(folder)


def long_rows(count: int = 64, length: int = 16_384) -> TokenRows:
    offsets = np.arange(count + 1, dtype=np.int64) * length
    ids, prompts = np.zeros(count * length, np.int32), np.full(count, 384, np.int64)
    return TokenRows(ids, offsets, prompts, np.arange(count, dtype=np.int64))


def limo(**changes: Any) -> TrainConfig:
    return replace(compose(["train=limo", "train.micro_batch_tokens=16384"]).train, **changes)


@pytest.mark.parametrize(
    ("changes", "precision"),
    [
        ({}, "no"),
        ({"micro_batch_tokens": 512, "gradient_checkpointing": True}, "no"),
        ({"lora": LORA}, "no"),
        ({"gradient_checkpointing": True}, "bf16"),
        ({}, "bf16"),
    ],
)
def test_the_forecast_is_what_tensors_take(
    store: Store, base: Artifact, changes: dict[str, Any], precision: Any
) -> None:
    config = replace(TRAIN, **{"steps": 2, "global_batch_size": 40, "micro_batch_tokens": 8192, **changes})
    hardware = replace(CPU, precision=precision)
    tokens = made_tokens(store, base, 40, config)
    with LiveBytes() as live:
        train(store, tokens, base, config, hardware)
    expected = Demand(read_tokens(tokens.path), str(base.path), config, hardware).forecast()
    assert expected.load.several == ("micro_batch_tokens" in changes)
    assert 0.9 < expected.total / live.peak < 1.25


def test_the_shape_of_a_model_is_read_without_its_weights(qwen: str) -> None:
    shape = model_shape(qwen, ("q_proj", "down_proj"))
    assert shape.parameters == 7_615_616_512, "Qwen2.5-7B's"
    assert shape.adapters == 28 * (3584 + 3584 + 18944 + 3584)
    assert (shape.queries, shape.keys, shape.mlp, shape.tied) == (3584, 512, 18944, False)


def test_the_load_is_that_of_the_fullest_pass() -> None:
    rows = long_rows(10, 1000)
    held = replace(TRAIN, global_batch_size=8, dev=None)
    one = heaviest_load(rows, replace(held, micro_batch_tokens=3500), CPU)
    assert one == Load(tokens=3000, labels=1848, longest=1000, several=True)
    assert heaviest_load(rows, replace(held, micro_batch_tokens=10), CPU).tokens == 1000
    assert not heaviest_load(rows, replace(held, micro_batch_tokens=8000), CPU).several
    shared = replace(GPUS, processes=4, context_parallel=2)
    assert heaviest_load(rows, replace(held, micro_batch_tokens=4000), shared).tokens == 2000


def test_each_strategy_divides_what_it_divides(qwen: str) -> None:
    shape, train = model_shape(qwen), limo()
    load = Load(tokens=16_384, labels=16_000, longest=16_384, several=True)
    whole, sharded, away = (
        forecast(shape, load, train, replace(GPUS, **changes))
        for changes in (
            {},
            {"strategy": "fsdp2"},
            {"strategy": "fsdp2", "cpu_offload": True},
        )
    )
    assert whole.optimizer == 8 * shape.parameters == 8 * sharded.optimizer
    assert whole.weights + whole.gradients > 12 * shape.parameters, "and DDP's buckets"
    assert sharded.weights < whole.weights / 4
    assert (away.optimizer, away.host) == (0, 16 * shape.parameters)
    assert whole.activations == sharded.activations == away.activations
    assert forecast(shape, load, replace(train, gradient_checkpointing=False), GPUS).activations > 28 * GB
    chunked = forecast(shape, replace(load, labels=4 * load.labels), train, GPUS)
    assert chunked.working == whole.working, "logits are computed by chunks"


def test_what_is_frozen_takes_little(qwen: str) -> None:
    shape, load = model_shape(qwen, room.LINEAR), Load(tokens=4096, labels=4000, longest=4096, several=True)
    one = replace(GPUS, processes=1, strategy="single")
    full, half, quarter = (
        forecast(shape, load, limo(lora=lora), one) for lora in (None, LORA, replace(LORA, quantize="nf4"))
    )
    assert full.weights > 4 * shape.parameters
    assert 2 * shape.parameters < half.weights < 2.1 * shape.parameters
    assert 6 * GB > quarter.weights > shape.parameters / 2
    assert half.optimizer == 8 * 8 * shape.adapters


@pytest.mark.parametrize(
    ("hardware", "memory", "train", "kinds"),
    [
        (GPUS, 80, {}, {"train=lora", "hardware=fsdp2", "hardware.cpu_offload=true"}),
        (GPUS, 24, {}, {"hardware.cpu_offload=true"}),
        (
            replace(GPUS, processes=1, strategy="single"),
            180,
            {"gradient_checkpointing": False},
            {
                "train.gradient_checkpointing=true",
                "train=lora",
                "hardware=fsdp2",
                "hardware.cpu_offload=true",
            },
        ),
    ],
)
def test_what_is_advised_fits(
    qwen: str, hardware: HardwareConfig, memory: int, train: dict[str, Any], kinds: set[str]
) -> None:
    demand, there = Demand(long_rows(), qwen, limo(**train), hardware), FreeMemory(memory * GB, 2000 * GB)
    assert not there.holds(demand.forecast())
    settings = [keys.split() for keys in re.findall(r"((?:[\w.]+=[\w.]+ )+)\(", advice(demand, there))]
    assert kinds <= {key for keys in settings for key in keys}
    checkpointing = f"train.gradient_checkpointing={str(demand.train.gradient_checkpointing).lower()}"
    for keys in settings:
        mine = [] if "train=lora" in keys else [checkpointing]
        config = compose(["train=limo", "train.micro_batch_tokens=16384", *mine, *keys])
        used = config.hardware if "hardware=fsdp2" in keys else hardware
        assert there.holds(Demand(demand.rows, qwen, config.train, used).forecast()), keys


def test_a_training_that_cannot_fit_is_refused_before_anything_is_loaded(
    store: Store, tmp_path: Path
) -> None:
    Qwen2Config(
        vocab_size=270, hidden_size=2**17, intermediate_size=2**19, num_hidden_layers=100,
        num_attention_heads=128, num_key_value_heads=128,
    ).save_pretrained(tmp_path)  # fmt: skip
    tokens = read_tokens(made_tokens(store, made_base(store)).path)
    needed = r"hardware=cpu: the training needs \d+\.\d GB per process, and \d+\.\d GB are free"
    with pytest.raises(UserError, match=f"{needed}. No setting of train or hardware would fit"):
        check_memory(Demand(tokens, str(tmp_path), TRAIN, CPU))


def test_an_architecture_without_a_forecast_is_trained_all_the_same(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    GPT2Config(vocab_size=270, n_embd=32, n_layer=2, n_head=2).save_pretrained(tmp_path)
    tokens = read_tokens(made_tokens(store, made_base(store)).path)
    check_memory(demand := Demand(tokens, str(tmp_path), TRAIN, CPU))
    assert "memory: no forecast for this architecture (gpt2); " in caplog.text
    assert demand.load().tokens > 0


def test_the_control_group_limits_what_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert GB // 10 < free_main_memory() < 10**15
    monkeypatch.setattr(room, "CGROUP", tmp_path)
    version_1 = tmp_path / "memory"
    version_1.mkdir()
    (version_1 / "memory.limit_in_bytes").write_text("50000\n")
    (version_1 / "memory.usage_in_bytes").write_text("30000\n")
    (version_1 / "memory.stat").write_text("cache 9\ninactive_file 1\ntotal_inactive_file 10000\n")
    assert free_main_memory() == 30000
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("20000\n")
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 0\n")
    assert free_main_memory() == 30000
    (tmp_path / "memory.max").write_text("21000\n")
    assert free_main_memory() == 1000
