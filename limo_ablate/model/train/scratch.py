"""The `scratch` model: a small Qwen2 with random weights and a tokenizer trained on the pool's own text.

It learns next to nothing. Its purpose is to run real problems, solutions and limits through all stages on
any machine.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl
import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen2ForCausalLM
from transformers.utils import logging

from limo_ablate.core.artifacts import Artifact
from limo_ablate.core.errors import UserError
from limo_ablate.model.config import ModelConfig
from limo_ablate.model.miniature.base import qwen2_config

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Qwen2.5's ChatML, without its default system prompt."""
QWEN2_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Qwen2 splits text before byte pairs are merged."""
SEED = 0


def build_scratch(model: ModelConfig, pool: Artifact | None, folder: Path) -> None:
    """Saves the model of `model.architecture` and a tokenizer of its `vocab_size` in `folder`."""
    if model.architecture is None or model.architecture.vocab_size is None:
        raise UserError(
            f"model.architecture.vocab_size is missing: model={model.name} (source=scratch) needs it"
        )
    if pool is None:
        raise UserError(f"model={model.name}: a `scratch` model needs a pool to train its tokenizer on")
    logging.disable_progress_bar()
    texts = [
        *pl.read_parquet(pool.path / "problems.parquet")["text"],
        *pl.read_parquet(pool.path / "solutions.parquet")["text"],
    ]
    tokenizer = byte_level_bpe(texts, model.architecture.vocab_size)
    torch.manual_seed(SEED)
    network = Qwen2ForCausalLM(qwen2_config(model.architecture, tokenizer))
    network.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    network.to(getattr(torch, model.dtype)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def byte_level_bpe(texts: list[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """A tokenizer like Qwen2's, trained on `texts`; any text survives encoding and decoding."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[START],
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )
