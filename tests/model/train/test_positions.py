"""`model.rope_theta`, `rope_scaling` and `max_position_embeddings`: as if config.json had been edited."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from limo_ablate.core.artifacts import Store
from limo_ablate.core.errors import UserError
from limo_ablate.model.config import ModelConfig, PositionsConfig, RopeScalingConfig
from limo_ablate.model.generate.config import EngineConfig
from limo_ablate.model.generate.engine import Request, Sampling
from limo_ablate.model.generate.engines import load_engine
from limo_ablate.model.train.base import base_model, model_path, read_reference
from limo_ablate.model.train.config import LoraConfig
from limo_ablate.model.train.launch import train
from limo_ablate.model.train.load import load_model
from limo_ablate.model.train.positions import changed
from limo_ablate.trial.compose import compose
from limo_ablate.trial.identity import trial_key
from limo_ablate.trial.model_use import check_use, model_uses
from tests.tiny_models import CPU, SCRATCH, TRAIN, hub_model, made_base, made_tokens

YARN = RopeScalingConfig(rope_type="yarn", factor=4.0, original_max_position_embeddings=64)
LORA = LoraConfig(rank=4, alpha=8, dropout=0.0, targets=("q_proj",), save="adapter")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as people have it."""
    found = tmp_path_factory.mktemp("model")
    shutil.copytree(made_base(Store(found / "store"), SCRATCH).path, found / "hub")
    return found / "hub"


@pytest.fixture
def longer(folder: Path) -> ModelConfig:
    return replace(hub_model(folder), rope_theta=5e5, rope_scaling=YARN, max_position_embeddings=300)


def edited(folder: Path, copy: Path, **changes: Any) -> Path:
    """A copy of the model whose config.json somebody has edited, in its old form."""
    shutil.copytree(folder, copy)
    content = json.loads((copy / "config.json").read_text())
    content.pop("rope_parameters", None)
    (copy / "config.json").write_text(json.dumps(content | changes))
    return copy


def logits(path: str | Path) -> torch.Tensor:
    model = load_model(path, dtype="float32", attention="sdpa", device="cpu")
    with torch.no_grad():
        found: torch.Tensor = model(torch.arange(200)[None] % 250).logits
    return found


def test_it_is_the_model_of_an_edited_config_json(
    store: Store, folder: Path, longer: ModelConfig, tmp_path: Path
) -> None:
    scaling = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
    by_hand = edited(
        folder, tmp_path / "copy", rope_theta=5e5, rope_scaling=scaling, max_position_embeddings=300
    )
    plain, changed = (base_model(store, model, None) for model in (hub_model(folder), longer))
    assert model_path(plain) == str(folder)
    assert torch.equal(logits(model_path(changed)), logits(by_hand))
    assert not torch.allclose(logits(model_path(changed)), logits(folder))
    only_theta = base_model(store, replace(hub_model(folder), rope_theta=5e5), None)
    by_hand = edited(folder, tmp_path / "theta", rope_theta=5e5)
    assert torch.equal(logits(model_path(only_theta)), logits(by_hand))
    undone = replace(hub_model(by_hand), rope_theta=1e4)
    assert torch.equal(logits(model_path(base_model(store, undone, None))), logits(folder))
    assert len({plain.digest, changed.digest, only_theta.digest}) == 3


def settings(path: str) -> tuple[float, str, int]:
    config = load_model(path, dtype="float32", attention="sdpa", device="cpu").config
    rope = config.rope_parameters
    return rope["rope_theta"], rope["rope_type"], config.max_position_embeddings


@pytest.mark.parametrize(
    "lora", [None, LORA, replace(LORA, save="merged")], ids=["full", "adapter", "merged"]
)
def test_what_is_trained_keeps_them(store: Store, longer: ModelConfig, lora: LoraConfig | None) -> None:
    base = base_model(store, longer, None)
    config = replace(TRAIN, steps=2, lora=lora)
    weights = train(store, made_tokens(store, base), base, config, CPU)
    assert settings(model_path(weights)) == (5e5, "yarn", 300)
    assert read_reference(weights).adapter == (lora == LORA)


@pytest.mark.parametrize("engine", ["transformers", "paged"])
def test_engines_generate_up_to_the_context(store: Store, longer: ModelConfig, engine: str) -> None:
    base = base_model(store, replace(longer, max_position_embeddings=20), None)
    made = load_engine(model_path(base), EngineConfig(engine=engine, batch_size=2), CPU)
    sampling = Sampling(temperature=0, top_p=1, max_tokens=100, seed=0)
    (found,) = made.generate([Request("p", 0, "?", list(range(12)), sampling)])
    assert len(found.ids) == 8


def test_what_can_not_be_changed_is_said(
    store: Store, folder: Path, longer: ModelConfig, tmp_path: Path
) -> None:
    def refused(copy: str, **changes: Any) -> str:
        path = edited(folder, tmp_path / copy, **changes)
        with pytest.raises(UserError) as error:
            base_model(store, replace(longer, path=str(path)), None)
        return str(error.value)

    nested = {"rope_parameters": {"full_attention": {"rope_theta": 1e4}}}
    assert "has angles of several kinds" in refused("nested", **nested)
    assert "has no rotary positions" in refused("gpt", model_type="gpt2", architectures=["GPT2LMHeadModel"])
    base = base_model(store, hub_model(folder), None)
    adapter = train(store, made_tokens(store, base), base, replace(TRAIN, steps=1, lora=LORA), CPU)
    with pytest.raises(UserError, match=r"is a LoRA adapter; set them where its base"):
        base_model(store, replace(longer, path=str(adapter.path)), None)
    with pytest.raises(UserError, match="rope_type=yarn needs original_max_position_embeddings"):
        RopeScalingConfig(rope_type="yarn", factor=4.0)
    with pytest.raises(UserError, match=r"model\.rope_scaling\.factor=-1\.0 must be positive"):
        RopeScalingConfig(rope_type="linear", factor=-1.0)
    with pytest.raises(UserError, match=r"built here; set model\.architecture"):
        replace(SCRATCH, rope_theta=5e5)


def test_what_is_not_set_stays_as_the_model_s_class_has_it(tmp_path: Path) -> None:
    """gpt-oss has YaRN without a word of it in its config.json."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt_oss", "num_hidden_layers": 2}))
    longer = changed(tmp_path, PositionsConfig(max_position_embeddings=300))
    assert (longer["max_position_embeddings"], "rope_parameters" in longer) == (300, False)
    angles = changed(tmp_path, PositionsConfig(rope_theta=5e5))["rope_parameters"]
    assert (angles["rope_theta"], angles["rope_type"], angles["factor"]) == (5e5, "yarn", 32.0)
    assert angles["original_max_position_embeddings"] == 4096


def test_they_are_keys_of_the_configuration(folder: Path) -> None:
    local = ["model=local", f"model.path={folder}"]
    scaling = "model.rope_scaling={rope_type: yarn, factor: 4, original_max_position_embeddings: 64}"
    keys = ["model.rope_theta=500000", "model.max_position_embeddings=300", scaling]
    configs = [compose([*local, *also]) for also in ([], *([key] for key in keys))]
    assert len({trial_key(config) for config in configs}) == 4
    assert configs[3].model.rope_scaling == YARN
    with pytest.raises(UserError, match=r"model\.rope_scaling\.rope_type.*yarn"):
        compose([*local, "model.rope_scaling={rope_type: yarm, factor: 4}"])


def test_a_longer_context_takes_longer_rows(folder: Path) -> None:
    asked = [
        "model=local",
        f"model.path={folder}",
        "train.max_length=400",
        "eval.benchmarks.mini.max_tokens=9",
    ]
    with pytest.raises(
        UserError, match=r"256, which drops them, or model\.max_position_embeddings above it$"
    ):
        check_use(next(model_uses(compose(asked))), folder)
    assert check_use(next(model_uses(compose([*asked, "model.max_position_embeddings=400"]))), folder) is None
