import json
import math
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional
from transformers import Qwen2Config, Qwen2ForCausalLM

from limo_ablate.artifacts import Artifact, Store
from limo_ablate.config import HardwareConfig, LoraConfig, TrainConfig
from limo_ablate.errors import TrialFailure, UserError
from limo_ablate.train import model_path, parameter_count, train
from limo_ablate.train.attention import ROW_WISE_SDPA, attend_row_wise
from limo_ablate.train.batch import collate
from limo_ablate.train.load import load_model, load_tokenizer
from limo_ablate.train.loop import response_loss
from limo_ablate.train.model import adamw
from limo_ablate.train.tokens import read_tokens
from tests.tiny_models import CPU, SCRATCH, TRAIN, made_base, made_tokens


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def base(store: Store) -> Artifact:
    return made_base(store)


def trained(
    store: Store, base: Artifact, config: TrainConfig = TRAIN, hardware: HardwareConfig = CPU
) -> Artifact:
    return train(store, made_tokens(store, base), base, config, hardware)


def losses(weights: Artifact) -> list[float]:
    return pl.read_parquet(weights.path / "curve.parquet")["loss"].to_list()


@pytest.mark.parametrize(
    ("attention", "window", "used"),
    [("sdpa", None, ROW_WISE_SDPA), ("sdpa", 8, "sdpa"), ("eager", None, "eager")],
)
def test_rows_together_have_the_loss_of_rows_apart(
    store: Store, base: Artifact, attention: Any, window: int | None, used: str
) -> None:
    """Nothing is seen across the border of two rows; the reference is a plain forward pass a row."""
    rows = read_tokens(made_tokens(store, base).path)
    part = np.array([2, 7, 0, 5])
    torch.manual_seed(0)
    config = Qwen2Config.from_pretrained(model_path(base), initializer_range=0.3, max_window_layers=0)
    config.layer_types = ["sliding_attention" if window else "full_attention"] * 2
    config.sliding_window = window
    plain = Qwen2ForCausalLM._from_config(config, attn_implementation="eager")
    packed = Qwen2ForCausalLM._from_config(deepcopy(config), attn_implementation=attention)
    packed.load_state_dict(plain.state_dict())
    attend_row_wise(packed)
    assert packed.config._attn_implementation == used
    loss, right = response_loss(packed, collate(rows, part, torch.device("cpu")))
    expected, expected_right = 0.0, 0
    for number in part:
        ids = torch.from_numpy(rows.row(number).astype(np.int64))
        logits = plain(ids[None]).logits[0, rows.prompts[number] - 1 : -1]
        labels = ids[rows.prompts[number] :]
        expected += functional.cross_entropy(logits, labels, reduction="sum").item()
        expected_right += int((logits.argmax(-1) == labels).sum())
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert right == expected_right


def test_the_curve_does_not_depend_on_the_micro_batch_size(store: Store, base: Artifact) -> None:
    one, two, five = (
        losses(trained(store, base, replace(TRAIN, micro_batch_size=size))) for size in (1, 2, 5)
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
        "step", "epoch", "loss", "token_accuracy", "learning_rate", "grad_norm", "tokens", "seconds"
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


def test_lora_changes_its_targets_alone_and_is_merged(store: Store, base: Artifact) -> None:
    lora = LoraConfig(rank=4, alpha=8, dropout=0.0, targets=("q_proj", "down_proj"))
    config = replace(TRAIN, lora=lora, global_batch_size=12, steps=10)
    weights = trained(store, base, config)
    before = load_file(Path(model_path(base)) / "model.safetensors")
    after = load_file(weights.path / "model.safetensors")
    assert set(after) == set(before)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {n for n in before if n.endswith(("q_proj.weight", "down_proj.weight"))}
    assert losses(weights)[-1] < losses(weights)[0]
    checkpointed = trained(store, base, replace(config, gradient_checkpointing=True))
    assert losses(checkpointed) == pytest.approx(losses(weights), rel=1e-5)
    with pytest.raises(UserError, match="no module named nonsense"):
        trained(store, base, replace(TRAIN, lora=replace(lora, targets=("nonsense",))))


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


def test_what_does_not_change_the_weights_is_in_no_key(store: Store, base: Artifact) -> None:
    weights = trained(store, base)
    assert trained(store, base, replace(TRAIN, checkpoint_seconds=7.0)) == weights
    assert trained(store, base, hardware=replace(CPU, name="other", threads=2)) == weights
