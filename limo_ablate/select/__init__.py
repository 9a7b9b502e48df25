"""From the pool to the training rows of a cell: difficulty, quality, one solution a problem, subset.

`select` writes `rows.parquet` in training order and `funnel.json`, the rows left after each filter.
"""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from limo_ablate.artifacts import Artifact, Store
from limo_ablate.config import DataConfig, SelectConfig
from limo_ablate.errors import UserError
from limo_ablate.select import quality
from limo_ablate.select.subset import one_per_problem, ordered

VERSION = 1

__all__ = ["select"]

Funnel = list[tuple[str, int]]


def select(store: Store, config: SelectConfig, data: DataConfig, pool: Artifact) -> Artifact:
    """The rows of the cell. Raises UserError, with the funnel, when fewer than `select.size` pass."""
    inputs = {"select": config, "difficulty": data.difficulty, "score": quality.VERSION, "pool": pool}
    return store.build("selection", VERSION, inputs, lambda folder: _write(config, data, pool, folder))


def _write(config: SelectConfig, data: DataConfig, pool: Artifact, folder: Path) -> None:
    rows, funnel = _filtered(config, data, pool)
    if config.size is not None:
        if rows.height < config.size:
            steps = " -> ".join(f"{name}: {count}" for name, count in funnel)
            raise UserError(f"select.size={config.size}, but only {rows.height} rows pass ({steps})")
        rows = rows.head(config.size)
        funnel.append((f"size={config.size}", rows.height))
    rows.write_parquet(folder / "rows.parquet")
    (folder / "funnel.json").write_text(json.dumps(funnel, indent=1) + "\n")


def _filtered(config: SelectConfig, data: DataConfig, pool: Artifact) -> tuple[pl.DataFrame, Funnel]:
    problems = pl.read_parquet(pool.path / "problems.parquet")
    solutions = pl.read_parquet(pool.path / "solutions.parquet")
    solutions = solutions.with_columns(quality.chain_scores(solutions))
    if solutions["tier"].null_count():
        solutions = solutions.with_columns(quality.tiers_by_score(solutions["score"]))
    rows = _joined(problems, solutions)
    funnel: Funnel = [("problems", problems.height), ("solutions", rows.height)]
    rows = rows.filter(_difficulty(config.difficulty, data))
    funnel.append((f"difficulty={config.difficulty}", rows.height))
    rows = rows.filter(_quality(config.quality))
    funnel.append((f"quality={config.quality}", rows.height))
    rows = one_per_problem(ordered(rows, config.order, config.seed))
    funnel.append(("one solution a problem", rows.height))
    return rows, funnel


def _joined(problems: pl.DataFrame, solutions: pl.DataFrame) -> pl.DataFrame:
    """`rows.parquet`'s columns: one row a solution, in the pool's order."""
    solutions = solutions.rename({"id": "solution", "text": "response"})
    facts = problems.rename({"id": "problem"}).drop("source")
    rows = solutions.join(facts, on="problem", how="inner", maintain_order="left")
    columns = ["problem", "solution", "text", "response", "gold", "level", "pass_rate", "tier", "score"]
    return rows.select(columns)


def _difficulty(difficulty: float | str, data: DataConfig) -> pl.Expr:
    """`level` is harder upwards, `pass_rate` downwards; problems without the number are in `any` only."""
    if difficulty == "any":
        return pl.lit(True)
    column = pl.col(data.difficulty.column)
    if isinstance(difficulty, str):
        low, high = data.difficulty.bands[difficulty]
        return column.is_between(low, high)
    return column >= difficulty if data.difficulty.column == "level" else column <= difficulty


def _quality(tier: str) -> pl.Expr:
    """`any` is any of L1..L5: the controls are only for those who ask for them."""
    return pl.col("tier").is_in(quality.TIERS) if tier == "any" else pl.col("tier") == tier
