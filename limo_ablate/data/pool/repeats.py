"""Benchmarks whose file has a row for each sample: the same problem, many times."""

from __future__ import annotations

import logging
from pathlib import Path

import polars as pl

logger = logging.getLogger(__name__)


def leave_out_repeats(folder: Path, name: str, keys: dict[str, str]) -> int:
    """Number of items of the benchmark in `folder`, whose repeated problems are left out of its tables.

    `keys`: problem id -> the same text for the same question and gold answer. Where over half of the rows
    repeat another one, they are samples of a problem, which as items would make every error too small. A few
    repeated rows are as the benchmark was published, and stay.
    """
    problems = pl.read_parquet(folder / "problems.parquet")
    known = pl.Series("key", [keys[problem] for problem in problems["id"]], dtype=pl.String)
    first = known.is_first_distinct()
    items, rows = int(first.sum()), problems.height
    if items == rows:
        return rows
    if 2 * items > rows:
        logger.warning(
            "%s: %d of %d rows repeat an earlier problem, and count again", name, rows - items, rows
        )
        return rows
    logger.warning(
        "%s: its %d rows are %d different problems; repeats are left out (set `samples` for several "
        "completions of each)",
        name,
        rows,
        items,
    )
    rejected = pl.read_parquet(folder / "rejected.parquet")
    repeats = problems.filter(~first).select(
        where=pl.format("{}: problem {}", pl.lit(name), "id"), reason=pl.lit("repeats an earlier problem")
    )
    pl.concat([rejected, repeats]).write_parquet(folder / "rejected.parquet")
    problems.filter(first).write_parquet(folder / "problems.parquet")
    return items
