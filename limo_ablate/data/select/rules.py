"""Rules that say which rows come first: seeded and independent of the pool's own order.

With `random` a problem's place is a hash of (seed, id), so 100 problems are among the 200 of the same seed
whatever else the pool holds, another seed draws others, and arms that differ in their solutions only draw
the same problems.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from limo_ablate.core.errors import UserError
from limo_ablate.data.select.config import RULES


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a selection rule goes by: the rows that passed all filters.

    A rule is a function of them that returns a number for each row, in their order: the lowest come first,
    rows without one (null) last. It must not depend on anything else, for the selection is kept by a key of
    the pool, the configuration and the rule's own source.
    """

    rows: pl.DataFrame
    """A row for each solution: `problem` and `solution` (ids), `row` (its place in the pool), `length`,
    `score`, `tier`, `teacher`, `level`, `pass_rate`, `source`, ...; no texts."""
    unit: str
    """What is ordered, a column: `problem`, or the `solution`s of each problem (`select.best`)."""
    seed: int
    """`select.seed`, for what is drawn: hash it with the ids of `unit`, as `draw` does."""
    texts: Callable[[], pl.DataFrame]
    """Reads each row's `text` (of its problem) and `response` (its solution; null where it has none)."""


def key(rule: str, candidates: Candidates) -> pl.Series:
    """A number for each row by the rule; the lowest come first, rows without one last.

    Raises UserError when no row has what the rule goes by.
    """
    name = rule.removeprefix("-")
    numbers = (RULES.load(name) if name in RULES else by_column(f"-{name}"))(candidates)
    if len(numbers) != candidates.rows.height:
        raise UserError(
            f"rule `{name}` gave {len(numbers)} numbers for {candidates.rows.height} rows; each needs one"
        )
    if len(numbers) and numbers.null_count() == len(numbers):
        raise UserError(_missing(name))
    return -numbers if rule.startswith("-") else numbers


def by_column(column: str) -> Callable[[Candidates], pl.Series]:
    """By a column; with `-` before it the highest come first."""

    def rule(candidates: Candidates) -> pl.Series:
        numbers = candidates.rows[column.removeprefix("-")].cast(pl.Float64)
        return -numbers if column.startswith("-") else numbers

    return rule


longest, shortest = by_column("-length"), by_column("length")
score, residual = by_column("-score"), by_column("-residual")
column, pool = by_column("-given"), by_column("row")


def by_chance(candidates: Candidates) -> pl.Series:
    return draw(candidates.rows[candidates.unit], candidates.seed)


def draw(names: pl.Series, seed: int) -> pl.Series:
    """A pseudo-random whole number for each name, by SHA-256 of seed and name."""

    def number(name: str) -> int:
        return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:7], "big")

    return names.fill_null("").map_elements(number, return_dtype=pl.Int64, skip_nulls=False)


def _missing(rule: str) -> str:
    if rule == "column":
        return "rule `column` goes by a number of each solution; name its column in data.fields.score"
    return f"rule `{rule}` goes by the solutions, and this pool has only questions; use random or pool"
