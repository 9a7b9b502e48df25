"""Builds a selection: applies every filter in turn and records why each row is excluded."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import polars as pl

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import UserError
from limo_ablate.core.typed import installed
from limo_ablate.data.pool.config import PoolConfig
from limo_ablate.data.select import difficulty, quality
from limo_ablate.data.select.config import SelectConfig
from limo_ablate.data.select.correctness import VERDICT_COLUMNS
from limo_ablate.data.select.degenerate import told
from limo_ablate.data.select.filters import (
    MARKED,
    keep_eligible,
    keep_quality,
    keep_same_problems,
    require_solutions,
)
from limo_ablate.data.select.funnel import Funnel
from limo_ablate.data.select.perturb import perturbation
from limo_ablate.data.select.responses import (
    in_shares,
    require_size,
    token_lengths,
    token_matched,
    with_texts,
)
from limo_ablate.data.select.shares import most_rows, with_parts
from limo_ablate.data.select.subset import ordered_rows, strata
from limo_ablate.data.select.token_budget import TokenCounter

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Facts about the pool's rows beyond its own tables; None for those the configuration does not need."""

    features: Artifact
    grades: Artifact | None = None
    """For `select.correctness`, and for pass rates of the pool's own solutions."""
    flags: Artifact | None = None
    """Flags of the contamination gate."""
    rates: Artifact | None = None
    """Pass rates measured by reference models."""
    duplicates: Artifact | None = None
    """For `select.duplicates=drop`."""
    degenerate: Artifact | None = None
    """For `select.degenerate=drop`."""
    clusters: Artifact | None = None
    """For `select.stratify.by=cluster`."""
    counter: TokenCounter | None = None
    """For `select.tokens`, unless the pool has the tokens of its solutions."""


@dataclass(frozen=True, slots=True)
class Selected:
    rows: pl.DataFrame
    """`rows.parquet`, in training order."""
    candidates: pl.DataFrame
    """The rows that passed all filters except that by quality; without texts."""
    funnel: Funnel


def select(
    store: Store, config: SelectConfig, data: PoolConfig, pool: Artifact, evidence: Evidence
) -> Artifact:
    """`rows.parquet` and `funnel.json`. Raises UserError with the funnel if too few rows pass."""
    counter = evidence.counter
    inputs = {
        "select": config,
        "difficulty": [data.difficulty.measure, data.difficulty.bands],
        "pool": pool,
        "evidence": [
            evidence.features,
            evidence.grades,
            evidence.flags,
            evidence.rates,
            evidence.duplicates,
            evidence.clusters,
        ],
        "tokenizer": counter.digest if counter else None,
        **({"degenerate": evidence.degenerate} if evidence.degenerate else {}),
        **installed(config),
    }

    def make(folder: Path) -> None:
        selected = choose_rows(config, data, pool, evidence)
        selected.rows.write_parquet(folder / "rows.parquet")
        steps = [asdict(step) for step in selected.funnel.steps]
        (folder / "funnel.json").write_text(json.dumps(steps, indent=1) + "\n")

    return store.build("selection", inputs, make)


def choose_rows(config: SelectConfig, data: PoolConfig, pool: Artifact, evidence: Evidence) -> Selected:
    """The chosen rows, and why each other row is excluded. Raises UserError if too few rows pass."""
    funnel, candidates = _filtered(config, data, pool, evidence)
    change = perturbation(config.perturb, config.score.phrases(), config.seed)
    ordered = partial(_ordered, config=config, data=data, pool=pool, clusters=evidence.clusters)
    rows = _take_subset(funnel, candidates, config, ordered, token_lengths(pool, evidence.counter, change))
    features = [name for name in config.score.weights if name != "elaborated"]
    features += [name for name in VERDICT_COLUMNS if name in rows.columns]
    rows = with_texts(rows, pool, change, features)
    if config.degenerate == "keep" and (line := told(rows["response"])):
        log.warning(
            "of %d chosen examples, %s; select.degenerate=drop leaves such solutions out", rows.height, line
        )
    return Selected(rows, candidates, funnel)


def available_rows(config: SelectConfig, data: PoolConfig, pool: Artifact, evidence: Evidence) -> Funnel:
    """The funnel with all rows that a selection may choose among: its size, token budget and order are left
    out. Raises UserError where no row is left."""
    funnel, _ = _filtered(config, data, pool, evidence)
    nth = pl.int_range(pl.len()).over("problem")
    rows = funnel.rows.filter(nth < max(1, config.solutions))
    most = rows.height
    if config.shares:
        most = min(most, most_rows(with_parts(funnel.rows, config, data), config))
    funnel.replace(f"{config.solutions} a problem", rows, "one of more solutions")
    if config.shares:
        funnel.replace("shares", rows.head(most), "not in the shares")
    return funnel


def _filtered(
    config: SelectConfig, data: PoolConfig, pool: Artifact, evidence: Evidence
) -> tuple[Funnel, pl.DataFrame]:
    """All filters applied; and the candidates, the rows of all tiers."""
    funnel = Funnel(_index(pool, evidence, data, config))
    if funnel.rows["solution"].null_count() == funnel.rows.height:
        require_solutions(config)
    keep_eligible(funnel, config, evidence.duplicates, evidence.flags, evidence.degenerate)
    difficulty.keep(funnel, config.difficulty, data)
    if config.same_problems:
        keep_same_problems(funnel)
    candidates = funnel.rows
    keep_quality(funnel, config)
    return funnel, candidates


def _index(pool: Artifact, evidence: Evidence, data: PoolConfig, config: SelectConfig) -> pl.DataFrame:
    """All facts about each solution except its text; a problem without solutions is one row."""
    marks = ["correct"] if config.correctness in MARKED else []
    problems = pl.read_parquet(pool.path / "problems.parquet").drop("text").rename({"id": "problem"})
    solutions = pl.read_parquet(
        pool.path / "solutions.parquet",
        columns=["id", "problem", "tier", "teacher", "tokens", "score", "digest", *marks],
    ).rename({"id": "solution", "score": "given"})
    known = [evidence.features.path / "features.parquet"]
    known += [evidence.grades.path / "grades.parquet"] if evidence.grades else []
    for table in known:
        solutions = solutions.join(pl.read_parquet(table), on="solution", how="left", maintain_order="left")
    problems = difficulty.with_pass_rates(problems, solutions, data, evidence.rates)
    if not config.solutions:
        solutions = solutions.clear()
    rows = problems.join(solutions, on="problem", how="left", maintain_order="left")
    return rows.with_row_index("row")


def _take_subset(
    funnel: Funnel,
    candidates: pl.DataFrame,
    config: SelectConfig,
    ordered: Callable[[pl.DataFrame], pl.DataFrame],
    counts: Callable[[pl.DataFrame], list[int]],
) -> pl.DataFrame:
    """The first rows by the rules, for the given size or token budget. `candidates` has the rows of all
    tiers."""
    rows = ordered(funnel.rows)
    if config.shares:
        rows = rows if config.tokens is not None else in_shares(rows, config)
        funnel.replace("shares", rows, f"not in the shares of {config.shares_by}, or its problem is taken")
    else:
        funnel.replace(f"{config.solutions} a problem", rows, f"another one comes first by {config.best}")
    if config.perturb != "none":  # the pool's token counts are not those of the changed texts
        rows = rows.with_columns(tokens=pl.lit(None, pl.Int64))
    if config.tokens is not None:
        arms = _arms(candidates, ordered) if config.tokens == "match" else {}
        rows = token_matched(rows, arms, config, counts, funnel)
        funnel.replace(f"tokens={config.tokens}", rows, "not needed for this many tokens")
    elif config.size is not None:
        require_size(rows, config.size, funnel)
        rows = rows.head(config.size)
        funnel.replace(f"size={config.size}", rows, f"comes later by {config.order}")
    return rows


def _arms(
    candidates: pl.DataFrame, ordered: Callable[[pl.DataFrame], pl.DataFrame]
) -> dict[str, pl.DataFrame]:
    """The ordered rows of each tier. Raises UserError for a tier without a part of `select.shares`."""
    arms = {}
    for (tier,), arm in candidates.group_by("tier", maintain_order=True):
        if tier in quality.TIERS:
            try:
                arms[str(tier)] = ordered(arm)
            except UserError as error:
                raise UserError(f"select.tokens=match: tier {tier}: {error}") from error
    return arms


def _ordered(
    rows: pl.DataFrame, config: SelectConfig, data: PoolConfig, pool: Artifact, clusters: Artifact | None
) -> pl.DataFrame:
    if clusters:
        found = pl.read_parquet(clusters.path / "clusters.parquet")
        rows = rows.join(found, on="problem", how="left", maintain_order="left")
    if config.shares:
        rows = with_parts(rows, config, data)
    if config.stratify:
        rows = rows.with_columns(strata(rows, config, difficulty.column(data)))
    return ordered_rows(rows, config, partial(with_texts, rows, pool, lambda text, gold: text))
