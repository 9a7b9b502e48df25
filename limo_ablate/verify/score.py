"""Verdicts and scores of a file of completions, compared with another grader's where the file has them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from limo_ablate.core.errors import UserError
from limo_ablate.core.lines import bounded_lines
from limo_ablate.verify.api import parsed_form, verify_many
from limo_ablate.verify.extract import Extract
from limo_ablate.verify.turns import Thinking
from limo_ablate.verify.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Graded:
    """One completion of a file, its verdict, and the other grader's verdict if the file has one."""

    line: int
    sample: int
    gold: str
    completion: str
    verdict: Verdict
    reference: bool | None
    source: str
    """The row's `source`, else the file's name."""
    score: float | None = None
    """Of graders that give part of the marks; None: 1 if correct, else 0."""

    @property
    def value(self) -> float:
        return float(self.verdict.correct) if self.score is None else self.score

    @property
    def disagrees(self) -> bool:
        return self.reference is not None and self.reference != self.verdict.correct


@dataclass(frozen=True, slots=True)
class Score:
    """Shares of all completions, 0..1."""

    completions: int
    problems: int
    accuracy: float
    """Mean over problems of the mean over samples; undecided count as wrong."""
    no_answer: float
    unfinished: float
    undecided: float
    highest: float
    """Accuracy if all undecided completions were right: the upper end of the sensitivity band."""
    reference: float | None
    """The other grader's accuracy."""
    disagreements: tuple[Graded, ...]
    fractional: bool = False
    """Whether completions have scores between 0 and 1, so that `accuracy` is their mean."""


def score_file(
    path: Path,
    *,
    extract: Extract = "stated",
    strict: bool = False,
    thinking: Thinking = "auto",
    workers: int = 1,
) -> Score:
    """Scores a JSONL file of rows with `gold`, `completion` or `completions`, and maybe `reference_correct`.

    Raises UserError with the line number of a row that lacks one of them.
    """
    return score(grade_file(path, extract=extract, strict=strict, thinking=thinking, workers=workers))


def grade_file(
    path: Path,
    *,
    extract: Extract = "stated",
    strict: bool = False,
    thinking: Thinking = "auto",
    workers: int = 1,
) -> list[Graded]:
    rows = list(completion_rows(path))
    pairs = [(row.completion, row.gold) for row in rows]
    verdicts = verify_many(
        pairs,
        extract=extract,
        strict=strict,
        thinking=thinking,
        prompts=[row.problem for row in rows],
        finished=[row.finished for row in rows],
        workers=workers,
    )
    return [
        Graded(row.line, row.sample, row.gold, row.completion, verdict, row.reference, row.source)
        for row, verdict in zip(rows, verdicts, strict=True)
    ]


def score(graded: list[Graded]) -> Score:
    return Score(
        completions=len(graded),
        problems=len({item.line for item in graded}),
        accuracy=_mean(graded, lambda item: item.value),
        no_answer=_mean(graded, lambda item: item.verdict.rule == "no_answer"),
        unfinished=_mean(graded, lambda item: item.verdict.rule == "unfinished"),
        undecided=_mean(graded, lambda item: item.verdict.status == "undecided"),
        highest=_mean(graded, lambda item: 1 if item.verdict.status == "undecided" else item.value),
        reference=None
        if any(item.reference is None for item in graded)
        else _mean(graded, lambda item: item.reference),
        disagreements=tuple(item for item in graded if item.disagrees),
        fractional=any(0 < item.value < 1 for item in graded),
    )


def _mean(graded: list[Graded], of: Any) -> float:
    """Mean over problems of the mean over their samples."""
    by_problem: dict[int, list[float]] = {}
    for item in graded:
        by_problem.setdefault(item.line, []).append(float(of(item)))
    return sum(sum(hits) / len(hits) for hits in by_problem.values()) / len(by_problem)


def verify_file(
    path: Path,
    *,
    extract: Extract = "stated",
    strict: bool = False,
    thinking: Thinking = "auto",
    workers: int = 1,
) -> Iterator[dict[str, Any]]:
    """A verdict for each completion of a JSONL file, as rows: line, sample, gold, the verdict's fields, and
    how the gold answer and the answer were parsed."""
    for item in grade_file(path, extract=extract, strict=strict, thinking=thinking, workers=workers):
        answer = item.verdict.answer
        forms = {
            "gold_form": parsed_form(item.gold),
            "answer_form": None if answer is None else parsed_form(answer),
        }
        row = {"line": item.line, "sample": item.sample, "gold": item.gold}
        yield row | asdict(item.verdict) | forms


class CompletionRow(NamedTuple):
    line: int
    sample: int
    gold: str
    completion: str
    reference: bool | None
    source: str
    problem: str | None
    finished: bool
    """Whether its `finish` is not `length`."""


def completion_rows(path: Path) -> Iterator[CompletionRow]:
    """Lines end at "\\n" only, completions may hold U+2028."""
    empty = True
    for line, content in enumerate(_lines(path), start=1):
        if not content.strip():
            continue
        row = _parsed(content, f"{path}:{line}")
        gold, completions, references = _fields(row, f"{path}:{line}")
        empty = False
        source, problem = str(row.get("source", path.stem)), row.get("problem")
        finishes = row.get("finish")
        finishes = finishes if isinstance(finishes, list) else [finishes] * len(completions)
        if len(finishes) != len(completions):
            raise UserError(f"{path}:{line}: {len(finishes)} `finish` for {len(completions)} completions")
        samples = zip(completions, references, finishes, strict=True)
        for sample, (completion, reference, finish) in enumerate(samples):
            yield CompletionRow(
                line, sample, gold, completion, reference, source,
                problem if isinstance(problem, str) else None, finish != "length",
            )  # fmt: skip
    if empty:
        raise UserError(f"{path}: it has no rows; each line must be a JSON object")


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as file:
            for line in bounded_lines(file, str(path)):
                yield line.decode("utf-8")
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8: {error}") from error


def _parsed(content: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where}: not JSON: {error}") from error
    if not isinstance(row, dict):
        raise UserError(f"{where}: a row must be an object, not {type(row).__name__}")
    return row


def _fields(row: dict[str, Any], where: str) -> tuple[str, list[str], list[bool | None]]:
    gold = row.get("gold")
    if gold is None:
        raise UserError(f"{where}: no `gold`; the row has {', '.join(row) or 'nothing'}")
    completions = row.get("completions", row.get("completion"))
    completions = [completions] if isinstance(completions, str) else completions
    if not isinstance(completions, list) or not all(isinstance(text, str) for text in completions):
        raise UserError(f"{where}: needs `completion` (text) or `completions` (a list of texts)")
    reference = row.get("reference_correct")
    references = reference if isinstance(reference, list) else [reference] * len(completions)
    if len(references) != len(completions):
        raise UserError(f"{where}: {len(references)} `reference_correct` for {len(completions)} completions")
    return str(gold), completions, [None if item is None else bool(item) for item in references]
