"""The texts of chosen rows and their tokens: read for the rows that need them, never for the whole pool."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from limo_ablate.core.artifacts import Artifact
from limo_ablate.core.errors import UserError
from limo_ablate.data.select.config import SelectConfig
from limo_ablate.data.select.token_budget import TokenCounter, fill

COLUMNS = (
    "problem", "solution", "text", "response", "gold", "source", "level", "subject", "pass_rate",
    "tier", "teacher", "score", "length", "tokens",
)  # fmt: skip
WINDOW = 2_000
"""Rows whose tokens are counted first; more are only when these don't do."""

Change = Callable[[str, str], str]
"""(response, gold) -> response: the perturbation."""


def with_texts(
    rows: pl.DataFrame, pool: Artifact, change: Change, features: Sequence[str] = ()
) -> pl.DataFrame:
    """`rows.parquet`: the rows with their problem's text, their response, perturbed, and their features."""
    texts = (
        pl.scan_parquet(pool.path / "problems.parquet")
        .select(problem="id", text="text")
        .filter(pl.col("problem").is_in(rows["problem"].unique().implode()))
        .collect()
    )
    responses = (
        pl.scan_parquet(pool.path / "solutions.parquet")
        .select(solution="id", response="text")
        .filter(pl.col("solution").is_in(rows["solution"].drop_nulls().implode()))
        .collect(engine="streaming")
    )
    joined = rows.join(texts, on="problem", how="left", maintain_order="left")
    joined = joined.join(responses, on="solution", how="left", maintain_order="left")
    changed = [
        None if response is None else change(response, gold)
        for response, gold in joined.select("response", "gold").iter_rows()
    ]
    return joined.with_columns(pl.Series("response", changed, dtype=pl.String)).select(*COLUMNS, *features)


def require_size(rows: pl.DataFrame, size: int, funnel: str) -> None:
    """UserError, with the funnel's counts, when there are fewer rows than that."""
    if rows.height < size:
        raise UserError(f"select.size={size}, but only {rows.height} rows pass ({funnel})")


def token_matched(
    rows: pl.DataFrame,
    arms: dict[str, pl.DataFrame],
    config: SelectConfig,
    counts: Callable[[pl.DataFrame], list[int]],
    funnel: str,
) -> pl.DataFrame:
    """Rows that have `config.tokens` response tokens together, with `config.size` exactly so many rows.

    For `match`, `arms` are the tiers' rows in order: the arm whose first `size` rows have the fewest tokens
    says how many. Raises UserError when that can't be met.
    """
    if config.tokens == "match":
        if not arms:
            raise UserError(f"select.tokens=match: none of these rows is of a tier L1 to L5 ({funnel})")
        target, size = min(_arm_tokens(name, arm, config, counts) for name, arm in arms.items()), None
    else:
        assert config.tokens is not None
        target, size = config.tokens, config.size
        require_size(rows, size or 1, funnel)
    window = max(WINDOW, 2 * (size or 0))
    while True:
        part = rows.head(window)
        lengths = counts(part)
        try:
            if sum(lengths) >= target or part.height == rows.height:
                places = fill(lengths, target, size)
                return part[places].with_columns(
                    tokens=pl.Series([lengths[i] for i in places], dtype=pl.Int64)
                )
        except UserError as error:
            if part.height == rows.height:
                raise _for_match(error, target, config) from error
        window *= 4


def _for_match(error: UserError, target: int, config: SelectConfig) -> UserError:
    if config.tokens != "match":
        return error
    return UserError(
        f"select.tokens=match: the tier with the fewest tokens has {target} in its first {config.size} rows, "
        f"which can't be met here; a larger select.size can ({error})"
    )


def _arm_tokens(
    name: str, arm: pl.DataFrame, config: SelectConfig, counts: Callable[[pl.DataFrame], list[int]]
) -> int:
    assert config.size is not None
    if arm.height < config.size:
        raise UserError(
            f"select.tokens=match: tier {name} has only {arm.height} rows, select.size={config.size}; "
            "lower the size or give a number of tokens"
        )
    return sum(counts(arm.head(config.size)))


def counting(
    pool: Artifact, counter: TokenCounter | None, change: Change
) -> Callable[[pl.DataFrame], list[int]]:
    """How rows' response tokens are counted: as the pool says, or by the base model's tokenizer."""

    def counts(rows: pl.DataFrame) -> list[int]:
        if counter is None:
            return rows["tokens"].to_list()
        return counter.count(with_texts(rows, pool, change)["response"].to_list())

    return counts
