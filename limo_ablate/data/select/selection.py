"""The selection itself: every filter in turn, each row that goes with its reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import polars as pl

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.typed import installed
from limo_ablate.data.pool.config import PoolConfig
from limo_ablate.data.select import difficulty, quality
from limo_ablate.data.select.config import SelectConfig
from limo_ablate.data.select.correctness import READ
from limo_ablate.data.select.filters import keep_fit, keep_quality, keep_same_problems, refuse_for_questions
from limo_ablate.data.select.funnel import Funnel
from limo_ablate.data.select.perturb import perturbation
from limo_ablate.data.select.responses import counting, require_size, token_matched, with_texts
from limo_ablate.data.select.subset import in_order, strata
from limo_ablate.data.select.token_budget import TokenCounter

VERSION = 2


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of the pool's rows beyond what they carry; null where the configuration asks for none."""

    features: Artifact
    grades: Artifact | None = None
    """For `select.correctness`, and for pass rates of the pool's own solutions."""
    flags: Artifact | None = None
    """Of the contamination gate."""
    rates: Artifact | None = None
    """Pass rates measured by reference models."""
    duplicates: Artifact | None = None
    """For `select.duplicates=drop`."""
    clusters: Artifact | None = None
    """For `select.stratify.by=cluster`."""
    counter: TokenCounter | None = None
    """For `select.tokens`, unless the pool carries the tokens of its solutions."""


@dataclass(frozen=True, slots=True)
class Selected:
    rows: pl.DataFrame
    """`rows.parquet`, in training order."""
    candidates: pl.DataFrame
    """The rows that passed all filters but those of quality; no texts."""
    funnel: Funnel


def select(
    store: Store, config: SelectConfig, data: PoolConfig, pool: Artifact, evidence: Evidence
) -> Artifact:
    """`rows.parquet` and `funnel.json`. Raises UserError, with the funnel, when too few rows pass."""
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
        **installed(config),
    }

    def make(folder: Path) -> None:
        selected = curate(config, data, pool, evidence)
        selected.rows.write_parquet(folder / "rows.parquet")
        steps = [asdict(step) for step in selected.funnel.steps]
        (folder / "funnel.json").write_text(json.dumps(steps, indent=1) + "\n")

    return store.build("selection", VERSION, inputs, make)


def curate(config: SelectConfig, data: PoolConfig, pool: Artifact, evidence: Evidence) -> Selected:
    """The chosen rows and why each other row of the pool went. Raises UserError when too few pass."""
    funnel = Funnel(_index(pool, evidence, data, config))
    if funnel.rows["solution"].null_count() == funnel.rows.height:
        refuse_for_questions(config)
    keep_fit(funnel, config, evidence.duplicates, evidence.flags)
    difficulty.keep(funnel, config.difficulty, data)
    if config.same_problems:
        keep_same_problems(funnel)
    candidates = funnel.rows
    keep_quality(funnel, config)
    change = perturbation(config.perturb, config.score.phrases(), config.seed)
    ordered = partial(_ordered, config=config, data=data, pool=pool, clusters=evidence.clusters)
    rows = _cut(funnel, candidates, config, ordered, counting(pool, evidence.counter, change))
    features = [name for name in config.score.weights if name != "elaborated"]
    features += [name for name in READ if name in rows.columns]
    return Selected(with_texts(rows, pool, change, features), candidates, funnel)


def _index(pool: Artifact, evidence: Evidence, data: PoolConfig, config: SelectConfig) -> pl.DataFrame:
    """All that is known of each solution but its text; a problem without one is a row of its own."""
    problems = pl.read_parquet(pool.path / "problems.parquet").drop("text").rename({"id": "problem"})
    solutions = pl.read_parquet(
        pool.path / "solutions.parquet",
        columns=["id", "problem", "tier", "teacher", "tokens", "score", "digest"],
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


def _cut(
    funnel: Funnel,
    candidates: pl.DataFrame,
    config: SelectConfig,
    ordered: Callable[[pl.DataFrame], pl.DataFrame],
    counts: Callable[[pl.DataFrame], list[int]],
) -> pl.DataFrame:
    """The first rows by the rules, as many as size or tokens want. `candidates` are those of all tiers."""
    rows = ordered(funnel.rows)
    funnel.replace(f"{config.solutions} a problem", rows, f"another one comes first by {config.best}")
    if config.perturb != "none":  # whatever tokens the pool carries are not those of the changed texts
        rows = rows.with_columns(tokens=pl.lit(None, pl.Int64))
    if config.tokens is not None:
        arms = {
            str(tier): ordered(arm)
            for (tier,), arm in candidates.group_by("tier", maintain_order=True)
            if tier in quality.TIERS
        }
        rows = token_matched(rows, arms, config, counts, funnel.text())
        funnel.replace(f"tokens={config.tokens}", rows, "not needed for this many tokens")
    elif config.size is not None:
        require_size(rows, config.size, funnel.text())
        rows = rows.head(config.size)
        funnel.replace(f"size={config.size}", rows, f"comes later by {config.order}")
    return rows


def _ordered(
    rows: pl.DataFrame, config: SelectConfig, data: PoolConfig, pool: Artifact, clusters: Artifact | None
) -> pl.DataFrame:
    if clusters:
        found = pl.read_parquet(clusters.path / "clusters.parquet")
        rows = rows.join(found, on="problem", how="left", maintain_order="left")
    if config.stratify:
        rows = rows.with_columns(strata(rows, config, difficulty.column(data)))
    return in_order(rows, config, partial(with_texts, rows, pool, lambda text, gold: text))
