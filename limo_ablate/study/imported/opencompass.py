"""Reads results of OpenCompass: results/MODEL/DATASET.json, written with `--dump-eval-details`.

As opencompass/tasks/openicl_eval.py and icl_base_evaluator.py (open-compass/opencompass) write them:
`details` is an object by index, or, in later versions, a list with the values of all repetitions of an item
in a list. The questions stand in predictions/MODEL/DATASET.json, or in its parts DATASET_0.json,
DATASET_1.json, ..., by index too: item i of repetition r is there at r * items + i.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from limo_ablate.core.errors import UserError
from limo_ablate.core.reading import parse_json, read_text
from limo_ablate.data.pool.sources import LONGEST_FILE
from limo_ablate.study.imported.logs import (
    Log,
    Reading,
    Sample,
    digest,
    numbered,
    one_of,
    row_of,
    score_of,
    text_of,
)

Row = dict[str, Any]
CORRECT = ("correct", "is_correct", "cascade_correct")
"""What evaluators call the score, in the tool's own order."""


def opencompass(file: Path, reading: Reading) -> Iterator[Log]:
    """Items by the digest of question and gold answer; repetitions are samples."""
    if file.parent.parent.name != "results":
        raise UserError(f"{file}: predictions have no score; name results/MODEL/DATASET.json in `files`")
    details = _details(file)
    files = _predictions(file)
    asked = [
        row for part in files for row in _by_index(parse_json(read_text(part, LONGEST_FILE), part), part)
    ]
    samples = []
    name = _score_name(details[0], reading, file)
    for index, detail in enumerate(details):
        if name not in detail:
            raise UserError(f"{file}: details: item {index} has no {name}, which the first has")
        scores = detail[name]
        scores = scores if isinstance(scores, list) else [scores]
        if len(scores) * len(details) != len(asked):
            raise UserError(
                f"{file}: {len(details)} items of {len(scores)} samples, but {len(asked)} predictions in "
                f"{files[0].parent}; they are not of one run"
            )
        for sample, score in enumerate(scores):
            row = asked[sample * len(details) + index]
            question, gold = _question(row), row.get("gold")
            number = score_of(score, f"{file.name}: item {index}")
            prompt, completion, right = map(text_of, (question, row.get("prediction"), gold))
            item = digest(question, gold)
            samples.append(Sample(item, sample, number, prompt, completion, right, str(index)))
    yield Log(reading.benchmark or file.stem, numbered(samples), read_too=tuple(files))


def _details(file: Path) -> list[Row]:
    found = _json(file).get("details")
    if not found:
        raise UserError(f"{file}: no details in it; evaluate again with --dump-eval-details")
    return _by_index(found, f"{file}: details")


def _json(file: Path) -> Row:
    found: Row = parse_json(read_text(file, LONGEST_FILE), file)
    return found


def _by_index(rows: Any, where: Path | str) -> list[Row]:
    """Of an object by index, whose keys are in any order where answers came in at the same time."""
    if isinstance(rows, dict):
        if sorted(rows) != sorted(map(str, range(len(rows)))):
            raise UserError(f"{where}: an object by index, 0 to {len(rows) - 1}, is expected; it lacks some")
        rows = [rows[str(index)] for index in range(len(rows))]
    return [row_of(str(where), row) for row in rows]


def _predictions(file: Path) -> list[Path]:
    """The file of questions and responses, or its parts."""
    whole = file.parent.parent.parent / "predictions" / file.parent.name / file.name
    parts = (whole.with_stem(f"{whole.stem}_{number}") for number in count())
    found = [whole] if whole.is_file() else list(takewhile(Path.is_file, parts))
    if not found:
        raise UserError(f"{whole}: no such file, and it has the questions of {file}; copy both folders")
    return found


def _score_name(detail: Row, reading: Reading, file: Path) -> str:
    numbers = [name for name, value in detail.items() if isinstance(_first(value), int | float)]
    usual = next((name for name in CORRECT if name in numbers), None)
    return one_of("score", reading.score or usual, numbers, file)


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def _question(row: Row) -> str | dict[str, Any]:
    """The prompt, of chat models turn by turn; where options are compared by perplexity, that of each."""
    prompt = row.get("origin_prompt")
    if prompt is None:
        return {name: text.get("prompt") for name, text in row.items() if name.startswith("label: ")}
    turns = prompt if isinstance(prompt, list) else [prompt]
    return "\n".join(text_of(turn.get("prompt") if isinstance(turn, dict) else turn) for turn in turns)
