"""`model.trust_remote_code`: code that comes with a model runs where it is asked for, and only that code."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import UserError
from limo_ablate.model.config import ModelConfig
from limo_ablate.model.generate.config import EngineConfig
from limo_ablate.model.generate.engine import Request, Sampling
from limo_ablate.model.generate.open import open_engine
from limo_ablate.model.train.base import base_model, model_path, parameter_count
from limo_ablate.model.train.config import LoraConfig, TrainConfig
from limo_ablate.model.train.launch import train
from limo_ablate.model.train.load import load_model
from limo_ablate.model.train.model_config import CODE_VARIABLE, may_allow_code
from tests.tiny_models import CPU, SCRATCH, TRAIN, TWO_RANKS, hub_model, made_tokens

CODE = """
from transformers import Qwen2Config, Qwen2ForCausalLM

class OwnConfig(Qwen2Config):
    model_type = "own"

class OwnModel(Qwen2ForCausalLM):
    config_class = OwnConfig
"""
AUTO_MAP = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}


@pytest.fixture(autouse=True)
def nothing_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CODE_VARIABLE, "")


@pytest.fixture
def model(store: Store, base: Artifact, tmp_path: Path) -> ModelConfig:
    """A model with code of its own, asked for."""
    folder = tmp_path / "model"
    shutil.copytree(base.path, folder)
    config = json.loads((folder / "config.json").read_text())
    changed = config | {"model_type": "own", "architectures": ["OwnModel"], "auto_map": AUTO_MAP}
    (folder / "config.json").write_text(json.dumps(changed))
    (folder / "own.py").write_text(CODE)
    return replace(hub_model(folder), trust_remote_code=True)


def trained(store: Store, base: Artifact, config: TrainConfig = TRAIN, ranks: bool = False) -> Artifact:
    hardware = TWO_RANKS if ranks else CPU
    return train(store, made_tokens(store, base), base, replace(config, steps=2), hardware)


def losses(weights: Artifact) -> list[float]:
    return pl.read_parquet(weights.path / "curve.parquet")["loss"].to_list()


def class_of(path: str) -> str:
    return type(load_model(path, dtype="float32", attention="sdpa", device="cpu")).__name__


def test_it_trains_and_decodes_as_the_same_model_of_transformers(
    store: Store, base: Artifact, model: ModelConfig
) -> None:
    own = base_model(store, model, None)
    assert own.key != base_model(store, replace(model, trust_remote_code=False), None).key
    weights = trained(store, own)
    assert class_of(model_path(weights)) == "OwnModel", "its code is saved with it"
    assert parameter_count(weights) == parameter_count(base)
    plain = trained(store, base)
    assert losses(weights) == losses(plain)
    settings = EngineConfig(engine="paged", batch_size=2)
    requests = [Request("p", 0, "?", [5, 6, 7], Sampling(temperature=0, top_p=1, max_tokens=4, seed=0))]
    texts = []
    for path in (model_path(weights), model_path(plain)):
        engine = open_engine(path, settings, CPU, store.root / "scratch")
        texts.append([done.ids for done in engine.generate(requests)])
    assert texts[0] == texts[1]


def test_ranks_and_an_adapter_run_it(store: Store, model: ModelConfig) -> None:
    lora = LoraConfig(rank=4, alpha=8, dropout=0.0, targets=("q_proj",), save="adapter")
    weights = trained(store, base_model(store, model, None), replace(TRAIN, lora=lora), ranks=True)
    assert class_of(model_path(weights)) == "OwnModel"


def test_only_the_code_that_was_asked_for_runs(
    store: Store, model: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = base_model(store, model, None)
    assert class_of(model_path(own)) == "OwnModel"
    other = tmp_path / "other"
    shutil.copytree(model_path(own), other)
    (other / "own.py").write_text(CODE + "raise SystemExit\n")
    with pytest.raises(UserError, match="trust_remote_code=true to run that"):
        class_of(str(other))
    may_allow_code()  # as each trial does
    with pytest.raises(UserError, match="trust_remote_code=true to run that"):
        class_of(model_path(own))
    monkeypatch.delenv(CODE_VARIABLE)  # as in `plan` of a study that nobody has trusted
    base_model(store, model, None)
    with pytest.raises(UserError, match="nobody has said that it may run"):
        class_of(model_path(own))


def test_what_has_no_code_or_anothers_is_refused(store: Store, base: Artifact, model: ModelConfig) -> None:
    folder = Path(str(model.path))
    file = folder / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | {"auto_map": {"AutoConfig": "somebody/model--own.OwnConfig"}}))
    with pytest.raises(UserError, match=r"names code of another model, somebody/model--own\.OwnConfig"):
        base_model(store, model, None)
    with pytest.raises(UserError, match="has no code of its own"):
        base_model(store, replace(model, path=str(base.path)), None)
    with pytest.raises(UserError, match="comes without code"):
        replace(SCRATCH, trust_remote_code=True)
