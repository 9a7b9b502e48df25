import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from limo_ablate.core.artifacts import Store
from limo_ablate.core.errors import UserError
from limo_ablate.core.reading import read_json
from limo_ablate.model.train.base import (
    Reference,
    base_model,
    model_path,
    parameter_count,
    read_reference,
    write_reference,
)
from limo_ablate.model.train.load import load_model, load_tokenizer
from tests.tiny_models import SCRATCH, hub_model, made_base, made_pool


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_scratch_learns_its_tokens_from_the_pool(store: Store) -> None:
    base = made_base(store)
    tokenizer = load_tokenizer(model_path(base))
    assert len(tokenizer) == 270
    for text in pl.read_parquet(made_pool(store).path / "solutions.parquet")["text"]:
        ids = tokenizer(text).input_ids
        assert tokenizer.decode(ids) == text
        assert len(ids) < len(text)


def test_parameters_are_counted_without_reading_weights(store: Store) -> None:
    base = made_base(store)
    model = load_model(model_path(base), dtype="float32", attention="sdpa", device="cpu")
    assert parameter_count(base) == sum(p.numel() for p in model.parameters())
    assert model.lm_head.weight is model.model.embed_tokens.weight
    (base.path / "model.safetensors").unlink()
    assert parameter_count(base) == sum(p.numel() for p in model.parameters())


def test_the_same_scratch_model_is_made_once_and_everywhere_the_same(store: Store, tmp_path: Path) -> None:
    base = made_base(store)
    assert made_base(store) == base
    assert made_base(Store(tmp_path / "elsewhere")).digest == base.digest


def test_a_local_folder_is_referred_to_not_copied(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(made_base(store).path, folder)
    base = base_model(store, hub_model(folder), None)
    assert model_path(base) == str(folder)
    assert not list(base.path.glob("*.safetensors"))
    assert read_reference(base).digest
    assert base_model(store, hub_model(folder), None) == base
    with (folder / "model.safetensors").open("ab") as weights:
        weights.write(b"x")
    assert base_model(store, hub_model(folder), None).key != base.key


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "*.safetensors"])
def test_a_folder_that_is_no_model_is_refused(store: Store, tmp_path: Path, missing: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(made_base(store).path, folder)
    next(folder.glob(missing)).unlink()
    with pytest.raises(UserError, match=missing.replace("*", r"\*")):
        base_model(store, hub_model(folder), None)


def test_models_that_are_not_there_are_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.path=.*/nowhere: no such folder"):
        base_model(store, hub_model(tmp_path / "nowhere"), None)
    with pytest.raises(UserError, match=r"model\.path=no-such/model .*can't be downloaded from the hub"):
        base_model(store, replace(hub_model(tmp_path), path="no-such/model"), None)


def test_incomplete_configurations_are_refused(store: Store) -> None:
    with pytest.raises(UserError, match=r"model\.architecture"):
        base_model(store, replace(SCRATCH, architecture=None), made_pool(store))
    with pytest.raises(UserError, match=r"model\.pretrain"):
        base_model(store, replace(SCRATCH, source="miniature"), None)
    with pytest.raises(UserError, match="needs a pool"):
        base_model(store, SCRATCH, None)


def test_a_folder_of_links_as_in_the_hubs_cache_is_a_model(store: Store, tmp_path: Path) -> None:
    (folder := tmp_path / "snapshot").mkdir()
    for file in made_base(store).path.iterdir():
        (folder / file.name).symlink_to(file)
    base = base_model(store, hub_model(folder), None)
    assert parameter_count(base) == parameter_count(made_base(store))
    assert load_model(model_path(base), dtype="float32", attention="sdpa", device="cpu")


@pytest.fixture
def adapter(store: Store, tmp_path: Path) -> Path:
    """The folder of a LoRA adapter as peft writes it, with a reference to its base."""
    base = made_base(store)
    folder = tmp_path / "adapter"
    shutil.copytree(base.path, folder, ignore=lambda *_: ["model.safetensors", "artifact.json"])
    write_reference(folder, replace(read_reference(base), folder=str(base.path), adapter=True))
    settings = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    save_file({"q_proj.lora_A.weight": np.zeros((4, 32))}, folder / "adapter_model.safetensors")
    return folder


def test_an_adapter_of_others_is_plain_lora(store: Store, adapter: Path) -> None:
    base_model(store, hub_model(adapter), None)
    settings = json.loads((file := adapter / "adapter_config.json").read_text())
    for key, value in (
        ("megatron_config", {"x": 1}), ("target_modules", "(a+)+$"), ("r", 1_000_000_000),
        ("init_lora_weights", "eva"), ("peft_type", "XLORA"), ("auto_mapping", {"parent_library": "os"}),
    ):  # fmt: skip
        file.write_text(json.dumps(settings | {key: value}))
        with pytest.raises(UserError, match=f"adapter_config.json: .*{key}="):
            base_model(store, hub_model(adapter), None)
    file.write_text(json.dumps(settings))
    (adapter / "adapter_model.safetensors").rename(adapter / "other.safetensors")
    (adapter / "adapter_model.bin").write_bytes(b"pickle")
    with pytest.raises(UserError, match=r"no adapter_model\.safetensors"):
        base_model(store, hub_model(adapter), None)


def test_the_base_of_an_adapter_of_others_is_a_whole_model(store: Store, adapter: Path) -> None:
    reference = read_json(adapter / "reference.json", Reference)
    write_reference(adapter, replace(reference, folder="."))
    with pytest.raises(UserError, match="is an adapter itself"):
        base_model(store, hub_model(adapter), None)
    (adapter / "reference.json").unlink()
    with pytest.raises(UserError, match=r"without reference\.json"):
        base_model(store, hub_model(adapter), None)


@pytest.mark.parametrize("name", ["model-2.safetensors", "chat_template.jinja", "generation_config.json"])
def test_a_pipe_in_a_models_folder_is_refused(store: Store, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(made_base(store).path, folder)
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(UserError, match=f"{name}: a pipe"):
        base_model(store, hub_model(folder), None)
