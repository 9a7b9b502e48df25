import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from limo_ablate.core.artifacts import Store
from limo_ablate.core.errors import UserError
from limo_ablate.model.train.base import base_model, model_path, parameter_count, read_reference
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
