"""The selection itself: every filter in turn, each row that goes with its reason."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from limo_ablate.artifacts import Artifact, Store
from limo_ablate.config import DataConfig, SelectConfig
from limo_ablate.errors import UserError
from limo_ablate.select import difficulty, quality
from limo_ablate.select.budget import TokenCounter
from limo_ablate.select.correctness import READ
from limo_ablate.select.funnel import Funnel
from limo_ablate.select.perturb import perturbation
from limo_ablate.select.responses import counting, require_size, token_matched, with_texts
from limo_ablate.select.subset import in_order, strata
from limo_ablate.typed import nearest

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
    store: Store, config: SelectConfig, data: DataConfig, pool: Artifact, evidence: Evidence
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
    }

    def make(folder: Path) -> None:
        selected = curate(config, data, pool, evidence)
        selected.rows.write_parquet(folder / "rows.parquet")
        steps = [asdict(step) for step in selected.funnel.steps]
        (folder / "funnel.json").write_text(json.dumps(steps, indent=1) + "\n")

    return store.build("selection", VERSION, inputs, make)


def curate(config: SelectConfig, data: DataConfig, pool: Artifact, evidence: Evidence) -> Selected:
    """The chosen rows and why each other row of the pool went. Raises UserError when too few pass."""
    funnel = Funnel(_index(pool, evidence, data, config))
    if funnel.rows["solution"].null_count() == funnel.rows.height:
        _refuse_for_questions(config)
    _gate(funnel, config, evidence)
    difficulty.keep(funnel, config.difficulty, data)
    if config.same_problems:
        tier = pl.col("tier")
        has = tier.filter(tier.is_in(quality.TIERS)).n_unique().over("problem")
        reason = pl.lit("no solution in each of L1 to L5; five of a problem are needed")
        funnel.keep("same_problems", has == len(quality.TIERS), reason)
    candidates = funnel.rows
    _keep_quality(funnel, config)
    rows = _ordered(funnel.rows, config, data, evidence.clusters)
    funnel.replace(f"{config.solutions} a problem", rows, f"another one comes first by {config.best}")
    if config.perturb != "none":  # whatever tokens the pool carries are not those of the changed texts
        rows = rows.with_columns(tokens=pl.lit(None, pl.Int64))
    change = perturbation(config.perturb, config.score.phrases(), config.seed)
    if config.tokens is not None:
        counts = counting(pool, evidence.counter, change)
        arms = {
            str(tier): _ordered(arm, config, data, evidence.clusters)
            for (tier,), arm in candidates.group_by("tier", maintain_order=True)
            if tier in quality.TIERS
        }
        rows = token_matched(rows, arms, config, counts, funnel.text())
        funnel.replace(f"tokens={config.tokens}", rows, "not needed for this many tokens")
    elif config.size is not None:
        require_size(rows, config.size, funnel.text())
        rows = rows.head(config.size)
        funnel.replace(f"size={config.size}", rows, f"comes later by {config.order}")
    features = [name for name in config.score.weights if name != "elaborated"]
    features += [name for name in READ if name in rows.columns]
    return Selected(with_texts(rows, pool, change, features), candidates, funnel)


def _refuse_for_questions(config: SelectConfig) -> None:
    """UserError where the configuration goes by solutions, and there are none."""
    asked = {
        f"quality={config.quality}": config.quality != "any",
        f"correctness={config.correctness}": config.correctness != "any",
        f"teacher={config.teacher}": config.teacher != "any",
        "same_problems=true": config.same_problems,
        f"tokens={config.tokens}": config.tokens is not None,
        f"perturb={config.perturb}": config.perturb != "none",
    }
    if found := [name for name, goes_by_solutions in asked.items() if goes_by_solutions]:
        raise UserError(
            f"select.{found[0]} goes by solutions, and these are questions only: set data.fields.solution "
            "and select.solutions=1, or leave that key at its neutral value"
        )


def _index(pool: Artifact, evidence: Evidence, data: DataConfig, config: SelectConfig) -> pl.DataFrame:
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


def _gate(funnel: Funnel, config: SelectConfig, evidence: Evidence) -> None:
    """What a row must be whatever the study varies; tiers are given to the rows that are right."""
    if 0 < funnel.rows["solution"].null_count() < funnel.rows.height:
        funnel.keep("solved", pl.col("solution").is_not_null(), pl.lit("no solution"))
    if config.correctness != "any":
        wanted = "correct" if config.correctness == "correct" else "incorrect"
        answer = pl.col("answer").fill_null("nothing")
        reason = pl.format("the verifier says {} ({}), it read: {}", "status", "rule", answer)
        funnel.keep(f"correctness={config.correctness}", pl.col("status") == wanted, reason)
    funnel.rows = quality.scored(funnel.rows, config.score)
    if funnel.rows["tier"].null_count() == funnel.rows.height:
        funnel.rows = funnel.rows.with_columns(quality.tiers(funnel.rows, config.score))
    if evidence.duplicates:
        groups = pl.read_parquet(evidence.duplicates.path / "duplicates.parquet")
        rows = funnel.rows.join(groups, on="problem", how="left", maintain_order="left")
        funnel.rows = rows.with_columns(
            first=pl.col("problem").first().over("group")
        )  # of those that are left
        reason = pl.format("same words and answer as problem {}", pl.col("first"))
        funnel.keep("duplicates=drop", pl.col("problem") == pl.col("first"), reason)
    if evidence.flags and config.contamination.policy == "drop":
        found = pl.read_parquet(evidence.flags.path / "flags.parquet")
        _keep_clean(funnel, found)
    if config.teacher != "any":
        known = funnel.rows["teacher"].drop_nulls().unique().sort().to_list()
        if config.teacher not in known:
            raise UserError(
                f"select.teacher={config.teacher}: no such teacher{nearest(config.teacher, known)} "
                f"Teachers: {', '.join(known) or 'none; see data.fields.teacher'}"
            )
        reason = pl.format("teacher {}", pl.col("teacher").fill_null("unknown"))
        funnel.keep(f"teacher={config.teacher}", pl.col("teacher") == config.teacher, reason)


def _keep_clean(funnel: Funnel, flags: pl.DataFrame) -> None:
    first = flags.group_by("problem", maintain_order=True).first()
    first = first.select(
        "problem", flag=pl.format("{} with {} {}: {}", "method", "benchmark", "item", "evidence")
    )
    funnel.rows = funnel.rows.join(first, on="problem", how="left", maintain_order="left")
    funnel.keep("contamination=drop", pl.col("flag").is_null(), pl.col("flag"))


def _keep_quality(funnel: Funnel, config: SelectConfig) -> None:
    """`any` is any of L1..L5: the controls are only for those who ask for them."""
    if funnel.rows["solution"].null_count() == funnel.rows.height:
        return  # a pool of questions
    tier = pl.col("tier")
    kept = tier.is_in(quality.TIERS) if config.quality == "any" else tier == config.quality
    reason = pl.format("tier {}", tier.fill_null("unknown"))
    funnel.keep(f"quality={config.quality}", kept, reason)


def _ordered(
    rows: pl.DataFrame, config: SelectConfig, data: DataConfig, clusters: Artifact | None
) -> pl.DataFrame:
    if clusters:
        found = pl.read_parquet(clusters.path / "clusters.parquet")
        rows = rows.join(found, on="problem", how="left", maintain_order="left")
    if config.stratify:
        rows = rows.with_columns(strata(rows, config, difficulty.column(data)))
    return in_order(rows, config)
