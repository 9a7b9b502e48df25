import json
import os
import signal
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import UserError
from limo_ablate.model.train.base import model_path
from limo_ablate.model.train.config import KeptConfig, LoraConfig, TrainConfig
from limo_ablate.model.train.kept import kept_checkpoints, last_checkpoint
from limo_ablate.model.train.launch import train
from limo_ablate.model.train.load import load_model
from tests.quick_ranks import quick_ranks
from tests.tiny_models import CPU, SCRATCH, TRAIN, TWO_RANKS, WIDER, made_base, made_tokens

AT = KeptConfig(steps=(2, 4, "last"))
LORA = LoraConfig(rank=4, alpha=8.0, dropout=0.2, targets=("q_proj", "v_proj"))
"""Dropout, so that a random number drawn in between would show."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


def trained(
    store: Store, config: TrainConfig = TRAIN, at: KeptConfig | None = AT, hardware: Any = CPU,
    on_step: Any = None,
) -> Artifact:  # fmt: skip
    base = made_base(store)
    return train(store, made_tokens(store, base), base, config, hardware, on_step, at)


def weights(artifact: Artifact) -> dict[str, torch.Tensor]:
    return load_file(next(artifact.path.glob("*.safetensors")))


@pytest.mark.parametrize(
    ("config", "precision"),
    [
        (TRAIN, "no"),
        (replace(TRAIN, lora=LORA), "no"),
        (replace(TRAIN, lora=LORA), "bf16"),
        (replace(TRAIN, lora=replace(LORA, save="adapter")), "no"),
    ],
    ids=["all weights", "lora", "lora rounded", "adapter"],
)
def test_keeping_weights_changes_nothing_in_the_training(
    store: Store, config: TrainConfig, precision: Any
) -> None:
    hardware = replace(CPU, precision=precision)
    plain, keeping = (trained(store, config, at, hardware) for at in (None, AT))
    curves = [pl.read_parquet(one.path / "curve.parquet")["loss"].to_list() for one in (plain, keeping)]
    assert curves[0] == curves[1]
    last = last_checkpoint(keeping)
    assert last.digest == plain.digest, "so its completions are found in the store too"
    assert last_checkpoint(plain) == plain


def test_each_point_has_the_weights_of_its_step(store: Store) -> None:
    constant = replace(TRAIN, schedule="constant")
    kept = kept_checkpoints(trained(store, constant))
    assert list(kept) == [2, 4, 6]
    shorter = trained(store, replace(constant, steps=2), at=None)
    assert kept[2].digest == shorter.digest != kept[4].digest != kept[6].digest
    load_model(model_path(kept[4]), dtype="float32", attention="sdpa", device="cpu")


def test_a_kept_adapter_finds_its_base(store: Store) -> None:
    adapter = replace(TRAIN, schedule="constant", lora=replace(LORA, save="adapter"))
    kept = kept_checkpoints(trained(store, adapter))
    early, late = (load_model(model_path(kept[step]), dtype="float32", attention="sdpa", device="cpu")
                   for step in (2, 6))  # fmt: skip
    name = "model.layers.0.self_attn.q_proj.weight"
    assert not torch.equal(early.state_dict()[name], late.state_dict()[name])


def test_points_by_epochs(store: Store) -> None:
    kept = kept_checkpoints(trained(store, at=KeptConfig(epochs=(1, 1.5, 2, "last"))))
    assert list(kept) == [3, 5, 6]  # 12 rows, 5 to a step; two epochs are the end


def test_a_point_past_the_end_is_refused(store: Store) -> None:
    with pytest.raises(UserError, match=r"eval.at.epochs: 4 is step 12, .* after step 6, which is 2 ep"):
        trained(store, at=KeptConfig(epochs=(1, 4)))
    with pytest.raises(UserError, match="set epochs or steps"):
        KeptConfig()
    with pytest.raises(UserError, match=r"eval.at.steps=\['last'\]: needs points"):
        KeptConfig(steps=("last",))


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_two_processes_keep_the_same(store: Store, strategy: Any) -> None:
    check_two_processes(store, strategy)


@pytest.mark.usefixtures("deepspeed")
def test_so_do_two_of_deepspeed(store: Store) -> None:
    check_two_processes(store, "zero3")


def check_two_processes(store: Store, strategy: Any) -> None:
    with quick_ranks():
        plain, keeping = (trained(store, at=at, hardware=replace(TWO_RANKS, strategy=strategy))
                          for at in (None, AT))  # fmt: skip
    assert last_checkpoint(keeping).digest == plain.digest
    one, two = (kept_checkpoints(weights)[2] for weights in (trained(store), keeping))
    for name, value in weights(one).items():
        assert torch.allclose(value, weights(two)[name], atol=1e-5), name


@pytest.mark.parametrize("save", ["merged", "adapter"])
def test_over_four_bit_weights_nothing_changes_either(store: Store, save: Any) -> None:
    pytest.importorskip("bitsandbytes")
    base = made_base(store, replace(SCRATCH, architecture=WIDER))
    config = replace(TRAIN, lora=replace(LORA, quantize="nf4", save=save))
    tokens = made_tokens(store, base)
    plain, keeping = (train(store, tokens, base, config, CPU, None, at) for at in (None, AT))
    assert last_checkpoint(keeping).digest == plain.digest
    kept = kept_checkpoints(keeping)
    assert list(kept) == [2, 4, 6]
    assert len({one.digest for one in kept.values()}) == 3


def killed_after(step: int, root: Path) -> None:
    def kill(row: dict[str, Any]) -> None:
        if row["step"] == step:
            os.kill(os.getpid(), signal.SIGKILL)

    trained(Store(root), replace(TRAIN, checkpoint_seconds=0), on_step=kill)


def test_after_kill_9_no_point_is_lost_or_twice(store: Store, tmp_path: Path) -> None:
    whole = kept_checkpoints(trained(store))
    made_tokens(Store(tmp_path), made_base(Store(tmp_path)))  # threads would not live on in a forked process
    process = get_context("fork").Process(target=killed_after, args=(4, tmp_path))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    (partial,) = (tmp_path / "weights").glob("*.partial")
    assert sorted(path.name for path in (partial / "at").iterdir()) == ["step-00000002", "step-00000004"]
    (partial / "at/partial").mkdir()  # as a kill within a save leaves it
    resumed = trained(Store(tmp_path), replace(TRAIN, checkpoint_seconds=0))
    assert {step: one.digest for step, one in kept_checkpoints(resumed).items()} == {
        step: one.digest for step, one in whole.items()
    }
    assert sorted(path.name for path in (resumed.path / "at").iterdir()) == ["step-00000002", "step-00000004"]
    assert json.loads((resumed.path / "train.json").read_text())["steps"] == 6
