"""Base models of the miniature: made here, the same each time, loadable like any other."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from limo_ablate.core.manifest import digest_folder
from limo_ablate.model.config import ModelConfig
from limo_ablate.model.miniature.pretrain import build_base
from limo_ablate.model.miniature.tokenizer import load_tokenizer
from limo_ablate.trial.compose import compose


def model(tokens: int, seed: int = 0) -> ModelConfig:
    made = compose(["model=mini_s", f"model.pretrain.tokens={tokens}"]).model
    assert made.pretrain is not None
    return replace(made, pretrain=replace(made.pretrain, seed=seed))


def built(config: ModelConfig, folder: Path) -> Path:
    folder.mkdir()
    build_base(config, folder)
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(model(100_000), tmp_path_factory.mktemp("base") / "a")


def test_the_same_config_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    made = [built(model(20_000, seed), tmp_path / name) for name, seed in (("a", 0), ("b", 0), ("c", 1))]
    first, same, other = map(digest_folder, made)
    assert first == same != other


def test_pretraining_lowers_the_loss(base: Path) -> None:
    losses = [entry["loss"] for entry in json.loads((base / "pretrain.json").read_text())["log"]]
    assert losses[-1] < losses[0]


def test_it_loads_by_from_pretrained_and_the_tokenizer_loses_nothing(base: Path) -> None:
    from transformers import Qwen2ForCausalLM

    network, tokenizer = Qwen2ForCausalLM.from_pretrained(base), load_tokenizer(base)
    assert network.config.vocab_size == len(tokenizer)
    text = r"Steps 3. Rule +7*3-4. Start x=26. 3+7*3-4: 26+7=33, 33-7=26. so 02. \boxed{02}"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert tokenizer.unk_token_id not in ids
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "x"}], add_generation_prompt=True, tokenize=False
    )
    assert chat == "<|im_start|>user\nx<|im_end|>\n<|im_start|>assistant\n"
    assert network.generation_config.eos_token_id == tokenizer.convert_tokens_to_ids("<|im_end|>")
