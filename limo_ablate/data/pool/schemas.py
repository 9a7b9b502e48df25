"""Schemas: how well-known kinds of rows are read; each is a function that recognises its own.

    gsm8k(Sample(first_rows)) -> Reading(fields, ...), None for rows of another kind

The first that fits is taken, so special ones stand before general ones. `data=auto` uses what it says
and `limo-ablate data inspect FILE` prints it. A schema raises UserError for rows of its kind that can't be
read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from limo_ablate.core.errors import UserError
from limo_ablate.core.registry import Entry, Registry
from limo_ablate.data.pool.config import FieldsConfig
from limo_ablate.data.pool.fields import Row, field_value
from limo_ablate.data.pool.options import unread_options
from limo_ablate.data.pool.turns import is_conversation
from limo_ablate.data.pool.values import BadRow, number

PROBLEMS = (
    "problem",
    "question",
    "question_stem",
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
    "solution", "solutions", "generated_solution", "response", "responses", "completion", "output",
    "generations", "generation", "worked", "rationale", "explanation", "long_answer", "lösung", "解答",
    "解析",
)  # fmt: skip
ANSWERS = (
    "answer_number", "answer", "final_answer", "expected_answer", "ground_truth", "reference_answer",
    "gold", "target", "label", "expected", "final_decision", "antwort", "答案",
)  # fmt: skip
CONTEXTS = ("context", "passage", "body", "article")
VERDICTS = ("correct", "is_correct", "correctness")
"""Names of the column that says whether a solution is right."""
JUDGEMENTS = ("correct", "incorrect", "right", "wrong", "good", "bad", "positive", "negative", "+", "-", "-1")
LABELS = ("label", "target")
"""Names of a column that may say that, or be the answer."""
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
            "limo_ablate.data.pool.option_schema:options",
            "options with a letter, position or text (MMLU, ARC, MedQA, SciQ)",
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
        "data.fields.problem, answer and solution, with data=jsonl (`limo-ablate data inspect FILE "
        "data.fields.problem=COLUMN ...` tries it); scores of models: `limo-ablate import`. "
        f"Columns: {', '.join(rows[0])}"
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
    column = sample.column("segments", kind=list)
    first = next(iter(sample.first(column) or ()), None)
    if not isinstance(first, dict) or "label" not in first:
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
    fields = FieldsConfig(problem=asked_text(sample, asked), answer=f"{column}.{key}", answers="any")
    return Reading(fields, grader="any_of")


def conversation(sample: Sample) -> Reading | None:
    names = ("messages", "conversations", "conversation", "dialog", "dialogue", "turns")
    if (column := sample.column(*names, kind=list)) is None or not is_conversation(sample.first(column)):
        return None
    if sample.column("problem", "question", kind=str) and sample.column("solution", kind=str):
        return None  # the same in plain columns
    answer = sample.column(
        "answer", "final_answer", "ground_truth", "expected_answer", kind=(str, int, float)
    )
    correct, notes = _verdict(sample)
    fields = FieldsConfig(problem=column, answer=answer, solution=column, correct=correct)
    return Reading(fields, notes, read=frozenset({"prompt", "system", "tools"}))


def alpaca(sample: Sample) -> Reading | None:
    asked, told = sample.column("instruction", kind=str), sample.column("output", "response", kind=str)
    if asked is None or told is None:
        return None
    more = sample.column("input", "context", kind=str)
    problem = f"{{{asked}}}\\n{{{more}}}" if more else asked
    answer = sample.column("answer", "ground_truth", kind=(str, int, float))
    correct, notes = _verdict(sample)
    fields = FieldsConfig(problem=problem, answer=answer, solution=told, correct=correct)
    return Reading(fields, notes, read=frozenset({"history", "system"}))


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
    label = sample.column("label", kind=bool)  # KTO
    correct, notes = (label, _judged(label)) if label else _verdict(sample)
    answer = sample.column("answer", "ground_truth", kind=(str, int, float))
    return Reading(FieldsConfig(problem=asked, answer=answer, solution=told, correct=correct), notes)


def columns(sample: Sample) -> Reading | None:
    asked, answer = sample.column(*PROBLEMS, kind=str), sample.column(*ANSWERS)
    worked = sample.column(*(name for name in SOLUTIONS if name != asked), kind=(str, list))
    if asked is None or (worked is None and answer is None):
        return None
    correct, notes = _verdict(sample, worked) if worked else (None, ())
    if worked is None and answer is not None:
        worked = answer
        if _mostly(_is_solution(str(value)) for value in sample.values(answer)):
            notes, answer = (
                (f"the texts in {answer} are long, or have thoughts: they are read as solutions",),
                None,
            )
        else:
            notes = (f"no worked solutions: the texts in {answer} are trained on as they are",)
    fields = FieldsConfig(problem=asked_text(sample, asked), answer=answer, solution=worked, correct=correct)
    if any(isinstance(value, list | dict) for value in (sample.values(answer) if answer else ())):
        notes = (*notes, f"{answer} has lists or objects: set `answers` to all or any")
    return Reading(fields, notes)


def _is_solution(answer: str) -> bool:
    return len(answer.split()) > LONG or "</think>" in answer


def _verdict(sample: Sample, worked: str | None = None) -> tuple[str | None, tuple[str, ...]]:
    """The column that says whether a solution is right, and a note on it. Raises UserError for one that may
    say so or be the answer: its values would be wrong gold answers, or a wrong solution's answer would be."""
    if doubtful := _all_are(_may_judge, sample, LABELS):
        raise UserError(
            f"{doubtful} may say whether a solution is right, or be the answer: set "
            f"data.fields.correct={doubtful} or data.fields.answer={doubtful}, with problem and solution "
            "(data=jsonl)"
        )
    column = _all_are(is_flag, sample, VERDICTS)
    if column is None and isinstance(sample.first(worked), list):
        column = sample.column(*VERDICTS, kind=list)
    return column, _judged(column) if column else ()


def _all_are(kind: Callable[[Any], bool], sample: Sample, names: Iterable[str]) -> str | None:
    """The first of the columns whose values are of a kind."""
    columns = (column for name in names if (column := sample.column(name)))
    return next((column for column in columns if nearly_all(map(kind, sample.values(column)))), None)


def _may_judge(value: Any) -> bool:
    """Whether a value is a flag, a score, or a word for right or wrong."""
    if isinstance(value, int | float):
        return -1 <= value <= 1
    return is_flag(value) or str(value).strip().lower() in JUDGEMENTS


def _judged(column: str) -> tuple[str, ...]:
    return (
        f"{column} says which solutions are right: the others state no gold answer, and are trained on "
        "unless select.correctness is marked_correct",
    )


def asked_text(sample: Sample, question: str) -> str:
    """The question, with the text that it is about before it."""
    context = sample.column(*CONTEXTS, kind=str)
    return f"{{{context}}}\\n\\n{{{question}}}" if context else question


def _mostly(flags: Iterable[bool], share: float = 0.5) -> bool:
    known = list(flags)
    return sum(known) > share * len(known)


def is_flag(value: Any) -> bool:
    return str(value).strip().lower() in ("true", "false", "0", "1", "0.0", "1.0")


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
