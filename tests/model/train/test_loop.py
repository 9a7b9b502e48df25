import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import TrialFailure
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.train import loop
from limo_ablate.model.train.base import model_path, parameter_count
from limo_ablate.model.train.config import TrainConfig
from limo_ablate.model.train.launch import train
from limo_ablate.model.train.load import load_model, load_tokenizer
from limo_ablate.model.train.model import adamw
from limo_ablate.model.train.token_rows import read_tokens
from tests.tiny_models import CPU, SCRATCH, TRAIN, made_base, made_tokens


def trained(
    store: Store, base: Artifact, config: TrainConfig = TRAIN, hardware: HardwareConfig = CPU
) -> Artifact:
    return train(store, made_tokens(store, base), base, config, hardware)


def losses(weights: Artifact) -> list[float]:
    return pl.read_parquet(weights.path / "curve.parquet")["loss"].to_list()


def test_the_curve_does_not_depend_on_the_packing(store: Store, base: Artifact) -> None:
    one, two, five = (
        losses(trained(store, base, replace(TRAIN, micro_batch_tokens=tokens))) for tokens in (1, 150, 1000)
    )
    assert one == pytest.approx(five, rel=1e-4)
    assert two == pytest.approx(five, rel=1e-4)


def test_gradient_checkpointing_changes_memory_only(store: Store, base: Artifact) -> None:
    config = replace(TRAIN, gradient_checkpointing=True)
    assert losses(trained(store, base, config)) == pytest.approx(losses(trained(store, base)), rel=1e-5)


def test_the_record_of_a_training(store: Store, base: Artifact) -> None:
    tokens = made_tokens(store, base)
    seen: list[dict] = []
    weights = train(store, tokens, base, replace(TRAIN, seed=3, steps=7), CPU, seen.append)
    curve = pl.read_parquet(weights.path / "curve.parquet")
    assert seen == curve.to_dicts()
    assert curve.columns == [
        "step", "epoch", "loss", "token_accuracy", "dev_loss", "learning_rate", "grad_norm", "tokens",
        "seconds", "tokens_per_second", "mfu", "peak_memory",
    ]  # fmt: skip
    assert curve["step"].to_list() == list(range(1, 8))
    assert curve["epoch"].to_list() == pytest.approx([n / 3 for n in range(1, 8)])
    assert curve["loss"][0] == pytest.approx(math.log(270), rel=0.05)
    assert curve["loss"][-1] < curve["loss"][0] - 0.5
    facts = json.loads((weights.path / "train.json").read_text())
    rows = read_tokens(tokens.path)
    assert (facts["rows"], facts["steps"], facts["epochs"]) == (12, 7, pytest.approx(7 / 3))
    assert curve["tokens"][2] == rows.responses.sum(), "an epoch trains each response once"
    assert facts["tokens"] == curve["tokens"][-1]
    last = curve.with_columns(trained=pl.col("tokens").diff()).tail(3)
    assert facts["loss"] == pytest.approx((last["loss"] * last["trained"]).sum() / last["trained"].sum())
    seconds = curve["seconds"].diff().fill_null(curve["seconds"])
    passed = (curve["tokens_per_second"] * seconds)[:3].sum()
    assert passed == pytest.approx((rows.lengths - 1).sum(), rel=0.1), "prompts are passed forward too"
    assert facts["tokens_per_second"] == pytest.approx(
        (rows.lengths - 1).sum() * 7 / 3 / facts["seconds"], rel=0.3
    )
    assert curve["peak_memory"].is_sorted()
    assert 50e6 < facts["peak_memory"] == curve["peak_memory"][-1] < 20e9
    assert (facts["mfu"], curve["mfu"].null_count(), curve["dev_loss"].null_count()) == (None, 7, 7)
    assert not (weights.path / "checkpoints").exists()


def test_the_model_learns_its_rows_and_where_they_end(store: Store, base: Artifact) -> None:
    tokens = made_tokens(store, base, 2)
    weights = train(store, tokens, base, replace(TRAIN, steps=None, epochs=100.0, learning_rate=2e-2), CPU)
    curve = pl.read_parquet(weights.path / "curve.parquet")
    assert curve["token_accuracy"][-1] > 0.98
    model = load_model(weights.path, dtype="float32", attention="sdpa", device="cpu")
    rows = read_tokens(tokens.path)
    for number in range(2):
        ids = torch.from_numpy(rows.row(number).astype(np.int64))
        assert model(ids[None]).logits[0, -2].argmax() == ids[-1] == load_tokenizer(weights.path).eos_token_id


def test_the_same_training_gives_the_same_bytes(store: Store, base: Artifact, tmp_path: Path) -> None:
    again = Store(tmp_path)
    weights = trained(again, made_base(again))
    assert weights.digest == trained(store, base).digest
    other = trained(store, base, replace(TRAIN, seed=1))
    assert other.digest != weights.digest


def test_the_saved_model_has_the_type_it_is_stored_in(store: Store) -> None:
    base = made_base(store, replace(SCRATCH, dtype="bfloat16"))
    weights = trained(store, base)
    stored = load_file(weights.path / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.bfloat16}
    assert parameter_count(weights) == parameter_count(base)
    assert "lm_head.weight" not in stored, "tied weights are stored once"


def test_mixed_precision_trains(store: Store, base: Artifact) -> None:
    half = losses(trained(store, base, hardware=replace(CPU, precision="bf16")))
    assert half == pytest.approx(losses(trained(store, base)), rel=0.02)
    assert half != losses(trained(store, base))


def test_norms_and_biases_are_not_decayed(base: Artifact) -> None:
    model = load_model(model_path(base), dtype="float32", attention="sdpa", device="cpu")
    decayed, kept = adamw(model, TRAIN).param_groups
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.1, 0.0)
    assert {names[id(p)].rpartition(".")[2] for p in kept["params"]} == {"weight", "bias"}
    assert all("norm" in names[id(p)] or "bias" in names[id(p)] for p in kept["params"])
    assert not any("norm" in names[id(p)] or "bias" in names[id(p)] for p in decayed["params"])


def test_a_loss_that_is_no_number_ends_the_training(store: Store, base: Artifact) -> None:
    with pytest.raises(TrialFailure, match=r"the loss is nan at step \d+; lower train\.learning_rate"):
        trained(store, base, replace(TRAIN, learning_rate=1e38, steps=40))


def test_a_last_gradient_that_is_no_number_is_saved_in_no_weights(
    store: Store, base: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "full_norm", lambda norm: norm * float("inf"))
    with pytest.raises(TrialFailure, match=r"the gradient norm is inf at step 1; lower train\."):
        trained(store, base, replace(TRAIN, steps=1, seed=9))


def test_what_does_not_change_the_weights_is_in_no_key(store: Store, base: Artifact) -> None:
    short = replace(TRAIN, steps=1)
    weights = trained(store, base, short)
    assert trained(store, base, replace(short, checkpoint_seconds=7.0)) == weights
    assert trained(store, base, short, hardware=replace(CPU, name="other")) == weights
    threads = replace(CPU, threads=2)
    assert trained(store, base, short, hardware=threads).key != weights.key, "sums are rounded otherwise"
