"""Pre-trains a base model: seeded, on one thread, with a loss on predictable tokens only.

Rows of similar length share a batch, so that there is almost no padding; causal attention needs no mask,
since padding comes last. Matrices are trained with Muon, the rest with AdamW, at a rate that is constant
and then falls to zero.
"""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM
from transformers.utils import logging

from limo_ablate.core.progress import report_progress
from limo_ablate.model.config import ModelConfig, PretrainConfig
from limo_ablate.model.miniature.base import make_model
from limo_ablate.model.miniature.corpus import Document, documents
from limo_ablate.model.miniature.muon import Muon
from limo_ablate.model.miniature.probes import probe
from limo_ablate.model.miniature.tokenizer import make_tokenizer

CHUNK = 512
"""Documents sorted by length at a time."""
WARMUP_STEPS = 50
LOGGED_STEPS = 100

Batch = tuple[Tensor, Tensor]
"""Ids, and whether a token has a loss, both (rows, tokens)."""


def build_base(model: ModelConfig, folder: Path) -> None:
    """Makes, pre-trains and saves a base model with its tokenizer, in the hub's format, in `folder`.

    `pretrain.json` holds the log: tokens so far, loss, and the share of correct probes.
    """
    assert model.architecture is not None
    assert model.pretrain is not None
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small matrices are slower on two threads, and sums differ with their number
    try:
        tokenizer = make_tokenizer()
        network = make_model(model.architecture, tokenizer, model.pretrain.seed)
        log = pretrain(network, tokenizer, model.pretrain)
        probes = probe(network, tokenizer)
    finally:
        torch.set_num_threads(threads)
    logging.disable_progress_bar()
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "pretrain.json").write_text(json.dumps({"probes": probes, "log": log}, indent=1) + "\n")


def pretrain(
    model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, config: PretrainConfig
) -> list[dict[str, Any]]:
    """Trains `model` in place on `config.tokens` tokens; a row of the log every `LOGGED_STEPS` steps."""
    optimizers = _optimizers(model, config.learning_rate)
    log, losses, seen, started = [], [], 0, time.perf_counter()
    for step, (ids, learnt) in enumerate(batches(tokenizer, config)):
        _set_rate(optimizers, _rate(step, seen / config.tokens) * config.learning_rate)
        losses.append(_train_step(model, optimizers, ids, learnt))
        seen += int((ids != tokenizer.pad_token_id).sum())
        report_progress(
            "base", min(seen, config.tokens), config.tokens, seen / (time.perf_counter() - started)
        )
        finished = seen >= config.tokens
        if finished or (step + 1) % LOGGED_STEPS == 0:
            loss = torch.stack(losses).mean().item()
            seconds = round(time.perf_counter() - started, 1)
            log.append({"step": step + 1, "tokens": seen, "loss": loss, "seconds": seconds})
            losses.clear()
        if finished:
            break
    return log


def batches(tokenizer: PreTrainedTokenizerFast, config: PretrainConfig) -> Iterator[Batch]:
    """Endless batches of at most `batch_tokens` tokens, padding included."""
    rng = random.Random(f"batches:{config.seed}")
    corpus = documents(config.seed)
    while True:
        rows = sorted(encode(tokenizer, list(itertools.islice(corpus, CHUNK))), key=lambda row: len(row[0]))
        grouped = list(_grouped(rows, config.batch_tokens))
        rng.shuffle(grouped)
        yield from (_batch(group, tokenizer.pad_token_id) for group in grouped)


def encode(tokenizer: PreTrainedTokenizerFast, corpus: list[Document]) -> list[tuple[list[int], list[bool]]]:
    """Ids of each document, and whether each is in a predictable piece."""
    texts = ["".join(text for text, _ in document) for document in corpus]
    encoded = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
    rows = []
    for document, ids, offsets in zip(corpus, encoded["input_ids"], encoded["offset_mapping"], strict=True):
        characters = [predictable for text, predictable in document for _ in text]
        rows.append((ids, [characters[start] for start, _ in offsets]))
    return rows


def _grouped(rows: list[Any], batch_tokens: int) -> Iterator[list[Any]]:
    """Groups of rows, shortest first, that fill a batch when padded to their longest row."""
    group: list[Any] = []
    for row in rows:
        if group and (len(group) + 1) * len(row[0]) > batch_tokens:
            yield group
            group = []
        group.append(row)
    yield group


def _batch(rows: list[tuple[list[int], list[bool]]], pad: int) -> Batch:
    longest = max(len(ids) for ids, _ in rows)
    ids = torch.tensor([ids + [pad] * (longest - len(ids)) for ids, _ in rows])
    learnt = torch.tensor([mask + [False] * (longest - len(mask)) for _, mask in rows])
    return ids, learnt


def _train_step(
    model: Qwen2ForCausalLM, optimizers: list[torch.optim.Optimizer], ids: Tensor, learnt: Tensor
) -> Tensor:
    hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    targets = learnt[:, 1:]
    loss = functional.cross_entropy(model.lm_head(hidden[targets]), ids[:, 1:][targets])
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
    return loss.detach()


def _rate(step: int, progress: float) -> float:
    """Share of the learning rate: warm-up, constant for a fifth of the budget, then linear to zero."""
    return min(1.0, (step + 1) / WARMUP_STEPS) * min(1.0, max(0.02, 1.25 * (1 - progress)))


def _set_rate(optimizers: list[torch.optim.Optimizer], rate: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate


def _optimizers(model: Qwen2ForCausalLM, rate: float) -> list[torch.optim.Optimizer]:
    embedding = model.get_input_embeddings().weight
    matrices = [p for p in model.parameters() if p.ndim == 2 and p is not embedding]
    others = [p for p in model.parameters() if p.ndim != 2 or p is embedding]
    return [
        Muon(matrices, lr=rate),
        torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]
