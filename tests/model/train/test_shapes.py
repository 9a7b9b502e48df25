"""What is known of a model before it is here is what its configuration says once it is."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.core.project import package_folder
from limo_ablate.model.config import ModelConfig
from limo_ablate.model.train.memory import model_shape
from limo_ablate.model.train.memory_check import LINEAR
from limo_ablate.model.train.shapes import HUB_KEYS, check_shape, declared_shape, shape_config
from limo_ablate.trial.compose import compose

PARAMETERS = {
    "qwen2_5_0_5b": 494_032_768,
    "qwen2_5_1_5b": 1_543_714_304,
    "qwen2_5_3b": 3_085_938_688,
    "qwen2_5_7b": 7_615_616_512,
    "qwen2_5_14b": 14_770_033_664,
    "qwen2_5_32b": 32_763_876_352,
    "qwen2_5_72b": 72_706_203_648,
}
"""As the hub counts them (metadata of the safetensors files)."""


def _model(name: str) -> ModelConfig:
    return compose([f"model={name}"]).model


def _written(model: ModelConfig, folder: Path) -> Path:
    """A config.json of the model's shape, as transformers writes it."""
    from transformers import Qwen2Config

    config, made = shape_config(model), model.architecture
    assert config is not None
    keys = {hub: getattr(config, key) for key, hub in HUB_KEYS.items()}
    head_dim = made.head_dim if made else config.hidden // config.heads
    Qwen2Config(**keys, head_dim=head_dim, architectures=["Qwen2ForCausalLM"]).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS.items())
def test_the_parameters_are_those_that_the_hub_counts(name: str, parameters: int) -> None:
    assert declared_shape(_model(name)).parameters == parameters


@pytest.mark.parametrize("name", ["qwen2_5_0_5b", "qwen2_5_7b", "mini_m", "scratch"])
def test_a_declared_shape_is_what_transformers_builds(name: str, tmp_path: Path) -> None:
    model = _model(name)
    assert declared_shape(model, LINEAR) == model_shape(str(_written(model, tmp_path)), LINEAR)


def test_the_miniature_s_vocabulary_is_counted() -> None:
    from limo_ablate.model.miniature.tokenizer import make_tokenizer

    config = shape_config(_model("mini_s"))
    assert config is not None
    assert config.vocabulary == len(make_tokenizer())


def test_every_model_of_the_hub_has_its_shape() -> None:
    names = {file.stem for file in (package_folder("conf") / "model").glob("*.yaml")} - {"local"}
    assert all(shape_config(_model(name)) for name in names)


def test_a_shape_that_is_not_the_model_s_is_named(tmp_path: Path) -> None:
    model = _model("qwen2_5_7b")
    folder = _written(model, tmp_path)
    check_shape(model, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 27}))
    with pytest.raises(UserError, match=r"model\.shape\.layers=28: .* has num_hidden_layers=27; correct it"):
        check_shape(model, folder)
    check_shape(replace(model, shape=None), folder)


def test_the_shape_of_a_model_in_a_folder_is_read_from_its_config(tmp_path: Path) -> None:
    small = _model("qwen2_5_0_5b")
    own = replace(_model("local"), path=str(_written(small, tmp_path)))
    assert shape_config(own) == small.shape
    (tmp_path / "config.json").write_text('{"hidden_size": 896}')
    assert shape_config(own) is None, "numbers are missing"


@pytest.mark.parametrize("kind", ["GPT2Config", "OPTConfig", "Gemma3Config", "LlamaConfig"])
def test_other_names_and_what_a_class_has_by_default_are_read_as_transformers_does(
    kind: str, tmp_path: Path
) -> None:
    """GPT-2 says n_embd, OPT ffn_dim; a multimodal model has its text model's numbers in a part."""
    import transformers

    getattr(transformers, kind)().save_pretrained(tmp_path)
    shape = shape_config(replace(_model("local"), path=str(tmp_path)))
    assert shape is not None
    assert (shape.layers, shape.hidden, shape.intermediate) == {
        "GPT2Config": (12, 768, 3072), "OPTConfig": (12, 768, 3072), "Gemma3Config": (26, 2304, 9216),
        "LlamaConfig": (32, 4096, 11008),
    }[kind]  # fmt: skip
