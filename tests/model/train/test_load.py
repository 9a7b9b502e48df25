from importlib.util import find_spec

# ruff: noqa: S105, S106  tokens of a vocabulary are no passwords
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from limo_ablate.core.artifacts import Store
from limo_ablate.core.errors import UserError
from limo_ablate.model.train.load import DEFAULT_CHAT_TEMPLATE, end_of_turn, load_model, load_tokenizer
from tests.tiny_models import made_base


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_base(Store(tmp_path_factory.mktemp("store"))).path


def words_tokenizer(**settings: object) -> PreTrainedTokenizerFast:
    words = Tokenizer(models.WordLevel({"<unk>": 0, "seven": 1, "plus": 2, "two": 3}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", **settings)


def test_a_home_made_vocabulary_keeps_its_ids_beside_a_qwen2(base: Path, tmp_path: Path) -> None:
    """AutoTokenizer would rebuild Qwen2's byte-level tokenizer around it."""
    (tmp_path / "config.json").write_bytes((base / "config.json").read_bytes())
    words_tokenizer().save_pretrained(tmp_path)
    assert load_tokenizer(tmp_path)("two plus seven").input_ids == [3, 2, 1]


def test_a_tokenizer_without_a_chat_template_gets_the_plain_one(tmp_path: Path) -> None:
    words_tokenizer(eos_token="<eos>").save_pretrained(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.chat_template == DEFAULT_CHAT_TEMPLATE
    turns = [{"role": "system", "content": "Think."}, {"role": "user", "content": "two plus two"}]
    prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert prompt == "Think.\n\nProblem: two plus two\n\nSolution:\n"
    whole = tokenizer.apply_chat_template([*turns, {"role": "assistant", "content": "four"}], tokenize=False)
    assert whole == prompt + "four<eos>"
    assert end_of_turn(tokenizer) == tokenizer.eos_token_id


def test_the_turn_ends_as_the_template_ends_it(base: Path) -> None:
    tokenizer = load_tokenizer(base)
    tokenizer.eos_token = "<|endoftext|>"
    assert end_of_turn(tokenizer) == tokenizer.convert_tokens_to_ids("<|im_end|>")


def test_a_tokenizer_without_any_end_is_refused(tmp_path: Path) -> None:
    words_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="set eos_token"):
        end_of_turn(load_tokenizer(tmp_path))


def test_a_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no tokenizer\.json"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("form", ["sharded", "bfloat16"])
def test_sharded_and_bfloat16_checkpoints_give_the_same_model(base: Path, tmp_path: Path, form: str) -> None:
    whole = load_model(base, dtype="float32", attention="sdpa", device="cpu")
    if form == "sharded":
        whole.save_pretrained(tmp_path, max_shard_size="20KB")
        assert len(list(tmp_path.glob("*.safetensors"))) > 1
    else:
        whole.to(torch.bfloat16).save_pretrained(tmp_path)
    loaded = load_model(tmp_path, dtype="float32", attention="sdpa", device="cpu")
    assert loaded.dtype == torch.float32
    ids = torch.arange(20)[None]
    torch.testing.assert_close(loaded(ids).logits, whole.float()(ids).logits)


def test_damaged_weights_and_a_missing_package_are_said(base: Path, tmp_path: Path) -> None:
    for file in base.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes()[:1000])
    (tmp_path / "config.json").write_bytes((base / "config.json").read_bytes())
    with pytest.raises(UserError, match=r"35616 weights .* have only 1000 bytes; download the model again"):
        load_model(tmp_path, dtype="float32", attention="sdpa", device="cpu")
    damaged = tmp_path / "model.safetensors"
    damaged.write_bytes(damaged.read_bytes().ljust(200_000, b"\0"))
    with pytest.raises(UserError, match="its weights can't be read"):
        load_model(tmp_path, dtype="float32", attention="sdpa", device="cpu")
    if find_spec("flash_attn") is None:
        with pytest.raises(UserError, match=r"model\.attention=flash_attention_2: .* or use sdpa"):
            load_model(base, dtype="float32", attention="flash_attention_2", device="cpu")


def test_missing_weights_are_not_made_up(base: Path, tmp_path: Path) -> None:
    for file in base.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"1 weights are missing \(model\.norm\.weight"):
        load_model(tmp_path, dtype="float32", attention="sdpa", device="cpu")
