"""Multiple choice: shuffles the options of each problem, so that no letter is more likely to be right.

In LIMO's GPQA file the right option is the first in each of its 198 questions.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from limo_ablate.core.artifacts import Artifact
from limo_ablate.core.reading import read_json
from limo_ablate.data.pool.config import ChoicesConfig
from limo_ablate.data.pool.fields import Row, field_value
from limo_ablate.data.pool.values import BadRow, gold_text

LETTERS = "ABCDEFGHIJ"
FILE = "options.json"

_OPTION = re.compile(r"(?:^|\n)[ \t]*\(?([A-J])[.)][ \t]*")


@dataclass(frozen=True, slots=True)
class MultipleChoice:
    """A multiple-choice problem, split into its parts."""

    question: str
    options: list[str]
    right: int
    """Position of the right option."""
    instruction: str
    """Text after the options; may be empty."""

    def by_letter(self) -> dict[str, str]:
        return dict(zip(LETTERS, self.options, strict=False))

    def letter(self) -> str:
        return LETTERS[self.right]

    def text(self) -> str:
        """The problem as a model is asked it."""
        listed = "\n".join(f"{letter}. {text}" for letter, text in self.by_letter().items())
        return "\n\n".join(part for part in (self.question, listed, self.instruction) if part)


def read_choice(row: Row, problem: Row, config: ChoicesConfig) -> MultipleChoice:
    """Splits a problem into its parts, with options in the source's order; BadRow if it has no options."""
    if config.wrong is None:
        return _lettered(problem["text"], problem["gold"], config.instruction)
    wrong = [gold_text(field_value(row, field)) for field in config.wrong]
    if missing := [field for field, text in zip(config.wrong, wrong, strict=True) if text is None]:
        raise BadRow(f"choices: no text in {missing[0]}")
    options = [problem["gold"], *(text for text in wrong if text)]
    if len(set(options)) < len(options):
        raise BadRow("choices: two options are the same")
    return MultipleChoice(problem["text"].strip(), options, 0, config.instruction or "")


def shuffled(choice: MultipleChoice, problem: str, seed: int) -> MultipleChoice:
    """The options in an order from seed and the problem's id."""
    order = sorted(range(len(choice.options)), key=lambda place: _random_order(seed, problem, place))
    options = [choice.options[place] for place in order]
    return replace(choice, options=options, right=order.index(choice.right))


def write_options(folder: Path, questions: dict[str, dict[str, Any]]) -> None:
    """`questions`: problem id -> its question and its options as they are shown."""
    (folder / FILE).write_text(json.dumps(questions, ensure_ascii=False, indent=1) + "\n")


def read_options(benchmark: Artifact) -> dict[str, dict[str, Any]]:
    """Problem id -> {question, options: {letter: text}}; empty if the benchmark is not multiple choice."""
    try:
        questions: dict[str, dict[str, Any]] = read_json(benchmark.path / FILE, dict[str, dict[str, Any]])
    except FileNotFoundError:
        return {}
    return questions


def _lettered(text: str, gold: str, instruction: str | None) -> MultipleChoice:
    """Parses options A, B, ... that each begin a line; by default the last paragraph is the instruction."""
    marks = list(_OPTION.finditer(text))
    first = max((place for place, mark in enumerate(marks) if mark[1] == "A"), default=len(marks))
    marks = marks[first:]
    letters = "".join(mark[1] for mark in marks)
    if len(marks) < 2 or letters != LETTERS[: len(marks)]:
        raise BadRow("choices: no options A, B, ... that each begin a line")
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    options = [text[mark.end() : end] for mark, end in zip(marks, ends, strict=True)]
    if instruction is None and "\n\n" in options[-1]:
        options[-1], _, instruction = options[-1].rpartition("\n\n")
    if gold not in letters or len(gold) != 1:
        raise BadRow(f"choices: the answer {gold} is none of the letters {letters}")
    question, options = text[: marks[0].start()].strip(), [option.strip() for option in options]
    if len(set(options)) < len(options):
        raise BadRow("choices: two options are the same")
    return MultipleChoice(question, options, letters.index(gold), (instruction or "").strip())


def _random_order(seed: int, problem: str, place: int) -> bytes:
    return hashlib.sha256(f"{seed}/{place}/{problem}".encode()).digest()
