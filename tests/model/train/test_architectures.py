"""Architectures of the hub: packed rows are trained and texts decoded as transformers does."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM, PreTrainedModel

from limo_ablate.core.artifacts import Store
from limo_ablate.model.generate.config import EngineConfig
from limo_ablate.model.generate.engine import Request, Sampling
from limo_ablate.model.generate.engines import load_engine, stop_ids
from limo_ablate.model.train.base import base_model, model_path
from limo_ablate.model.train.launch import train
from limo_ablate.model.train.plan import Plan
from limo_ablate.model.train.token_rows import read_tokens
from tests.tiny_models import CPU, TRAIN, hub_model, made_base, made_tokens

USUAL = {
    "vocab_size": 270, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "max_position_embeddings": 256,
}  # fmt: skip
DENSE = {**USUAL, "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 64}
VISION = {
    "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
    "image_size": 28, "patch_size": 14,
}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "GPT2": {
        "vocab_size": 270, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 256, "resid_pdrop": 0.0,
        "embd_pdrop": 0.0, "attn_pdrop": 0.0,
    },
    "GPTNeoX": {**USUAL, "intermediate_size": 64},
    "OPT": {**USUAL, "ffn_dim": 64, "word_embed_proj_dim": 32, "dropout": 0.0},
    "Gemma3": {"text_config": {**DENSE, "sliding_window": 16}, "vision_config": VISION},
    "Llama": DENSE, "Qwen3": DENSE, "Mistral": {**DENSE, "sliding_window": None},
    "Phi3": {**{k: v for k, v in DENSE.items() if k != "head_dim"}, "pad_token_id": 0},
    "Qwen3Moe": {**DENSE, "moe_intermediate_size": 32, "num_experts": 4, "num_experts_per_tok": 2},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_packed_rows_and_greedy_text_are_transformers_own(kind: str, tmp_path: Path) -> None:
    store, folder = Store(tmp_path / "store"), tmp_path / kind
    shutil.copytree(
        made_base(store).path, folder, ignore=shutil.ignore_patterns("*.safetensors", "config.json")
    )
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**KINDS[kind])
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    base = base_model(store, hub_model(folder), None)
    tokens, short = made_tokens(store, base), replace(TRAIN, steps=1)
    weights = train(store, tokens, base, short, CPU)
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    first = pl.read_parquet(weights.path / "curve.parquet")["loss"][0]
    assert first == pytest.approx(loss(plain, tokens.path), abs=1e-5)
    trained = AutoModelForCausalLM.from_pretrained(weights.path, dtype=torch.float32).eval()
    engine = load_engine(
        model_path(weights),
        EngineConfig(engine="paged" if kind == "Gemma3" else "transformers", batch_size=2),
        CPU,
    )
    asked = [Request(f"p{n}", 0, "", [5 + n, 9, 7], Sampling(0.0, 1.0, 12, 0)) for n in range(3)]
    for done in engine.generate(asked):
        assert done.ids == greedy(trained, done.request.ids, stop_ids(str(weights.path)))


def loss(model: PreTrainedModel, tokens: Path) -> float:
    """Of the first global batch, each row alone."""
    rows, losses = read_tokens(tokens), []
    batch = next(iter(Plan(rows.lengths, rows.responses, TRAIN, rows.problems).batches()))
    for number in batch:
        ids, prompt = torch.tensor(rows.row(number).astype("int64"))[None], int(rows.prompts[number])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0]
        losses.append(
            torch.nn.functional.cross_entropy(logits[prompt - 1 : -1], ids[0, prompt:], reduction="none")
        )
    return float(torch.cat(losses).mean())


def greedy(model: PreTrainedModel, ids: list[int], stops: set[int]) -> list[int]:
    prompt = torch.tensor([ids])
    generate: Callable[..., Any] = model.generate
    text = generate(
        prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=12,
        eos_token_id=sorted(stops), pad_token_id=0,
    )  # fmt: skip
    return list(text[0, len(ids) :].tolist())
