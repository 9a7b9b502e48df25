"""Writes the tables of a pool or benchmark in batches, while its rows are read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from limo_ablate.data.pool.fields import Row
from limo_ablate.data.pool.pool_index import PoolIndex, Source
from limo_ablate.data.pool.schema import DIALOGS, PROBLEMS, REJECTED, SOLUTIONS, ParsedRow
from limo_ablate.data.pool.values import BadRow, digest

BATCH_ROWS = 50_000
BATCH_CHARACTERS = 2**25
"""Size of a batch, which becomes a row group: large enough to compress well, small enough for memory."""
PACKED_ROWS = 1000
TYPES = {pa.string(): pl.String, pa.float64(): pl.Float64, pa.int64(): pl.Int64, pa.bool_(): pl.Boolean}

COUNTS = (
    "rows",
    "left_out",
    "over_limit",
    "rejected",
    "incomplete",
    "levels_unread",
    "unstripped",
    "without_gold",
    "own_system",
    "problems",
    "solutions",
)
WITHOUT_PASS_RATE = PROBLEMS.remove(PROBLEMS.get_field_index("pass_rate"))


class BatchedParquet:
    """Writes a parquet file row group by row group."""

    def __init__(self, path: Path, schema: pa.Schema, compression: str = "zstd") -> None:
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression=compression)
        self._columns: list[tuple[str, list[Any]]] = [(name, []) for name in schema.names]
        self._packed: list[pa.Table] = []
        self._rows = self._characters = 0

    def add(self, row: Row) -> None:
        for name, column in self._columns:
            column.append(row.get(name))
        self._rows += 1
        self._characters += len(row.get("text", ""))
        if self._rows >= BATCH_ROWS or self._characters >= BATCH_CHARACTERS:
            self._flush()
        elif self._rows % PACKED_ROWS == 0:
            self._pack()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _pack(self) -> None:
        """Moves rows to Arrow: few at a time, so that their memory is used again for the next ones.

        By polars, because `pa.array` of a list imports pandas.
        """
        arrays = []
        for field, (_, column) in zip(self._schema, self._columns, strict=True):
            arrays.append(pl.Series(column, dtype=TYPES[field.type]).to_arrow().cast(field.type))
            column.clear()
        self._packed.append(pa.Table.from_arrays(arrays, schema=self._schema))

    def _flush(self) -> None:
        if self._rows:
            self._pack()
            self._writer.write_table(pa.concat_tables(self._packed).combine_chunks())
        self._rows, self._characters = 0, 0
        self._packed.clear()


class Tables:
    """Writes `problems.parquet`, `rejected.parquet` and, for a pool, `solutions.parquet` to `folder`, and
    `dialogs.parquet` where problems have several turns.

    In a pool, rows with the same problem are one problem with several solutions; in a benchmark, each row is
    a problem.
    """

    def __init__(self, folder: Path, *, pool: bool, keep_without_gold: bool = False) -> None:
        self.counts = Counter(dict.fromkeys(COUNTS, 0))
        self.first_rejected: str | None = None
        self._path = folder / "problems.parquet"
        self._unrated = folder / "problems.unrated"
        self._problems = BatchedParquet(self._unrated, WITHOUT_PASS_RATE, "lz4")
        self._rejected = BatchedParquet(folder / "rejected.parquet", REJECTED)
        self._solutions = BatchedParquet(folder / "solutions.parquet", SOLUTIONS) if pool else None
        self._dialogs: BatchedParquet | None = None
        self._folder = folder
        self._index = PoolIndex(keep_without_gold)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        for batches in (self._problems, self._rejected, self._solutions, self._dialogs):
            if batches:
                batches.close()
        if kind is None:
            self._join_pass_rates()

    def reject(self, where: str, reason: str) -> None:
        self.counts["rejected"] += 1
        self.first_rejected = self.first_rejected or f"{where}: {reason}"
        self._rejected.add({"where": where, "reason": reason})

    def add(self, entry: ParsedRow, where: str, source: Source) -> None:
        """Adds a row's problem and solutions; BadRow if it contradicts an earlier row."""
        problem = entry.problem
        problem["id"] = problem["id"] or digest(entry.asked)[:12]
        if not self._solutions and problem["id"] in self._index.positions:
            raise BadRow(f"problem {problem['id']} is there already")
        if not self._solutions and entry.dialog:
            raise BadRow("several turns, a system turn or tools: a benchmark asks one question")
        position = self._index.position(entry, source)
        if position is None:
            self.counts["over_limit"] += 1
            return
        if entry.level_unread or entry.unstripped or entry.own_system:
            self.counts["levels_unread"] += entry.level_unread
            self.counts["unstripped"] += entry.unstripped
            self.counts["own_system"] += entry.own_system
        if position == self.counts["problems"]:
            self.counts["problems"] += 1
            self.counts["without_gold"] += problem["gold"] is None
            self._problems.add(problem)
            if entry.several_golds:
                self.counts["several_golds"] += 1
            if entry.dialog:
                self._add_dialog(problem["id"], entry.dialog)
        self._index.add_tries(position, *entry.tries)
        for number in entry.incomplete:
            self.counts["incomplete"] += 1
            self._rejected.add({"where": where, "reason": f"solution {number}: not complete"})
        for solution in entry.solutions if self._solutions else ():
            self._add_solution(solution, problem["id"], position)

    def _add_dialog(self, problem: str, dialog: str) -> None:
        if self._dialogs is None:
            self._dialogs = BatchedParquet(self._folder / "dialogs.parquet", DIALOGS)
        self.counts["dialogs"] += 1
        self._dialogs.add({"problem": problem, "dialog": dialog})

    def _add_solution(self, solution: Row, problem: str, position: int) -> None:
        assert self._solutions
        self.counts["solutions"] += 1
        row = {
            "id": f"{problem}-{self._index.next_solution(position)}",
            "problem": problem,
            "digest": digest(solution["text"])[:16],
            **solution,
        }
        self._solutions.add(row)

    def _join_pass_rates(self) -> None:
        """Adds the pass rates, known only at the end because several rows may have tries of one problem."""
        rates = pl.Series(self._index.pass_rates(), dtype=pl.Float64).to_arrow()
        with (
            pq.ParquetFile(self._unrated) as unrated,
            pq.ParquetWriter(self._path, PROBLEMS, compression="zstd") as problems,
        ):
            start = 0
            for group in range(unrated.num_row_groups):
                table = unrated.read_row_group(group)
                problems.write_table(table.append_column("pass_rate", rates.slice(start, len(table))))
                start += len(table)
        self._unrated.unlink()
