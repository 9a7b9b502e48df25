"""Selection rules, which decide which rows come first: seeded, and independent of the pool's order.

With `random`, a problem's position is a hash of (seed, id). So 100 problems are always among the 200 problems
of the same seed, another seed gives another order, and arms that differ only in solutions have the same
problems.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import polars as pl

from limo_ablate.core.errors import UserError
from limo_ablate.data.select.config import RULES


@dataclass(frozen=True, slots=True)
class Candidates:
    """The input of a selection rule: the rows that passed all filters."""

    rows: pl.DataFrame
    """A row for each solution: `problem` and `solution` (ids), `row` (its position in the pool), `length`,
    `score`, `tier`, `teacher`, `level`, `pass_rate`, `source`, ...; without texts."""
    unit: str
    """The column to order by: `problem`, or `solution` for the solutions of a problem (`select.best`)."""
    seed: int
    """`select.seed`: for random order, hash it with the ids of `unit`, as `random_numbers` does."""
    texts: Callable[[], pl.DataFrame]
    """Reads each row's `text` (of its problem) and `response` (its solution; null if it has none)."""


Rule: TypeAlias = Callable[[Candidates], pl.Series]
"""An entry of `limo_ablate.selection_rules`: returns a number for each row, in the order of the rows; the
lowest come first, null last. It must not depend on anything else, because a selection's key contains only
the pool, the configuration and the rule's own source."""


def sort_key(rule: str, candidates: Candidates) -> pl.Series:
    """A number for each row by the rule; the lowest come first, null last.

    Raises UserError if no row has a number.
    """
    name = rule.removeprefix("-")
    function: Rule = RULES.load(name) if name in RULES else by_column(f"-{name}")
    numbers = function(candidates)
    if len(numbers) != candidates.rows.height:
        raise UserError(
            f"rule `{name}` gave {len(numbers)} numbers for {candidates.rows.height} rows; each needs one"
        )
    if len(numbers) and numbers.null_count() == len(numbers):
        raise UserError(_nothing_to_sort_by(name))
    return -numbers if rule.startswith("-") else numbers


def by_column(column: str) -> Rule:
    """A rule that orders by a column; `-` before it puts the highest first."""

    def rule(candidates: Candidates) -> pl.Series:
        numbers = candidates.rows[column.removeprefix("-")].cast(pl.Float64)
        return -numbers if column.startswith("-") else numbers

    return rule


longest, shortest = by_column("-length"), by_column("length")
score, residual = by_column("-score"), by_column("-residual")
column, pool = by_column("-given"), by_column("row")


def by_chance(candidates: Candidates) -> pl.Series:
    return random_numbers(candidates.rows[candidates.unit], candidates.seed)


def random_numbers(names: pl.Series, seed: int) -> pl.Series:
    """A pseudo-random integer for each name, from the SHA-256 of seed and name."""

    def number(name: str) -> int:
        return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:7], "big")

    return names.fill_null("").map_elements(number, return_dtype=pl.Int64, skip_nulls=False)


def _nothing_to_sort_by(rule: str) -> str:
    if rule == "column":
        return "rule `column` orders by a number of each solution; name its column in data.fields.score"
    return f"rule `{rule}` orders by solutions, and this pool has only questions; use random or pool"
