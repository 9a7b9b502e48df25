"""Schemas: how well-known kinds of rows are read; each is a function that recognises its own.

    gsm8k(Sample(first_rows)) -> Reading(fields, ...), None for rows of another kind

The first that fits is taken, so special ones stand before general ones. `data=auto` uses what it says
and `limo-ablate data inspect FILE` prints it. A schema raises UserError for rows of its kind that can't be
read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from limo_ablate.core.errors import UserError
from limo_ablate.core.registry import Entry, Registry
from limo_ablate.data.pool.config import FieldsConfig
from limo_ablate.data.pool.fields import Row, field_value
from limo_ablate.data.pool.numbering import is_settled, told
from limo_ablate.data.pool.options import COLUMNS, OtherNumbering, read_options, unread_options
from limo_ablate.data.pool.turns import is_conversation
from limo_ablate.data.pool.values import BadRow, number, stated_gold

PROBLEMS = (
    "problem",
    "question",
    "prompt",
    "query",
    "instruction",
    "input",
    "text",
    "frage",
    "aufgabe",
    "问题",
    "题目",
)
SOLUTIONS = (
    "solution", "solutions", "response", "responses", "completion", "output", "generations", "generation",
    "worked", "rationale", "explanation", "long_answer", "lösung", "解答", "解析",
)  # fmt: skip
ANSWERS = (
    "answer", "final_answer", "expected_answer", "ground_truth", "reference_answer", "gold", "target",
    "label", "expected", "final_decision", "antwort", "答案",
)  # fmt: skip
CONTEXTS = ("context", "passage", "body")
RIGHT = (
    "answerkey", "answer_idx", "answer_index", "cop", "correct_option", "correct", "answer", "correct_answer",
    "label", "gold", "target",
)  # fmt: skip
"""Names, in lower case, of the column that says which option is right."""
BESIDE = {
    "level": ("level", "difficulty", "hardness"),
    "subject": ("subject", "type", "category", "topic"),
    "source": ("source", "data_source", "dataset"),
    "teacher": ("teacher", "generator", "author", "writer"),
}
"""Role -> names of columns that have it beside any schema."""
NEARLY_ALL = 0.9
"""Share of the rows from which a column is taken to be of a kind."""
LONG = 12
"""Words of an answer from which most answers of a file are taken for solutions."""
_DISTRACTOR = re.compile(r"distractor_?\d+|incorrect answer \d+|incorrect_answer_?\d+")
_HASHES = re.compile(r"(?:^|\n)#### ")


@dataclass(frozen=True, slots=True)
class Sample:
    """The first rows of a source."""

    rows: Sequence[Row]

    def column(self, *names: str, kind: type | tuple[type, ...] = object) -> str | None:
        """The first row's column with one of these names, in lower case, whose values are of a type."""
        lower = {name.lower(): name for name in reversed(self.rows[0])}
        for name in (lower[name] for name in names if name in lower):
            values = self.values(name)
            if values and nearly_all(isinstance(value, kind) for value in values):
                return name
        return None

    def values(self, column: str) -> list[Any]:
        """What the rows have there, without null."""
        return [value for row in self.rows if (value := field_value(row, column)) is not None]

    def first(self, column: str | None) -> Any:
        return next(iter(self.values(column)), None) if column else None


@dataclass(frozen=True, slots=True)
class Reading:
    """How rows are read."""

    fields: FieldsConfig
    notes: tuple[str, ...] = ()
    """What a user should know of it."""
    grader: str | None = None
    """The grader that a benchmark of such rows needs; None for the verifier."""
    read: frozenset[str] = field(default=frozenset())
    """Columns that are accounted for, beside those of `fields`."""


Schema: TypeAlias = Callable[[Sample], Reading | None]
OWN = "limo_ablate.data.pool.schemas"
SCHEMAS: Registry[Schema] = Registry(
    "schema",
    {
        "preference": Entry(f"{OWN}:preference", "`chosen` and `rejected` (DPO): the chosen answer is read"),
        "verl": Entry(f"{OWN}:verl", "`prompt` as turns, `reward_model.ground_truth`"),
        "openthoughts": Entry(f"{OWN}:openthoughts", "`problem`, `deepseek_reasoning`, `deepseek_solution`"),
        "segments": Entry(f"{OWN}:segments", "axolotl's `segments`, refused: they hold a template's text"),
        "squad": Entry(
            f"{OWN}:aliases", "`question`, `answers.text` or `answer.aliases`: any of them is right"
        ),
        "options": Entry(
            f"{OWN}:options", "options with a letter, position or text (MMLU, ARC, MedQA, SciQ)"
        ),
        "conversation": Entry(
            f"{OWN}:conversation", "turns in `messages` (OpenAI) or `conversations` (ShareGPT, axolotl)"
        ),
        "alpaca": Entry(f"{OWN}:alpaca", "`instruction`, `input`, `output`, perhaps `history` and `system`"),
        "gsm8k": Entry(f"{OWN}:gsm8k", "`question`, and an `answer` that ends in `#### 72`"),
        "prompt": Entry(f"{OWN}:prompt", "`prompt` and `completion`, as texts or turns (TRL)"),
        "columns": Entry(f"{OWN}:columns", "a problem, an answer and a solution by the columns' names"),
    },
)
"""The schemas, in the order in which they are tried."""


def recognise(rows: Sequence[Row]) -> tuple[str, Reading]:
    """The first schema that fits, and how it reads such rows. Raises UserError where none does."""
    sample = Sample(rows)
    for name in SCHEMAS:
        schema: Schema = SCHEMAS.load(name)
        if reading := schema(sample):
            _require_options_read(sample, reading.fields)
            return name, replace(reading, fields=_with_columns_beside(sample, reading))
    raise UserError(
        f"none of the known schemas ({', '.join(SCHEMAS)}); say which column holds what, in "
        f"data.fields.problem, answer and solution (data=jsonl). Columns: {', '.join(rows[0])}"
    )


def _require_options_read(sample: Sample, fields: FieldsConfig) -> None:
    """Raises UserError where answers seem to name options that the schema can't read."""
    unread = [
        unread_options(row, fields) for row in sample.rows if field_value(row, fields.answer) is not None
    ]
    if not _mostly(column is not None for column in unread):
        return
    column, answer = next(filter(None, unread)), sample.first(fields.answer)
    raise UserError(
        f"{fields.answer} ({answer}) seems to name an option in {column}, but of most rows the right one "
        f"can't be told; say which column holds what: data=jsonl data.fields.problem={fields.problem} "
        f"data.fields.options={column} data.fields.answer=COLUMN data.fields.solution=null"
    )


def preference(sample: Sample) -> Reading | None:
    chosen, asked = (
        sample.column("chosen"),
        sample.column("prompt", "question", "conversations", "instruction"),
    )
    if chosen is None or sample.column("rejected") is None:
        return None
    first = sample.first(chosen)
    if isinstance(first, dict):
        key = next((key for key in ("value", "content") if key in first), None)
        solution = f"{chosen}.{key}"
    elif is_conversation(first) and len(first) > 1:
        asked = solution = chosen
    else:
        solution = chosen
    if asked is None:
        raise UserError("preference pairs without a prompt: give it in a column `prompt`")
    fields = FieldsConfig(problem=asked, answer=None, solution=solution)
    notes = ("the rejected answers are not trained on",)
    return Reading(fields, notes, read=frozenset({"prompt", "question", "rejected"}))


def verl(sample: Sample) -> Reading | None:
    reward, asked = sample.column("reward_model", kind=dict), sample.column("prompt")
    if reward is None or asked is None or "ground_truth" not in sample.first(reward):
        return None
    extra, worked = sample.column("extra_info", kind=dict), None
    if extra and isinstance(found := sample.first(extra).get("answer"), str) and len(found.split()) >= LONG:
        worked = f"{extra}.answer"
    fields = FieldsConfig(problem=asked, answer=f"{reward}.ground_truth", solution=worked)
    return Reading(fields)


def openthoughts(sample: Sample) -> Reading | None:
    names = ("problem", "deepseek_reasoning", "deepseek_solution")
    if not all(sample.column(name, kind=str) for name in names):
        return None
    solution = "<think>\\n{deepseek_reasoning}\\n</think>\\n\\n{deepseek_solution}"
    return Reading(FieldsConfig(problem="problem", answer=None, solution=solution))


def segments(sample: Sample) -> Reading | None:
    if (column := sample.column("segments", kind=list)) is None or "label" not in (
        sample.first(column) or [{}]
    )[0]:
        return None
    raise UserError(
        "axolotl's segments hold text with a chat template in it, which would be applied twice; give "
        "`messages` with role and content"
    )


def aliases(sample: Sample) -> Reading | None:
    asked = sample.column("question", "problem", kind=str)
    column = sample.column("answers", "answer", kind=dict)
    key = next((key for key in ("aliases", "text") if key in (sample.first(column) or {})), None)
    if asked is None or column is None or not isinstance(sample.first(f"{column}.{key}"), list):
        return None
    fields = FieldsConfig(problem=_asked(sample, asked), answer=f"{column}.{key}", answers="any")
    return Reading(fields, grader="any_of")


def options(sample: Sample) -> Reading | None:
    asked = sample.column("question", "problem", "input", "prompt", "query", "sentence", *PROBLEMS, kind=str)
    if asked is None:
        return None
    listed = sample.column(*COLUMNS, kind=(list, dict)) or _option_columns(sample)
    if not listed:
        return None
    worked = sample.column("rationale", "explanation", "solution", "exp", "reasoning", "cot", kind=str)
    fields = FieldsConfig(problem=_asked(sample, asked), answer=None, solution=worked, options=listed)
    found = max(_read_by(sample, fields), key=lambda pair: pair[0], default=None)
    if found and _is_settled(sample, found[1]):
        return Reading(found[1], read=frozenset(RIGHT))
    return None


def _read_by(sample: Sample, fields: FieldsConfig) -> Iterator[tuple[int, FieldsConfig]]:
    """(number of rows whose right option can be told, fields) for each way that tells most of them."""
    for name in (column for column in map(sample.column, RIGHT) if column):
        for first in (0, 1):
            tried = replace(fields, answer=name, first_option=first)
            answers = [(told(row, tried), row.get(name)) for row in sample.rows]
            count = sum(choice is not None for choice, _ in answers)
            if 2 * count > sum(choice is not None or not _is_hidden(answer) for choice, answer in answers):
                yield count, tried


def _is_hidden(answer: Any) -> bool:
    """Whether the right option is not said: null, or a negative number as in many test splits."""
    return answer is None or answer == "" or str(answer).startswith("-")


def _is_settled(sample: Sample, fields: FieldsConfig) -> bool:
    """Whether single rows are wrong, and not the numbering. Raises UserError where that can't be said."""
    try:
        for row in sample.rows:
            with suppress(BadRow):
                read_options(row, "", fields)
    except OtherNumbering as odd:
        if not is_settled(sample.rows, fields):
            raise UserError(
                f"{fields.answer} has positions that fit options numbered from 0 and others that fit options "
                "numbered from 1; correct the rows that are wrong, or leave them out"
            ) from odd
    return True


def _option_columns(sample: Sample) -> tuple[str, ...]:
    """Columns that hold an option each, those of wrong options with the right one first."""
    for names in ("abcdefghij", ("opa", "opb", "opc", "opd"), ("option1", "option2", "option3", "option4")):
        found = tuple(column for name in names if (column := sample.column(name)))
        if len(found) > 1:
            return found
    wrong = [name for name in sample.rows[0] if _DISTRACTOR.fullmatch(name.lower())]
    right = sample.column("correct_answer", "correct answer", "best_answer", kind=str)
    return (right, *wrong) if wrong and right else ()


def conversation(sample: Sample) -> Reading | None:
    names = ("messages", "conversations", "conversation", "dialog", "dialogue", "turns")
    if (column := sample.column(*names, kind=list)) is None or not is_conversation(sample.first(column)):
        return None
    if sample.column("problem", "question", kind=str) and sample.column("solution", kind=str):
        return None  # the same in plain columns
    answer = sample.column(
        "answer", "final_answer", "ground_truth", "expected_answer", kind=(str, int, float)
    )
    fields = FieldsConfig(problem=column, answer=answer, solution=column)
    return Reading(fields, read=frozenset({"prompt", "system", "tools"}))


def alpaca(sample: Sample) -> Reading | None:
    asked, told = sample.column("instruction", kind=str), sample.column("output", "response", kind=str)
    if asked is None or told is None:
        return None
    more = sample.column("input", "context", kind=str)
    problem = f"{{{asked}}}\\n{{{more}}}" if more else asked
    answer = sample.column("answer", "ground_truth", kind=(str, int, float))
    fields = FieldsConfig(problem=problem, answer=answer, solution=told)
    return Reading(fields, read=frozenset({"history", "system"}))


def gsm8k(sample: Sample) -> Reading | None:
    asked, told = sample.column("question", kind=str), sample.column("answer", kind=str)
    if asked is None or told is None or not all(_HASHES.search(text) for text in sample.values(told)):
        return None
    return Reading(FieldsConfig(problem=asked, answer=None, solution=told))


def prompt(sample: Sample) -> Reading | None:
    asked, told = (
        sample.column("prompt", kind=(str, list)),
        sample.column("completion", "response", kind=(str, list)),
    )
    if asked is None or told is None:
        return None
    label = sample.column("label", "correct", kind=bool)
    answer = sample.column("answer", "ground_truth", kind=(str, int, float))
    return Reading(FieldsConfig(problem=asked, answer=answer, solution=told, correct=label))


def columns(sample: Sample) -> Reading | None:
    asked, answer = sample.column(*PROBLEMS, kind=str), sample.column(*ANSWERS)
    worked = sample.column(*(name for name in SOLUTIONS if name != asked), kind=(str, list))
    if asked is None or (worked is None and answer is None):
        return None
    notes: tuple[str, ...] = ()
    if worked is None and answer is not None:
        texts = [str(value) for value in sample.values(answer)]
        if _mostly(len(text.split()) > LONG for text in texts):
            stated = _mostly(stated_gold(text) is not None for text in texts)
            notes = (f"the texts in {answer} are long: they are read as solutions",)
            worked, answer = answer, None if stated else answer
        else:
            worked, notes = (
                answer,
                (f"no worked solutions: the texts in {answer} are trained on as they are",),
            )
    fields = FieldsConfig(problem=_asked(sample, asked), answer=answer, solution=worked)
    if any(isinstance(value, list | dict) for value in (sample.values(answer) if answer else ())):
        notes = (*notes, f"{answer} has lists or objects: set `answers` to all or any")
    correct = sample.column("correct", "is_correct", "correctness", kind=(bool, list))
    return Reading(replace(fields, correct=correct), notes)


def _asked(sample: Sample, question: str) -> str:
    """The question, with the text that it is about before it."""
    context = sample.column(*CONTEXTS, kind=str)
    return f"{{{context}}}\\n\\n{{{question}}}" if context else question


def _mostly(flags: Iterable[bool], share: float = 0.5) -> bool:
    known = list(flags)
    return sum(known) > share * len(known)


def nearly_all(flags: Iterable[bool]) -> bool:
    """A file of others may have single rows of another kind, which are rejected."""
    return _mostly(flags, NEARLY_ALL)


def _with_columns_beside(sample: Sample, reading: Reading) -> FieldsConfig:
    read = {path.partition(".")[0] for _, path in reading.fields.columns()}
    found: dict[str, Any] = {}
    for role, names in BESIDE.items():
        column = sample.column(*names, kind=(str, int, float))
        if column and column not in read and _fits(sample, role, column):
            found[role] = column
    return replace(reading.fields, **found)


def _fits(sample: Sample, role: str, column: str) -> bool:
    """Whether values of a column can be what its name says: a level is a number."""
    if role != "level":
        return True
    try:
        return all(
            number(str(value).removeprefix("Level"), role) is not None for value in sample.values(column)
        )
    except BadRow:
        return False
