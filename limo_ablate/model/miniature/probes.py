"""Measures what a base model has learned without fine-tuning it: skills whose tokens it predicts exactly.

`fact`: the result of a single operation. `first`: the first step (L4) of a problem posed in chat format,
after the steps left and one operation, which indicate the style. `next`: a step (L4) after another one
from the middle of a problem.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

from limo_ablate.data.miniature.recurrence import apply, draw_operation, draw_problem
from limo_ablate.data.miniature.solutions import full_step

ITEMS = 300
"""Number of items per skill."""
SEED = 5

Item = tuple[str, str]
"""A prompt, and its expected continuation."""


def probe(model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast) -> dict[str, float]:
    """The share (0..1) of each skill's items whose every token is the model's first choice."""
    makers: dict[str, Callable[[random.Random], Item]] = {
        "fact": _fact,
        "first": lambda rng: _first(rng, tokenizer),
        "next": _next,
    }
    rng = random.Random(f"probes:{SEED}")
    return {
        skill: round(_share(model, tokenizer, [make(rng) for _ in range(ITEMS)]), 4)
        for skill, make in makers.items()
    }


def _fact(rng: random.Random) -> Item:
    before, operation = rng.randrange(100), draw_operation(rng)
    return f"{before:02d}{operation[0]}{operation[1]}=", f"{apply(before, operation):02d}"


def _first(rng: random.Random, tokenizer: PreTrainedTokenizerFast) -> Item:
    problem = draw_problem(rng, rng.randint(1, 9), held_out=False)
    conversation = [{"role": "user", "content": problem.text}]
    prompt = tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
    step = full_step(problem, 0)
    return prompt + step[:3], step[3:]


def _next(rng: random.Random) -> Item:
    problem = draw_problem(rng, rng.randint(2, 9), held_out=False)
    step = rng.randrange(problem.steps - 1)
    return full_step(problem, step) + ". ", full_step(problem, step + 1)


@torch.no_grad()
def _share(model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, items: list[Item]) -> float:
    prompts = tokenizer([prompt for prompt, _ in items], add_special_tokens=False)["input_ids"]
    expected = tokenizer([continuation for _, continuation in items], add_special_tokens=False)["input_ids"]
    rows = [before + after for before, after in zip(prompts, expected, strict=True)]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [tokenizer.pad_token_id] * (longest - len(row)) for row in rows])
    hits = model(input_ids=ids, use_cache=False).logits[:, :-1].argmax(-1) == ids[:, 1:]
    spans = [(len(before) - 1, len(row) - 1) for before, row in zip(prompts, rows, strict=True)]
    return sum(bool(hit[start:end].all()) for hit, (start, end) in zip(hits, spans, strict=True)) / len(items)
