"""Negative controls: changes to the chosen solutions, from which a model can only learn form.

Wrong solutions are selected by a filter (`select.correctness=wrong`), not by a perturbation.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from limo_ablate.core.errors import UserError
from limo_ablate.data.select.config import PERTURBATIONS
from limo_ablate.data.select.features import pattern

_PARAGRAPH = re.compile(r"\n\s*\n")
_LINE = re.compile(r"\n")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\\$])|(?<=[。！？])|(?<=[.;,])\s+(?=\S+\s*[:=])")
_BOX = r"\\boxed\{(?:[^{}]|\{[^{}]*\})*\}"
FEWEST_STEPS = 4
"""A text with fewer paragraphs is split into lines, and with fewer lines into sentences."""


@dataclass(frozen=True, slots=True)
class Response:
    """The input of a perturbation."""

    text: str
    gold: str | None
    lexicons: Mapping[str, Sequence[str]]
    """Feature of the score -> its words."""
    seed: int


Perturbation: TypeAlias = Callable[[Response], str]
"""An entry of `PERTURBATIONS`: returns the text to train on."""


def unchanged(given: Response) -> str:
    return given.text


def shuffled_steps(given: Response) -> str:
    """The steps in random order, except the one with the last box and those after it."""
    text, seed = given.text, given.seed
    cut, joint = _steps(text)
    boxed = [place for place, step in enumerate(cut) if "\\boxed" in step]
    end = boxed[-1] if boxed else len(cut) - 1
    if end < 2:
        return text
    order = list(range(end))
    rng = random.Random(f"{seed}:{hashlib.sha256(text.encode()).hexdigest()}")
    while order == sorted(order):
        rng.shuffle(order)
    return joint.join([*(cut[i] for i in order), *cut[end:]])


def _steps(text: str) -> tuple[list[str], str]:
    """(steps, separator) of the first way to split that gives enough steps, else of the one with the most."""
    most: tuple[list[str], str] = [text], ""
    for border, joint in ((_PARAGRAPH, "\n\n"), (_LINE, "\n"), (_SENTENCE, " ")):
        steps = [step for step in border.split(text.strip()) if step.strip()]
        if len(steps) > len(most[0]):
            most = steps, joint
        if len(steps) >= FEWEST_STEPS:
            break
    return most


def keywords_stripped(given: Response) -> str:
    """The text without the words that the score counts; lines and boxes are unchanged."""
    words = pattern([word for lexicon in given.lexicons.values() for word in lexicon])
    words = words.replace("(?-u:\\b)", r"(?a:\b)").replace(r"\s+", r"[ \t]+")
    return re.sub(rf"({_BOX})|{words},?[ \t]?", lambda found: found[1] or "", given.text)


def format_only(given: Response) -> str:
    """Only the answer in its box."""
    if given.gold is None:
        raise UserError("select.perturb=format_only: a chosen problem has no gold answer to put in a box")
    return f"\\boxed{{{given.gold}}}"


def perturbation(
    name: str, lexicons: Mapping[str, Sequence[str]], seed: int
) -> Callable[[str, str | None], str]:
    """(response, gold) -> response."""
    change: Perturbation = PERTURBATIONS.load(name)
    return lambda text, gold: change(Response(text, gold, lexicons, seed))
