"""Rules that say which rows come first: seeded and independent of the pool's own order.

With `random` a problem's place is a hash of (seed, id), so 100 problems are among the 200 of the same seed
whatever else the pool holds, another seed draws others, and arms that differ in their solutions only draw
the same problems.
"""

from __future__ import annotations

import hashlib

import polars as pl

from limo_ablate.core.errors import UserError

COLUMNS = {
    "longest": "-length",
    "shortest": "length",
    "score": "-score",
    "residual": "-residual",
    "column": "-given",
    "pool": "row",
}
"""Rule -> the column it goes by, `-` where the highest come first. Other rules are features."""


def key(rows: pl.DataFrame, rule: str, seed: int, unit: str) -> pl.Series:
    """A number for each row; the lowest come first, rows without one last.

    `unit` is the column that `random` draws by, `problem` or `solution`. Raises UserError when no row has
    what the rule goes by.
    """
    name = rule.removeprefix("-")
    if name == "random":
        numbers = draw(rows[unit], seed)
    else:
        column = COLUMNS.get(name, f"-{name}")
        numbers = rows[column.removeprefix("-")].cast(pl.Float64)
        if rows.height and numbers.null_count() == rows.height:
            raise UserError(_missing(name))
        numbers = -numbers if column.startswith("-") else numbers
    return -numbers if rule.startswith("-") else numbers


def draw(names: pl.Series, seed: int) -> pl.Series:
    """A pseudo-random whole number for each name, by SHA-256 of seed and name."""

    def number(name: str) -> int:
        return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:7], "big")

    return names.fill_null("").map_elements(number, return_dtype=pl.Int64, skip_nulls=False)


def _missing(rule: str) -> str:
    if rule == "column":
        return "rule `column` goes by a number of each solution; name its column in data.fields.score"
    return f"rule `{rule}` goes by the solutions, and this pool has only questions; use random or pool"
