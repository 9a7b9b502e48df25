"""What a base model has learned, measured without fine-tuning it: shares right under teacher forcing.

`fact`: results of single operations. `head`, `value`, `result`: of the steps of complete (L4) solutions,
the steps left with the turned rule, the value carried over, and the outcome of the operation.
"""

from __future__ import annotations

import random
import re

import torch
from transformers import PreTrainedTokenizerFast, Qwen2ForCausalLM

from limo_ablate.pool.miniature.recurrence import Problem, apply, draw_operation, draw_problem
from limo_ablate.pool.miniature.solutions import solve

FACTS = 500
PROBLEMS = 60
SEED = 5


def probe(model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast) -> dict[str, float]:
    """Shares (0..1) of facts and of the parts of steps that the model predicts whole."""
    rng = random.Random(f"probes:{SEED}")
    facts = [_fact(rng) for _ in range(FACTS)]
    asked = [draw_problem(rng, 5, held_out=False) for _ in range(PROBLEMS)]
    right = _share(model, tokenizer, [(text, {"fact": [span]}) for text, span in facts])
    return right | _share(model, tokenizer, [_chain(problem, tokenizer) for problem in asked])


Spans = dict[str, list[tuple[int, int]]]
"""Kind of part -> its (start, end) characters in a text."""


def _fact(rng: random.Random) -> tuple[str, tuple[int, int]]:
    before, operation = rng.randrange(100), draw_operation(rng)
    sign, number = operation
    text = f"{before:02d}{sign}{number}={apply(before, operation):02d}. "
    return text, (len(text) - 4, len(text) - 2)


def _chain(problem: Problem, tokenizer: PreTrainedTokenizerFast) -> tuple[str, Spans]:
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": problem.text}], tokenize=False, add_generation_prompt=True
    )
    text = asked + solve(problem, "L4")
    spans: Spans = {"head": [], "value": [], "result": []}
    for step in re.finditer(r"(?P<head>\d([-+*]\d){3}): (?P<value>\d\d)[-+*]\d=(?P<result>\d\d)", text):
        for kind in spans:
            spans[kind].append(step.span(kind))
    return text, spans


@torch.no_grad()
def _share(
    model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, texts: list[tuple[str, Spans]]
) -> dict[str, float]:
    encoded = tokenizer(
        [text for text, _ in texts],
        add_special_tokens=False,
        return_offsets_mapping=True,
        padding=True,
        padding_side="right",
        return_tensors="pt",
    )
    right = model(input_ids=encoded["input_ids"]).logits[:, :-1].argmax(-1) == encoded["input_ids"][:, 1:]
    found: dict[str, list[bool]] = {}
    for (_, spans), offsets, hits in zip(texts, encoded["offset_mapping"], right, strict=True):
        starts = offsets[1:, 0]
        for kind, parts in spans.items():
            inside = ((starts >= start) & (starts < end) for start, end in parts)
            found.setdefault(kind, []).extend(bool(hits[part].all()) for part in inside)
    return {kind: round(sum(hits) / len(hits), 4) for kind, hits in found.items()}
