"""Filters problems by difficulty: by level (higher is harder) or by pass rate (lower is harder)."""

from __future__ import annotations

import polars as pl

from limo_ablate.core.artifacts import Artifact
from limo_ablate.core.errors import UserError
from limo_ablate.data.pool.config import PoolConfig
from limo_ablate.data.select.funnel import Funnel


def column(data: PoolConfig) -> str:
    """The column that holds what `data.difficulty` measures."""
    return "level" if data.difficulty.measure == "level" else "pass_rate"


def with_pass_rates(
    problems: pl.DataFrame, solutions: pl.DataFrame, data: PoolConfig, measured: Artifact | None
) -> pl.DataFrame:
    """`problems` with the pass rate according to `data.difficulty`, and a note where it is missing.

    A pass rate is right / (right + wrong): undecided completions are left out.
    """
    problems = problems.with_columns(note=pl.lit(None, pl.String))
    if data.difficulty.measure == "solutions" and "status" in solutions.columns:
        rate = (pl.col("status") == "correct").sum() / (pl.col("status") != "undecided").sum()
        rates = solutions.group_by("problem").agg(rate.fill_nan(None).alias("pass_rate"))
        problems = problems.drop("pass_rate").join(rates, on="problem", how="left", maintain_order="left")
    elif measured is not None:
        rates = pl.read_parquet(measured.path / "rates.parquet").select("problem", "pass_rate", "note")
        problems = problems.drop("pass_rate", "note").join(
            rates, on="problem", how="left", maintain_order="left"
        )
    return problems


def keep(funnel: Funnel, difficulty: float | str, data: PoolConfig) -> None:
    """Keeps problems in the band or beyond the threshold; `any` also keeps those without a level or rate.

    Raises UserError if no problem of the pool has one.
    """
    if difficulty == "any":
        return
    name = column(data)
    if funnel.rows[name].null_count() == funnel.rows.height:
        notes = funnel.rows["note"].drop_nulls()
        if notes.len():
            raise UserError(
                f"select.difficulty={difficulty}: no problem has a {name}; most often because: "
                f"{notes.mode().sort()[0]}"
            )
        raise UserError(
            f"select.difficulty={difficulty}: no problem of data={data.name} has a {name}; name its "
            f"column in data.fields.{name}, or measure it (data/difficulty=...)"
        )
    value = pl.col(name)
    if isinstance(difficulty, str):
        low, high = data.difficulty.bands[difficulty]
        kept, wanted = value.is_between(low, high), f"{low:g} to {high:g}"
    elif name == "level":
        kept, wanted = value >= difficulty, f"at least {difficulty:g}"
    else:
        kept, wanted = value <= difficulty, f"at most {difficulty:g}"
    unknown = pl.coalesce("note", pl.lit(f"no {name}"))
    given = pl.format("{} {} is not {}", pl.lit(name), value, pl.lit(wanted))
    funnel.keep(f"difficulty={difficulty}", kept, pl.when(value.is_null()).then(unknown).otherwise(given))
