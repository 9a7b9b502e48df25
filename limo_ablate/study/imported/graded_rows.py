"""Reads logs that have a row for each graded sample: tables, rollouts of verl and TRL, Every Eval Ever."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from limo_ablate.core.errors import UserError
from limo_ablate.data.pool.sources import file_rows
from limo_ablate.study.imported.logs import (
    Log,
    Reading,
    Sample,
    digest,
    first_of,
    one_of,
    row_of,
    score_of,
    text_of,
)
from limo_ablate.study.imported.unread_columns import check_unread

Row = dict[str, Any]
Graded = tuple[str, Row, str, str]
"""Location, row, identifier of its item, column of its score."""
Group = tuple[str, tuple[str, ...], int | None]
"""Benchmark, levels and seed of some rows."""
STEP, EVALUATION = "step", "evaluation_id"
NO_REWARDS = (STEP, "advantage")
"""Numbers in TRL's rows that are no rewards."""


def table(file: Path, reading: Reading) -> Iterator[Log]:
    """The user's own columns."""
    item, score = reading.item or "item", reading.score or "score"
    rows = list(_rows(file))
    check_unread(rows, reading, item, score)
    yield from _logs(file, reading, ((where, row, _value(row, item, where), score) for where, row in rows))


def verl(file: Path, reading: Reading) -> Iterator[Log]:
    """Written by `_dump_generations` of verl/trainer/ppo/ray_trainer.py (volcengine/verl): input, output,
    gts, score, step, and what the reward function adds. As in verl's validation, `acc` comes before the
    reward."""
    rows = list(_rows(file))
    score = reading.score or ("acc" if any("acc" in row for _, row in rows) else "score")
    graded = (
        (
            where,
            {"prompt": row["input"], "completion": row["output"], "gold": row.get("gts"), **row},
            digest(_given(row, "input", where), row.get("gts")),
            score,
        )
        for where, row in rows
    )
    yield from _logs(file, reading, graded, run=STEP)


def trl(file: Path, reading: Reading) -> Iterator[Log]:
    """Written by `log` of trl/trainer/grpo_trainer.py (huggingface/trl): step, prompt, completion, a column
    for each reward function, columns that users add, and advantage."""

    def graded(where: str, row: Row) -> Graded:
        numbers = [name for name, value in row.items() if isinstance(value, int | float)]
        rewards = [name for name in numbers if name not in NO_REWARDS]
        return where, row, digest(_given(row, "prompt", where)), one_of("score", reading.score, rewards, file)

    yield from _logs(file, reading, (graded(*one) for one in _rows(file)), run=STEP)


def every_eval_ever(file: Path, reading: Reading) -> Iterator[Log]:
    """As instance_level_eval.schema.json says (evaleval/every_eval_ever, arXiv 2606.14516). A sample has a
    row for each result that it is part of. One whose evaluation ended in an error has a score all the same,
    mostly 0, and is refused."""
    rows = list(_rows(file))
    results: dict[str, list[str]] = {}
    for _, row in rows:
        known = results.setdefault(row["evaluation_name"], [])
        if (result := _result(row)) not in known:
            known.append(result)
    kept = {name: _chosen(reading.filter, known, file) for name, known in results.items()}
    same: dict[tuple[str, str], list[str]] = {}

    def graded(where: str, row: Row) -> Graded:
        if error := row.get("error"):
            raise UserError(
                f"{where}: sample {row['sample_id']} ended in an error, so its score is of no answer; "
                f"evaluate it again, or remove the row. The error: {str(error).splitlines()[0][:200]}"
            )
        asked = row["input"]
        item = digest(_given(asked, "raw", where), asked["reference"], asked.get("choices"))
        ids = same.setdefault((row["evaluation_name"], item), [])
        if row["sample_id"] not in ids:  # a question that a benchmark has twice is two items
            ids.append(row["sample_id"])
        texts = {"prompt": asked["raw"], "completion": _answer(row), "gold": asked["reference"]}
        count = ids.index(row["sample_id"]) + 1
        name = f"{item}-{count}" if count > 1 else item
        return where, row | row["evaluation"] | texts, name, reading.score or "score"

    chosen = (graded(*one) for one in rows if _result(one[1]) == kept[one[1]["evaluation_name"]])
    yield from _logs(file, reading, chosen, run=EVALUATION, benchmark="evaluation_name")


def _result(row: Row) -> str:
    """Which result the row is part of; older versions of the schema do not say."""
    return str(row.get("evaluation_result_id") or row["evaluation_name"])


def _chosen(end: str | None, known: list[str], file: Path) -> str:
    """The only result whose id is this, or ends like it."""
    ending = [one for one in known if end and one.endswith(end)]
    if end not in ending and len(ending) > 1:
        raise UserError(f"{file}: filter={end}: several results end like that: {', '.join(ending)}; say more")
    return one_of("filter", end if end in ending else next(iter(ending), end), known, file)


def _answer(row: Row) -> Any:
    """The response; of several turns the model's last."""
    if row.get("output"):
        return first_of(row["output"], "raw", 0)
    turns = [turn for turn in row.get("messages") or () if turn.get("role") == "assistant"]
    return turns[-1].get("content") if turns else None


def _rows(file: Path) -> Iterator[tuple[str, Row]]:
    return ((where, row_of(where, row)) for where, row in file_rows(str(file)))


def _logs(
    file: Path,
    reading: Reading,
    rows: Iterable[Graded],
    *,
    run: str | None = None,
    benchmark: str | None = None,
) -> Iterator[Log]:
    """Groups rows by benchmark, factors and seed. `run`: a column that has one value for all rows of a
    group; `benchmark`: the column that has its name."""
    if (named := reading.benchmark or benchmark) is None:
        raise UserError(f"{file}: set `benchmark` to its name, or to a column that has it")
    found: dict[Group, list[Sample]] = {}
    counts: dict[tuple[Group, str], int] = {}
    runs: dict[Group, Any] = {}
    for where, row, item, score in rows:
        levels = tuple(_value(row, column, where) for column in reading.columns)
        group = (str(row.get(named, named)), levels, _number(row, reading.seed, "seed", where))
        if run and reading.sample is None and run not in (reading.seed, *reading.columns):
            _check_run(runs.setdefault(group, row.get(run)), run, row, where)
        given = _number(row, reading.sample, "sample", where)
        sample = counts.get((group, item), 0) if given is None else given
        counts[group, item] = counts.get((group, item), 0) + 1
        number = score_of(_value(row, score, where), f"{where}: {score}")
        texts = (text_of(row.get(name)) for name in ("prompt", "completion", "gold"))
        found.setdefault(group, []).append(Sample(item, sample, number, *texts))
    for (name, levels, seed), samples in found.items():
        yield Log(name, samples, dict(zip(reading.columns, levels, strict=True)), seed=seed)


def _given(row: Row, column: str, where: str) -> Any:
    if row.get(column) in (None, ""):
        raise UserError(f"{where}: no {column}; columns: {', '.join(map(str, row))}")
    return row[column]


def _value(row: Row, column: str, where: str) -> str:
    return str(_given(row, column, where))


def _number(row: Row, column: str | None, kind: str, where: str) -> int | None:
    """`kind`: what is numbered."""
    if column is None:
        return None
    if not (text := _value(row, column, where)).isdecimal():
        raise UserError(f"{where}: {column}={text}: a {kind} is a whole number, 0 or more")
    return int(text)


def _check_run(first: Any, run: str, row: Row, where: str) -> None:
    """Rows of several runs that are taken for samples of one would make the intervals too narrow."""
    if row.get(run) == first:
        return
    raise UserError(
        f"{where}: {row.get(run)} beside {first}: several values in the column {run}, which is not read; set "
        f"`columns: [{run}]`, or leave one of them in the file"
    )
