"""Reads texts and counts tokens, of the rows that need them and never of the whole pool."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl

from limo_ablate.core.artifacts import Artifact
from limo_ablate.core.errors import UserError
from limo_ablate.core.text import counted
from limo_ablate.data.select.config import SelectConfig
from limo_ablate.data.select.funnel import Funnel
from limo_ablate.data.select.shares import mixed_budget
from limo_ablate.data.select.token_budget import TokenCounter, choose_for_budget

COLUMNS = (
    "problem", "solution", "text", "response", "gold", "source", "level", "subject", "pass_rate",
    "tier", "teacher", "score", "length", "tokens",
)  # fmt: skip
WINDOW = 2_000
"""Number of rows whose tokens are counted first; more are counted only if these are not enough."""

Perturb = Callable[[str, str], str]
"""A perturbation: (response, gold) -> response."""


def with_texts(
    rows: pl.DataFrame, pool: Artifact, change: Perturb, features: Sequence[str] = ()
) -> pl.DataFrame:
    """The content of `rows.parquet`: rows with their problem's text, perturbed response and features."""
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
    columns = [*COLUMNS, *features]
    if (dialogs := pool.path / "dialogs.parquet").exists():
        joined = joined.join(pl.read_parquet(dialogs), on="problem", how="left", maintain_order="left")
        columns.append("dialog")
    return joined.with_columns(pl.Series("response", changed, dtype=pl.String)).select(columns)


def require_size(rows: pl.DataFrame, size: int, funnel: Funnel) -> None:
    """UserError with the funnel's counts if there are fewer than `size` rows."""
    if rows.height < size:
        count = counted(rows.height, "row")
        verb = "passes" if rows.height == 1 else "pass"
        raise UserError(f"select.size={size}, but only {count} {verb} ({funnel.text()}){funnel.advice()}")


def token_matched(
    rows: pl.DataFrame,
    arms: dict[str, pl.DataFrame],
    config: SelectConfig,
    counts: Callable[[pl.DataFrame], list[int]],
    funnel: Funnel,
) -> pl.DataFrame:
    """Rows with `config.tokens` response tokens in total; exactly `config.size` rows if that is set.

    For `match`, `arms` holds the ordered rows of each tier: the smallest number of tokens in the first `size`
    rows of a tier is the budget. Raises UserError if the budget can't be met.
    """
    if config.tokens == "match":
        if not arms:
            raise UserError(f"select.tokens=match: no row has a tier L1 to L5 ({funnel.text()})")
        target, size = min(_arm_tokens(name, arm, config, counts) for name, arm in arms.items()), None
    else:
        assert config.tokens is not None
        target, size = config.tokens, config.size
        require_size(in_shares(rows, config), size or 1, funnel)
    try:
        if config.shares:
            return mixed_budget(rows, target, size, config.shares, counts)
        return _of_first_rows(rows, target, size, counts)
    except UserError as error:
        raise _explain_match(error, target, config) from error


def _of_first_rows(
    rows: pl.DataFrame, target: int, size: int | None, counts: Callable[[pl.DataFrame], list[int]]
) -> pl.DataFrame:
    """The rows that meet the budget; only as many are counted as are needed."""
    window = max(WINDOW, 2 * (size or 0))
    while True:
        part = rows.head(window)
        lengths = counts(part)
        try:
            if sum(lengths) >= target or part.height == rows.height:
                places = choose_for_budget(lengths, target, size)
                return part[places].with_columns(
                    tokens=pl.Series([lengths[i] for i in places], dtype=pl.Int64)
                )
        except UserError:
            if part.height == rows.height:
                raise
        window *= 4


def in_shares(rows: pl.DataFrame, config: SelectConfig) -> pl.DataFrame:
    """The first rows of the order, up to where a part of `config.shares` is used up; all without shares."""
    return rows.filter("in_shares") if config.shares else rows


def _explain_match(error: UserError, target: int, config: SelectConfig) -> UserError:
    if config.tokens != "match":
        return error
    return UserError(
        f"select.tokens=match: the tier with the fewest tokens has {target} in its first {config.size} rows, "
        f"which this tier can't match; increase select.size ({error})"
    )


def _arm_tokens(
    name: str, arm: pl.DataFrame, config: SelectConfig, counts: Callable[[pl.DataFrame], list[int]]
) -> int:
    assert config.size is not None
    arm = in_shares(arm, config)
    if arm.height < config.size:
        raise UserError(
            f"select.tokens=match: tier {name} has only {arm.height} rows, select.size={config.size}; "
            "lower the size or give a number of tokens"
        )
    return sum(counts(arm.head(config.size)))


def token_lengths(
    pool: Artifact, counter: TokenCounter | None, change: Perturb
) -> Callable[[pl.DataFrame], list[int]]:
    """A function that counts rows' response tokens: from the pool, or by the base model's tokenizer."""

    def counts(rows: pl.DataFrame) -> list[int]:
        if counter is None:
            return rows["tokens"].to_list()
        return counter.count(with_texts(rows, pool, change)["response"].to_list())

    return counts
