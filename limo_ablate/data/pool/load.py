"""Builds pools and benchmarks as artifacts."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl

from limo_ablate.core.artifacts import Artifact, Store, files_of
from limo_ablate.core.errors import UserError
from limo_ablate.core.text import counted
from limo_ablate.data.grade.graders import VERIFIER
from limo_ablate.data.pool.choices import read_choice, shuffled, write_options
from limo_ablate.data.pool.config import (
    LOADERS,
    BenchmarkSetConfig,
    ChoicesConfig,
    FieldsConfig,
    PoolConfig,
    ProblemsConfig,
)
from limo_ablate.data.pool.fields import Row, check_field, check_fields
from limo_ablate.data.pool.inspection import RowReader, recognised
from limo_ablate.data.pool.lm_eval_source import FACTS, task_facts
from limo_ablate.data.pool.options import check_options_read
from limo_ablate.data.pool.pool_index import Source
from limo_ablate.data.pool.repeats import leave_out_repeats
from limo_ablate.data.pool.schema import ParsedRow, matches
from limo_ablate.data.pool.sources import Rows, require_fields
from limo_ablate.data.pool.tables import Tables
from limo_ablate.data.pool.values import BadRow, digest

logger = logging.getLogger(__name__)
TIERS = {f"L{number}": number for number in range(1, 6)}


def load_pool(store: Store, data: PoolConfig) -> Artifact:
    """The pool as `problems.parquet`, `solutions.parquet`, `rejected.parquet` and its counts, `pool.json`."""
    sources = sources_of(data)

    def identities() -> list[tuple[str, dict[str, Any]]]:
        return [(name, _identity(store, source)) for name, source in sources.items()]

    def make(folder: Path) -> None:
        _write_pool(data, sources, folder)
        _require_unchanged(f"data={data.name}", inputs["sources"], identities())

    inputs: dict[str, Any] = {"bad_rows": data.bad_rows, "sources": identities()}
    if data.without_gold == "keep":
        inputs["without_gold"] = "keep"
    return store.build("pool", inputs, make)


def load_benchmark(
    store: Store, name: str, benchmark: BenchmarkSetConfig, key: str = "eval.benchmarks"
) -> Artifact:
    """The benchmark's problems as `problems.parquet`, `rejected.parquet`; sampling is not part of its key.

    `key`: where it is configured, for errors. Options of multiple choice are shuffled, and written to
    `options.json`.
    """

    def make(folder: Path) -> None:
        _write_benchmark(name, benchmark, f"{key}.{name}", folder)
        if benchmark.task:
            (folder / FACTS).write_text(json.dumps(task_facts(benchmark), indent=1) + "\n")
        _require_unchanged(f"benchmark {name}", inputs["benchmark"], _identity(store, benchmark))

    inputs = {"name": name, "benchmark": _identity(store, benchmark), "choices": benchmark.choices}
    return store.build("benchmark", inputs, make)


def _task_identity(config: ProblemsConfig) -> dict[str, Any]:
    """What else determines the problems of lm-evaluation-harness's tasks."""
    if not isinstance(config, BenchmarkSetConfig) or config.task is None:
        return {}
    chosen = {key: getattr(config, key) for key in ("task", "filter", "metric", "num_fewshot")}
    return {**chosen, "lm_eval": version("lm_eval")}


def load_solutions(store: Store, name: str, benchmark: BenchmarkSetConfig, problems: Artifact) -> Artifact:
    """`solutions.parquet` of a benchmark: the gold solution of each of its `problems`, of which its own
    artifact has only the answers: problem, text (as asked), solution.

    Of several, the first of the best tier that is not marked wrong. Raises UserError for a problem without.
    """

    def make(folder: Path) -> None:
        solutions: dict[str, str | None] = {}
        _write_benchmark(name, benchmark, f"eval.benchmarks.{name}", folder, solutions)
        asked = pl.read_parquet(problems.path / "problems.parquet").select(problem="id", text="text")
        rows = asked.with_columns(
            solution=pl.col("problem").replace_strict(solutions, return_dtype=pl.String)
        )
        if missing := rows["solution"].null_count():
            raise UserError(
                f"eval.likelihood: {missing} of the {counted(rows.height, 'problem')} of {name} have no "
                "solution that is not marked wrong; leave it out, or those problems with "
                f"eval.benchmarks.{name}.where"
            )
        for file in folder.iterdir():
            file.unlink()
        rows.write_parquet(folder / "solutions.parquet")

    inputs = {"problems": problems, "benchmark": _identity(store, benchmark)}
    return store.build("solutions", inputs, make)


def _require_unchanged(name: str, before: Any, now: Any) -> None:
    """Raises UserError for a file that was written to while it was read: its rows are of no known digest."""
    if before != now:
        raise UserError(f"{name}: its file changed while it was read; run this again when it is complete")


def pool_counts(pool: Artifact) -> dict[str, int]:
    """What became of the source's rows: `pool.json`, empty for a pool of an earlier version."""
    path = pool.path / "pool.json"
    counts: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    return counts


UNUSED = {
    "rejected": "can't be used (rejected.parquet has the reasons)",
    "incomplete": "with an incomplete solution",
    "levels_unread": "with a level that is not a number: no band includes these",
    "unstripped": "without what data.fields.strip_prefix, strip_suffix or strip cut off",
    "own_system": "with a system turn, which is left out (data.fields.system_turns=keep)",
    "without_gold": "without a gold answer: can be trained on, but not graded",
}
"""Count of `pool.json` -> what is told of such rows."""


def unused_rows(counts: dict[str, int]) -> list[str]:
    """A line for each kind of row of the source that is not used as it is, and one for a teacher's."""
    of = f"of the source's {counts['rows']:,}" if counts else ""
    lines = [f"{counted(counts[key], 'row')} {of} {said}" for key, said in UNUSED.items() if counts.get(key)]
    return [*lines, _of_teacher(counts)] if "samples" in counts else lines


def _of_teacher(counts: dict[str, int]) -> str:
    """What became of the samples of a teacher (`data.teacher`), where one wrote the solutions."""
    marks = [f"{counts[mark]:,} {mark}" for mark in ("correct", "incorrect", "undecided") if mark in counts]
    graded = f" ({', '.join(marks)})" if marks else ""
    without = f", {counts['without_correct']:,} no correct one" if marks else ""
    return (
        f"{counted(counts['samples'], 'sample')} of a teacher: {counts['solutions']:,} solutions{graded}, "
        f"{counts['cut']:,} cut at max_tokens, {counts['refused']:,} refused or empty; "
        f"{counts['repeated']:,} repeat another of their problem; of "
        f"{counted(counts['problems'], 'problem')}, {counts['unsolved']:,} have no solution{without}"
    )


def require_gold(pool: Artifact, purpose: str, grader: str = VERIFIER) -> None:
    """Raises UserError where problems of the pool have no gold answer that the grader takes, without which
    `purpose`."""
    several = pool_counts(pool).get("several_golds")
    if several and grader == VERIFIER:
        raise UserError(
            f"{counted(several, 'problem')} of the pool with several gold answers of which any is right "
            f"(data.fields.answers=any), and the verifier takes one: {purpose}; set data.grader=any_of"
        )
    if none := pool_counts(pool).get("without_gold"):
        raise UserError(
            f"{counted(none, 'problem')} of the pool without a gold answer: {purpose}; set "
            "data.fields.answer, or data.without_gold=reject to leave them out"
        )


def check_first_row(config: ProblemsConfig, name: str, key: str) -> None:
    """Raises UserError where a source can't be read, or its first row lacks a configured column.

    Arguments as for `_parsed_rows`.
    """
    choices = getattr(config, "choices", None)
    next(iter(_parsed_rows(config, name, key, choices)), None)


def sources_of(data: PoolConfig) -> dict[str, ProblemsConfig]:
    """The pool's sources by name: its parts, or the pool's own source."""
    if not data.parts:
        return {data.name: recognised(data, "data")}
    own = ("path", "subset", "revision", "fields", "where", "miniature", "limit")
    if keys := [f"data.{key}" for key in own if getattr(data, key) is not None]:
        raise UserError(
            f"data={data.name} has data.parts, each with its own keys; set {', '.join(keys)} to null, "
            f"or {keys[0].replace('data', 'data.parts.NAME')}"
        )
    return {name: recognised(part, f"data.parts.{name}") for name, part in data.parts.items()}


def _write_pool(data: PoolConfig, sources: dict[str, ProblemsConfig], folder: Path) -> None:
    name = f"data={data.name}"
    with Tables(folder, pool=True, keep_without_gold=data.without_gold == "keep") as tables:
        for number, (part, config) in enumerate(sources.items()):
            source = Source(number, config.limit)
            for where, entry in _parsed_rows(config, part, f"data.parts.{part}" if data.parts else "data"):
                where = f"{part}: {where}" if data.parts else where
                _add_row(tables, where, entry, source)
                if tables.first_rejected and data.bad_rows == "error":
                    raise UserError(
                        f"{name}: {tables.first_rejected}; correct the source or set data.bad_rows=skip"
                    )
    _require_problems(tables, name)
    (folder / "pool.json").write_text(json.dumps(tables.counts, indent=1) + "\n")


def _write_benchmark(
    name: str,
    benchmark: BenchmarkSetConfig,
    key: str,
    folder: Path,
    solutions: dict[str, str | None] | None = None,
) -> None:
    """`solutions`: gains the gold solution of each problem."""
    source = Source(0, None if benchmark.task else benchmark.limit)
    choices, questions = benchmark.choices, {}
    keys: dict[str, str] = {}
    with Tables(folder, pool=False) as tables:
        for number, (where, entry) in enumerate(_parsed_rows(benchmark, name, key, choices)):
            if source.full:
                break
            if isinstance(entry, ParsedRow):
                entry.problem["id"] = entry.problem["id"] or str(number)
                whole = f"{entry.problem['gold']}\n{entry.problem['text']}"
                keys.setdefault(entry.problem["id"], digest(whole))
                if choice := entry.choice:
                    choice = shuffled(choice, entry.problem["id"], choices.seed) if choices else choice
                    entry.problem.update({"text": choice.text(), "gold": choice.letter()})
                    question = {"question": choice.question, "options": choice.by_letter()}
                    questions[entry.problem["id"]] = question
            before = tables.counts["problems"]
            _add_row(tables, where, entry, source)
            if solutions is not None and tables.counts["problems"] > before:
                assert isinstance(entry, ParsedRow)
                solutions[entry.problem["id"]] = _gold_solution(entry)
    if choices or questions:
        write_options(folder, questions)
    _require_problems(tables, name)
    count = leave_out_repeats(folder, name, keys)
    if benchmark.limit is None and benchmark.items not in (None, count):
        logger.warning("%s: %d problems, but `items` is %d", name, count, benchmark.items)


def _gold_solution(entry: ParsedRow) -> str | None:
    """The first solution of the best tier that is not marked wrong."""
    right = [solution for solution in entry.solutions if solution.get("correct") is not False]
    best = max(right, key=lambda solution: TIERS.get(solution["tier"], 0), default=None)
    return best["text"] if best else None


def _add_row(tables: Tables, where: str, entry: ParsedRow | str | None, source: Source) -> None:
    tables.counts["rows"] += 1
    if entry is None:
        tables.counts["left_out"] += 1
    elif isinstance(entry, str):
        tables.reject(where, entry)
    else:
        try:
            tables.add(entry, where, source)
        except BadRow as misfit:
            tables.reject(where, str(misfit))


def _parsed_rows(
    config: ProblemsConfig, name: str, key: str, choices: ChoicesConfig | None = None
) -> Iterator[tuple[str, ParsedRow | str | None]]:
    """(where, entry) for each row: the reason if it can't be used, None if `where` excludes it. `key`: where
    the source is configured."""
    reader: RowReader | None = None
    for where, row in _rows_of(config, name):
        if isinstance(row, ParsedRow):
            if choices:
                raise UserError(f"{name}: source={config.source} has no multiple choice; set choices to null")
            yield where, row if matches(row.problem, config.where) else None
        elif isinstance(row, str):
            yield where, row
        else:
            if reader is None:
                reader = RowReader(config, require_fields(config), name)
                check_fields(config, row, key)
                if not (choices and choices.wrong):
                    check_options_read(row, reader.fields, key)
                for field in (choices and choices.wrong) or ():
                    check_field(row, field, f"{key}.choices.wrong", config.path)
            yield where, _parsed_row(row, config, reader, choices)


def _rows_of(config: ProblemsConfig, name: str) -> Rows:
    """The rows of a source; errors name the pool or benchmark."""
    try:
        rows: Rows = LOADERS.load(config.source)(config)
        for where, row in rows:
            if isinstance(row, dict):
                require_fields(config)
            yield where, row
    except UserError as error:
        raise UserError(f"{name}: {error}") from error


def _parsed_row(
    row: Row, config: ProblemsConfig, reader: RowReader, choices: ChoicesConfig | None
) -> ParsedRow | str | None:
    try:
        if not matches(row, config.where):
            return None
        entry = reader.read(row)
        if choices is None:
            return entry
        if entry.choice is None:
            return replace(entry, choice=read_choice(row, entry.problem, choices))
        return replace(entry, choice=replace(entry.choice, instruction=choices.instruction or ""))
    except BadRow as misfit:
        return str(misfit)


def _require_problems(tables: Tables, name: str) -> None:
    if not tables.counts["problems"]:
        counts = ", ".join(
            f"{tables.counts[key]} {what}"
            for key, what in (("rejected", "rejected"), ("left_out", "left out by `where`"))
            if tables.counts[key]
        )
        raise UserError(
            f"{name}: no usable problem among {counted(tables.counts['rows'], 'row')}"
            + (f" ({counts})" if counts else "")
            + (f", the first: {tables.first_rejected}" if tables.first_rejected else "")
            + ("; data.without_gold=keep trains on rows without one" if _lacks_gold(tables) else "")
        )


def _lacks_gold(tables: Tables) -> bool:
    return "states no gold answer" in (tables.first_rejected or "")


def _identity(store: Store, config: ProblemsConfig) -> dict[str, Any]:
    """What determines the rows; of a local path only the content counts."""
    content = {field.name: getattr(config, field.name) for field in fields(ProblemsConfig)}
    content |= _task_identity(config)
    if identity := LOADERS.identity(config.source):
        content["installed"] = identity
    if isinstance(config.fields, FieldsConfig) and isinstance(config.fields.solution, dict):
        content["teachers"] = list(config.fields.solution)  # keys are hashed sorted, but order solutions
    path = Path(config.path or "")
    local = config.path is not None and (path.exists() or bool(files_of(path)))
    return {**content, "path": store.path_digest(path)} if local else content
