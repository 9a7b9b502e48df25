"""Filters of a selection: eligibility (correctness, duplicates, contamination, teacher) and tier.

The filter by difficulty, in `difficulty`, is applied between the two.
"""

from __future__ import annotations

import polars as pl

from limo_ablate.core.artifacts import Artifact
from limo_ablate.core.errors import UserError
from limo_ablate.core.typed import nearest
from limo_ablate.data.select import quality
from limo_ablate.data.select.config import SelectConfig
from limo_ablate.data.select.funnel import Funnel

MARKED = {"marked_correct": True, "marked_wrong": False}
"""Values of `select.correctness` that go by the data's own flags."""


def require_solutions(config: SelectConfig) -> None:
    """UserError if the configuration selects by solutions; called for pools that have none."""
    by_solutions = {
        f"quality={config.quality}": config.quality != "any" and "quality=any",
        f"correctness={config.correctness}": config.correctness != "any" and "correctness=any",
        f"teacher={config.teacher}": config.teacher != "any" and "teacher=any",
        "same_problems=true": config.same_problems and "same_problems=false",
        f"tokens={config.tokens}": config.tokens is not None and "tokens=null",
        f"perturb={config.perturb}": config.perturb != "none" and "perturb=none",
    }
    for key, neutral in by_solutions.items():
        if neutral:
            raise UserError(
                f"select.{key} selects by solutions, but the pool has only questions: set "
                f"data.fields.solution and select.solutions=1, or set select.{neutral}"
            )


def keep_eligible(
    funnel: Funnel,
    config: SelectConfig,
    duplicates: Artifact | None,
    flags: Artifact | None,
    degenerate: Artifact | None,
) -> None:
    """Applies the eligibility filters; tiers are assigned after the filter by correctness."""
    if 0 < funnel.rows["solution"].null_count() < funnel.rows.height:
        funnel.keep("solved", pl.col("solution").is_not_null(), pl.lit("no solution"))
    _keep_correct(funnel, config)
    if degenerate:
        found = pl.read_parquet(degenerate.path / "degenerate.parquet")
        funnel.rows = funnel.rows.join(found, on="solution", how="left", maintain_order="left")
        funnel.keep("degenerate=drop", pl.col("degenerate").is_null(), pl.col("degenerate"))
    funnel.rows = quality.with_scores(funnel.rows, config.score)
    if funnel.rows["tier"].null_count() == funnel.rows.height:
        funnel.rows = funnel.rows.with_columns(quality.assign_tiers(funnel.rows, config.score))
        if config.quality != "any" or config.same_problems or config.tokens == "match":
            quality.warn_of_ties(funnel.rows, config.score)
    if duplicates:
        groups = pl.read_parquet(duplicates.path / "duplicates.parquet")
        rows = funnel.rows.join(groups, on="problem", how="left", maintain_order="left")
        first_left = pl.col("problem").first().over("group")
        funnel.rows = rows.with_columns(first=first_left)
        reason = pl.format("same words and answer as problem {}", pl.col("first"))
        funnel.keep("duplicates=drop", pl.col("problem") == pl.col("first"), reason)
    if flags and config.contamination.policy == "drop":
        _keep_clean(funnel, pl.read_parquet(flags.path / "flags.parquet"))
    if config.teacher != "any":
        known = funnel.rows["teacher"].drop_nulls().unique().sort().to_list()
        if config.teacher not in known:
            raise UserError(
                f"select.teacher={config.teacher}: no such teacher{nearest(config.teacher, known)} "
                f"Teachers: {', '.join(known) or 'none; see data.fields.teacher'}"
            )
        reason = pl.format("teacher {}", pl.col("teacher").fill_null("unknown"))
        funnel.keep(f"teacher={config.teacher}", pl.col("teacher") == config.teacher, reason)


def _keep_correct(funnel: Funnel, config: SelectConfig) -> None:
    if config.correctness in MARKED:
        marked = funnel.rows["correct"]
        if marked.null_count() == marked.len():
            raise UserError(
                f"select.correctness={config.correctness}: the data marks no solution as right or wrong; set "
                "data.fields.correct, or select.correctness=correct to ask the verifier"
            )
        said = pl.format("the data marks it as {}", pl.col("correct").cast(pl.String).fill_null("nothing"))
        funnel.keep(
            f"correctness={config.correctness}", pl.col("correct") == MARKED[config.correctness], said
        )
        funnel.rows = funnel.rows.drop("correct")
    elif config.correctness != "any":
        status = "correct" if config.correctness == "correct" else "incorrect"
        answer = pl.col("answer").fill_null("nothing")
        reason = pl.format("the verifier says {} ({}), it read: {}", "status", "rule", answer)
        funnel.keep(f"correctness={config.correctness}", pl.col("status") == status, reason)


def _keep_clean(funnel: Funnel, flags: pl.DataFrame) -> None:
    first = flags.group_by("problem", maintain_order=True).first()
    first = first.select(
        "problem", flag=pl.format("{} with {} {}: {}", "method", "benchmark", "item", "evidence")
    )
    funnel.rows = funnel.rows.join(first, on="problem", how="left", maintain_order="left")
    funnel.keep("contamination=drop", pl.col("flag").is_null(), pl.col("flag"))


def keep_same_problems(funnel: Funnel) -> None:
    tier = pl.col("tier")
    tiers = tier.filter(tier.is_in(quality.TIERS)).n_unique().over("problem")
    reason = pl.lit("no solution in each of L1 to L5; five of a problem are needed")
    funnel.keep("same_problems", tiers == len(quality.TIERS), reason)


def keep_quality(funnel: Funnel, config: SelectConfig) -> None:
    """Keeps one tier; `any` keeps L1..L5 but not the controls."""
    if funnel.rows["solution"].null_count() == funnel.rows.height:
        return  # a pool of questions
    tier = pl.col("tier")
    kept = tier.is_in(quality.TIERS) if config.quality == "any" else tier == config.quality
    reason = pl.format("tier {}", tier.fill_null("unknown"))
    funnel.keep(f"quality={config.quality}", kept, reason)
