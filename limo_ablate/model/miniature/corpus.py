"""The pre-training corpus of the miniature's base models: single skills, but no chains of them.

Facts (`26+7=33`), pairs of consecutive steps from the middle of a problem, a statement with its
first step, and chats: direct answers to problems of any length, worked ones of at most two steps. Each
step style of the tiers L5 to L2, and among the worked chats the bare answer of L1, has the same share,
so that no tier is more familiar than another. Problems of the test side never occur.

A document is a list of pieces (text, is it predictable). Unpredictable pieces, such as the
operands of a fact, have no loss.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from limo_ablate.data.miniature.recurrence import LEVELS, Problem, apply, draw_operation, draw_problem
from limo_ablate.data.miniature.solutions import STEPS, Step, solve, step_value, step_working

Document = list[tuple[str, bool]]

SHARES = {"facts": 0.20, "pairs": 0.30, "first_step": 0.25, "chat": 0.25}
"""Share of each kind of document."""

END = "<|endoftext|>"
STYLES = list(STEPS.values())


def documents(seed: int) -> Iterator[Document]:
    """An endless corpus, the same for the same seed."""
    rng = random.Random(f"corpus:{seed}")
    makers = {"facts": facts, "pairs": pairs, "first_step": first_step, "chat": chat}
    names, weights = list(SHARES), list(SHARES.values())
    while True:
        yield makers[rng.choices(names, weights)[0]](rng)


def facts(rng: random.Random) -> Document:
    """Single operations, `26+7=33. `; half of them products, which are harder to learn."""
    pieces: Document = []
    for _ in range(rng.randint(8, 14)):
        before, operation = rng.randrange(100), draw_operation(rng, "+-**")
        sign, number = operation
        pieces += [(f"{before:02d}{sign}{number}=", False), (f"{apply(before, operation):02d}. ", True)]
    return [*pieces, (END, True)]


def pairs(rng: random.Random) -> Document:
    """Pairs of consecutive steps, each from the middle of another problem."""
    pieces: Document = []
    for _ in range(4):
        problem = _any_problem(rng, fewest=2)
        step, style = rng.randrange(problem.steps - 1), rng.choice(STYLES)
        pieces += _pair(style, problem, step)
    return [*pieces, (END, True)]


def first_step(rng: random.Random) -> Document:
    """A problem statement and the first step of its solution."""
    problem = _any_problem(rng)
    return [(f"{problem.text} ", False), (f"{rng.choice(STYLES)(problem, 0)}. ", True), (END, True)]


def chat(rng: random.Random) -> Document:
    """A statement in chat format with a direct answer, the first steps, or a short solution."""
    kind = rng.choices(("direct", "begun", "solved"), (0.4, 0.3, 0.3))[0]
    problem = draw_problem(rng, rng.randint(1, 2), held_out=False) if kind == "solved" else _any_problem(rng)
    return [
        (f"<|im_start|>user\n{problem.text}<|im_end|>\n<|im_start|>assistant\n", False),
        (_reply(rng, kind, problem), kind != "direct" or problem.steps == 1),
        ("<|im_end|>\n", True),
        (END, True),
    ]


def _reply(rng: random.Random, kind: str, problem: Problem) -> str:
    if kind == "direct":
        return _conclusion(rng, problem)
    if kind == "begun":
        style, count = rng.choice(STYLES), min(problem.steps, rng.randint(1, 2))
        return ". ".join(style(problem, step) for step in range(count)) + ". "
    tier = rng.choice(("L1", *STEPS))
    steps = solve(problem, tier).removesuffix(solve(problem, "L1"))
    return steps + _conclusion(rng, problem)


def _conclusion(rng: random.Random, problem: Problem) -> str:
    return rng.choice((f"answer {problem.gold}. ", f"so {problem.gold}. ", f"\\boxed{{{problem.gold}}}"))


def _any_problem(rng: random.Random, fewest: int = LEVELS[0]) -> Problem:
    return draw_problem(rng, rng.randint(fewest, LEVELS[1]), held_out=False)


def _pair(style: Step, problem: Problem, step: int) -> Document:
    """Two steps without context: of the first, only the part after its `=` can be predicted.

    So can all of the second when it carries the rule (L5, L4), its value and its outcome when it carries
    the working (L3), and the steps left when it carries the value only (L2).
    """
    first, second = style(problem, step), style(problem, step + 1)
    head, sign, tail = first.partition("=")
    pieces: Document = [(head + sign, False), (tail + ". ", True)]
    if style is step_value:
        return [*pieces, (second[:3], True), (second[3:], False), (". ", True)]
    if style is step_working:
        return [*pieces, (second[:5], True), (second[5:8], False), (second[8:] + ". ", True)]
    return [*pieces, (second + ". ", True)]
