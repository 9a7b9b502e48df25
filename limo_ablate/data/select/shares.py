"""Mixtures: `select.shares`, such as 70 % of the rows from one source and 30 % from another.

Every prefix of the order has the shares, as nearly as whole rows can (Webster's method), so that smaller
mixtures are part of larger ones. A problem that has solutions of several teachers or tiers is taken once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import polars as pl

from limo_ablate.core.errors import UserError
from limo_ablate.core.typed import nearest
from limo_ablate.data.pool.config import PoolConfig
from limo_ablate.data.select.config import SelectConfig
from limo_ablate.data.select.difficulty import column
from limo_ablate.data.select.token_budget import choose_for_budget

LISTED = 20
"""Values that an error lists at most."""
Counts = Callable[[pl.DataFrame], list[int]]


def with_parts(rows: pl.DataFrame, config: SelectConfig, data: PoolConfig) -> pl.DataFrame:
    """The rows that belong to a part of the mixture, which is their `stratum`.

    Raises UserError for a part that no row belongs to.
    """
    assert config.shares
    rows = rows.with_columns(_part(config.shares, config.shares_by, data).alias("stratum"))
    known = rows["stratum"].drop_nulls().unique().sort().to_list()
    wanted = [name for name, share in config.shares.items() if share]
    if missing := next((name for name in wanted if name not in known), None):
        by = column(data) if config.shares_by == "difficulty" else config.shares_by
        values = [str(value) for value in rows[by].unique().sort()]
        raise UserError(
            f"select.shares.{missing}: no row that passes has this {by}{nearest(missing, values)} "
            f"There are: {', '.join(values[:LISTED])}{', ...' if len(values) > LISTED else ''}"
        )
    return rows.filter(pl.col("stratum").is_in(wanted))


def _part(shares: Mapping[str, float], by: str, data: PoolConfig) -> pl.Expr:
    """The name of the part that a row belongs to; other names, or null, of rows without one."""
    if by not in ("difficulty", "level"):
        return pl.col(by)
    levels, bands = pl.col("level"), data.difficulty.bands
    if by == "level":
        inside = {name: levels == _number(name) for name in shares}
    elif unknown := next((name for name in shares if name not in bands), None):
        raise UserError(
            f"select.shares.{unknown}: not a band of data.difficulty{nearest(unknown, bands)} "
            f"Bands: {', '.join(bands)}"
        )
    else:
        inside = {name: pl.col(column(data)).is_between(*bands[name]) for name in sorted(shares)}
    return pl.coalesce(*(pl.when(there).then(pl.lit(name)) for name, there in inside.items()))


def _number(name: str) -> float:
    try:
        return float(name)
    except ValueError:
        raise UserError(f"select.shares.{name}: not a level; levels are numbers") from None


def mixed(units: pl.DataFrame, shares: Mapping[str, float]) -> pl.DataFrame:
    """problem, stratum, _place, in_shares, of each problem once.

    `units`: problem, stratum and its number of rows, in the order of the selection rule. `in_shares` is false
    from where on a part is used up: what follows is in order, but no longer in the shares.
    """
    waiting: dict[str, Iterator[Any]] = {name: iter(()) for name in sorted(shares) if shares[name]}
    for (name,), part in units.group_by("stratum", maintain_order=True):
        waiting[str(name)] = part.select("problem", "rows").iter_rows()
    rows, taken, places, whole = dict.fromkeys(waiting, 0), set(), [], True
    while waiting:
        name = min(waiting, key=lambda part: (rows[part] + 0.5) / shares[part])
        unit = next((unit for unit in waiting[name] if unit[0] not in taken), None)
        if unit is None:
            whole = False
            del waiting[name]
            continue
        taken.add(unit[0])
        rows[name] += unit[1]
        places.append((unit[0], name, whole))
    schema = {"problem": pl.String, "stratum": pl.String, "in_shares": pl.Boolean}
    return pl.DataFrame(places, schema=schema, orient="row").with_row_index("_place")


def most_rows(rows: pl.DataFrame, config: SelectConfig) -> int:
    """Rows that a mixture of these, the output of `with_parts`, can have at most."""
    assert config.shares
    nth = pl.int_range(pl.len()).over("problem", "stratum")
    kept = rows.filter(nth < max(1, config.solutions))
    counts = dict(kept.group_by("stratum").len().iter_rows())
    return int(min((counts[name] + 0.5) / share for name, share in config.shares.items() if share))


def mixed_budget(
    rows: pl.DataFrame, target: int, size: int | None, shares: Mapping[str, float], counts: Counts
) -> pl.DataFrame:
    """Rows with `target` tokens, in order: each part has its share of them or, if `size` is set, of the rows.

    Raises UserError for a part that can't have its share.
    """
    rows = rows.with_row_index("_at")
    first = rows.filter("in_shares").head(size) if size else rows.clear()
    tokens = counts(first)
    parts = []
    for name, share in sorted(shares.items()):
        if not share:
            continue
        part, mine = rows.filter(pl.col("stratum") == name), (first["stratum"] == name).to_list()
        own = sum(count for count, is_mine in zip(tokens, mine, strict=True) if is_mine)
        budget = round(target * (own / sum(tokens) if size else share))
        lengths = counts(part)
        try:
            places = choose_for_budget(lengths, budget, sum(mine) if size else None)
        except UserError as error:
            raise UserError(f"select.shares.{name}={share:g}: {error}") from error
        parts.append(
            part[places].with_columns(tokens=pl.Series([lengths[i] for i in places], dtype=pl.Int64))
        )
    return pl.concat(parts).sort("_at").drop("_at")
