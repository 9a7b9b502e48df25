"""A config.json from others runs no code, asks nothing and builds nothing that its weights can't fill."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from limo_ablate.core.artifacts import Store
from limo_ablate.core.errors import UserError
from limo_ablate.model.train.base import base_model
from limo_ablate.model.train.load import load_model
from limo_ablate.model.train.model_config import CODE_VARIABLE, LONGEST, meta_model, model_config
from tests.tiny_models import hub_model, made_base

CODE = "import pathlib\npathlib.Path({marker!r}).touch()\n"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_base(Store(tmp_path_factory.mktemp("store"))).path


def changed(base: Path, folder: Path, **keys: Any) -> Path:
    """A copy of the model with other values in its config.json."""
    folder.mkdir()
    for file in base.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((base / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | keys))
    return folder


def load(folder: Path) -> Any:
    return load_model(folder, dtype="float32", attention="sdpa", device="cpu")


def test_code_beside_a_model_is_not_run_and_nothing_is_asked(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "ran"
    own = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    folder = changed(base, tmp_path / "model", model_type="own", auto_map=own)
    (folder / "own.py").write_text(CODE.format(marker=str(marker)))
    monkeypatch.setenv(CODE_VARIABLE, "")  # as where the configuration is the user's own
    monkeypatch.setattr(sys, "stdin", None)  # who asks there fails in another way
    for use in (model_config, meta_model, load):
        with pytest.raises(UserError, match=r"set model\.trust_remote_code=true to run that"):
            use(folder)
    known = changed(base, tmp_path / "known", auto_map=own)  # transformers has it: its own code is used
    (known / "own.py").write_text(CODE.format(marker=str(marker)))
    assert type(load(known)).__module__.startswith("transformers.")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"num_hidden_layers": 10**12},
            "=1000000000000, but the weights have only 1024 tensors",
        ),
        ({"rope": {"num_experts": 10**9}}, "num_experts=1000000000, but the weights"),
        (
            {"vocab_size": 10**12},
            r"describes \d+ weights and 16 other numbers, but its \*\.saf",
        ),
        ({"intermediate_size": 10**9}, r"describes \d+ weights"),
        ({"hidden_size": 10**7}, r"describes \d+ weights"),
        ({"num_hidden_layers": "many"}, "its config.json can't be used"),
    ],
)
def test_sizes_without_weights_are_refused_before_anything_is_built(
    base: Path, tmp_path: Path, keys: dict[str, Any], message: str
) -> None:
    folder = changed(base, tmp_path / "model", **keys)
    for use in (meta_model, load):
        with pytest.raises(UserError, match=message):
            use(folder)


def test_a_config_of_gigabytes_is_not_read(base: Path, tmp_path: Path) -> None:
    folder = changed(base, tmp_path / "model")
    with (folder / "config.json").open("ab") as file:
        file.truncate(LONGEST + 1)
    with pytest.raises(UserError, match="16000001 bytes are no configuration of a model"):
        model_config(folder)


def test_a_model_with_its_weights_is_loaded(base: Path, tmp_path: Path) -> None:
    assert sum(weight.numel() for weight in meta_model(base).parameters()) == 35616
    folder = changed(base, tmp_path / "model")
    assert base_model(Store(tmp_path / "store"), hub_model(folder), None).path.is_dir()
