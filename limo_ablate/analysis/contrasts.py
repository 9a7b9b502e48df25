"""Contrasts of two levels of a factor: effect, confidence interval, p-values and conclusion.

A contrast is a weighted sum of the cells of its block (`cube.contrast_weights`), paired on problems and on
seeds. `crossed` gives its interval and p-value, over trainings and problems. Holm's adjustment of the primary
contrasts is made in `adjust`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from limo_ablate.analysis.adjust import with_adjusted_p
from limo_ablate.analysis.crossed import Crossed, columns, crossed, stratified, unpaired
from limo_ablate.analysis.cube import Cube, contrast_weights, cube, points_compared
from limo_ablate.analysis.power import ALPHA, Contrast
from limo_ablate.analysis.resample import bootstrap, mcnemar, sign_flips
from limo_ablate.analysis.trials import Trial, resolved
from limo_ablate.core.errors import UserError
from limo_ablate.core.text import counted
from limo_ablate.study.contrast import measured
from limo_ablate.study.folder import IMPORTED
from limo_ablate.study.levels import hashable


def contrasts(
    declared: Sequence[Contrast],
    axes: Mapping[str, Sequence[str]],
    trials: Sequence[Trial],
    answers: pl.DataFrame,
    alpha: float = ALPHA,
) -> pl.DataFrame:
    """A row for each contrast, in their order.

    `axes` maps each block's name to its axes, `answers` is `answers.items` of the trials.

    - contrast, block, factor, a, b, score, primary, margin; unit: `share` (of 0..1) or `nats per token`
    - comparison: what is compared, in words
    - over: the levels of the block's other axes over which it is averaged
    - effect: accuracy at b minus accuracy at a (of a trend, by its line; of an interaction, its change); low,
      high: its 1 - `alpha` confidence interval; stderr; seed_error (the part of seeds); p: two-sided
    - p_adj: adjusted by Holm over the primary contrasts; a secondary one keeps its p
    - p_equivalent: p-value of the equivalence test (two one-sided tests); null without a margin
    - p_equivalent_adj: adjusted by Holm over the primary contrasts with a margin
    - by_finishing, by_being_right: parts of the effect on one score's accuracy that come from finishing more
      completions, and from being right more often in those that end; see `finished_and_right`
    - conclusion: `different` (p_adj < alpha), else `equivalent` (p_equivalent_adj < alpha), else `unclear`;
      `no information` (without p-values) where both arms solved nothing, or everything; of an interaction, at
      one of its two levels; of a likelihood (also without an interval), where it differs by the same on all
      problems in all trainings
    - low_boot, high_boot: two-way bootstrap; p_flips: sign flips of the problems' differences with trainings
      fixed; p_mcnemar: exact, null unless each arm has one sample of one training,
      with scores of 0 and 1
    - paired: whether the arms have the same seeds; if not, each is averaged over its own, as independent of
      the other's (`crossed.unpaired`), and there is no bootstrap. With several scores the arms must share
      seeds, and there is no bootstrap either
    - problems: number of those that all trials of its arms answered; answered: of those that at least one
      did
    - samples, seeds (subsets or bases, if the block has an axis of these as replicates)
    - note: why there is no result (the row's numbers are then null)

    If `answers` has a column cluster, clusters are resampled and flipped instead of problems.
    """

    @cache
    def block(name: str, score: str, measure: str) -> Cube:
        own = [trial for trial in trials if name in trial.blocks and trial.metrics]
        return cube(own, answers, axes[name], score, measure, all_problems=True)

    by_content = _by_content(trials)
    rows = []
    for contrast in declared:
        row = _named(contrast)
        try:
            _check_tokens(contrast, trials, answers)
            row |= _numbers(contrast, block, alpha, by_content=by_content)
        except UserError as error:
            row["note"] = str(error)
        rows.append(row)
    return (
        _with_conclusions(pl.DataFrame(rows, schema=SCHEMA), alpha) if rows else pl.DataFrame(schema=SCHEMA)
    )


Array = npt.NDArray[np.float64]
NUMBERS = (
    "effect", "low", "high", "stderr", "seed_error", "p", "p_adj", "p_equivalent", "p_equivalent_adj",
    "low_boot", "high_boot", "p_flips", "p_mcnemar", "by_finishing", "by_being_right",
)  # fmt: skip
TESTS = ("p", "p_equivalent", "p_flips", "p_mcnemar", "low_boot", "high_boot")
"""What is left out where there is no information."""
FLAT = 1e-9
"""Width of an interval below which nothing varies but for rounding."""
SCHEMA: dict[str, Any] = {
    **dict.fromkeys(("contrast", "block", "factor", "a", "b", "score", "unit", "comparison"), pl.String),
    "primary": pl.Boolean,
    "margin": pl.Float64,
    "over": pl.String,
    **dict.fromkeys(NUMBERS, pl.Float64),
    "conclusion": pl.String,
    "paired": pl.Boolean,
    **dict.fromkeys(("problems", "answered", "samples", "seeds"), pl.Int64),
    "note": pl.String,
}


def _named(contrast: Contrast) -> dict[str, Any]:
    """A row without its numbers."""
    return dict.fromkeys(SCHEMA) | {
        "contrast": contrast.name,
        "block": contrast.block,
        "factor": contrast.factor,
        "a": str(contrast.a),
        "b": str(contrast.b),
        "score": contrast.score_name,
        "unit": contrast.unit,
        "comparison": contrast.comparison,
        "primary": contrast.primary,
        "margin": contrast.margin,
    }


def _numbers(
    contrast: Contrast, blocks: Callable[[str, str, str], Cube], alpha: float, *, by_content: bool
) -> dict[str, Any]:
    """The rest of a row. `by_content`: whether problems are identified by their content, across benchmarks.
    Raises UserError where there is no result."""
    whole = [blocks(contrast.block, *measured(score)) for score in contrast.scores]
    weights = [contrast_weights(part, contrast) for part in whole]
    answered = sum(
        part.answered(own) if contrast.unit == "share" else len(part.problems)  # some have no likelihood
        for part, own in zip(whole, weights, strict=True)
    )
    parts = [
        _answered_by(part, own, score)
        for part, own, score in zip(whole, weights, contrast.scores, strict=True)
    ]
    _check_distinct(contrast, parts, by_content=by_content)
    over = points_compared(parts[0], contrast, weights[0])
    numbers = contrast_numbers(parts, weights, contrast.margin, alpha, shares=contrast.unit == "share")
    sides = _sides(parts, weights, contrast) if contrast.unit == "share" else []
    if any(nothing_to_compare(parts, side) for side in sides):
        numbers |= dict.fromkeys(TESTS)
    if numbers["high"] - numbers["low"] < FLAT:  # only without bounds
        numbers |= dict.fromkeys((*TESTS, "low", "high"))
    if splits(contrast):
        with suppress(UserError):  # how completions ended is not recorded
            names = ("finished", "right_finished")
            shares = [blocks(contrast.block, contrast.scores[0], name) for name in names]
            numbers |= finished_and_right([part.answered_by(weights[0]) for part in shares], weights[0])
    return numbers | {"over": over, "answered": answered}


def _answered_by(block: Cube, weights: Array, score: str) -> Cube:
    try:
        return block.answered_by(weights)
    except UserError as error:
        raise UserError(f"score {score}: {error}") from None


def _check_tokens(contrast: Contrast, trials: Sequence[Trial], answers: pl.DataFrame) -> None:
    """Raises UserError for likelihoods of models that split the same solutions into other tokens."""
    if contrast.unit == "share":
        return
    keys = [key for key in (contrast.factor, *contrast.interaction) if _names_model(key)]
    own = [trial for trial in trials if contrast.block in trial.blocks and trial.metrics]
    models = [
        {
            str([trial.overrides[key] for key in sorted(trial.overrides) if _names_model(key)])
            for trial in own
            if trial.level_if_any(contrast.factor) == hashable(level)
        }
        for level in (contrast.a, contrast.b)
    ]
    if all(models) and models[0].isdisjoint(models[1]):  # the model varies together with the factor
        keys.append(contrast.factor)
    if not keys:
        return
    names = [trial.name for trial in own]
    counted_tokens = answers.filter(pl.col("trial").is_in(names)).drop_nulls("solution_tokens")
    counts = counted_tokens.group_by("score", "problem").agg(pl.col("solution_tokens").n_unique())
    if (counts["solution_tokens"] > 1).any():
        raise UserError(
            f"the models of {keys[0]} split the same solutions into different tokens, and nats per token are "
            "no common unit of them"
        )


def _names_model(key: str) -> bool:
    return key.partition(".")[0] == "model"


def _by_content(trials: Sequence[Trial]) -> bool:
    """Whether problems are identified by their content: those of imported logs are, except for tables, which
    have ids of their own."""
    logs = [resolved(trial.folder).get(IMPORTED) for trial in trials]
    return any(isinstance(own, dict) and "table" not in str(own.get("format")).split(", ") for own in logs)


def _check_distinct(contrast: Contrast, parts: Sequence[Cube], *, by_content: bool) -> None:
    """Raises UserError where two of the scores have problems in common. Unless problems are identified by
    their content, equal ids in two benchmarks (`0`, `1`) say nothing."""
    known = zip(contrast.scores, contrast.benchmarks, parts, strict=True)
    for (score, benchmark, one), (other, second, two) in combinations(known, 2):
        shared = {*one.problems} & {*two.problems}
        if shared and (by_content or benchmark == second):
            raise UserError(
                f"{contrast.score_name}: {score} and {other} share {counted(len(shared), 'problem')}; "
                "scores with the same problems count them twice"
            )


def contrast_numbers(
    parts: Sequence[Cube],
    weights: Sequence[Array],
    margin: float | None,
    alpha: float,
    *,
    shares: bool = True,
) -> dict[str, Any]:
    """Effect, interval and p-values of one weighted sum of the cells; of several scores (`parts`, the block's
    cube for each), of its mean over them. `shares`: whether values lie between 0 and 1."""
    bounds = (-np.inf, np.inf)
    if shares:
        bounds = (float(weights[0][weights[0] < 0].sum()), float(weights[0][weights[0] > 0].sum()))
    arms = [[np.where(own * sign > 0, own, 0.0) for own in weights] for sign in (1, -1)]
    paired = all(
        part.trainings is not None or np.array_equal(part.complete(one), part.complete(other))
        for part, one, other in zip(parts, *arms, strict=True)
    )
    problems = [len(part.problems) for part in parts]
    low_boot = high_boot = None
    if len(parts) > 1:
        values = _strata(parts, weights, paired=paired)
        estimate, means = stratified(values, bounds, problems), _columns_of(values)
    elif paired:
        values = [parts[0].grouped(parts[0].weighted(weights[0])[None])]
        estimate, means = crossed(values[0], bounds=bounds, problems=problems[0]), _columns_of(values)
        low_boot, high_boot = bootstrap(values[0][0], 1 - alpha)
    else:
        sides = [parts[0].grouped(parts[0].weighted(arm)[None]) for (arm,) in arms]
        estimate = _unpaired(sides, bounds, problems[0])
        means = np.sum([side.mean(axis=(0, 1)) for side in sides], axis=0)
    low, high = estimate.interval(1 - alpha)
    return {
        "effect": float(estimate.mean[0]),
        "low": float(low[0]),
        "high": float(high[0]),
        "stderr": float(estimate.stderr[0]),
        "seed_error": float(estimate.seed_error[0]) if estimate.trainings > 1 else None,
        "p": float(estimate.p_value()[0]),
        "p_equivalent": None if margin is None else float(estimate.p_equivalent(margin)[0]),
        "low_boot": low_boot,
        "high_boot": high_boot,
        "p_flips": sign_flips(means),
        "p_mcnemar": _mcnemar(parts[0], weights[0]) if len(parts) == 1 and shares else None,
        "paired": paired,
        "problems": sum(problems),
        "samples": min(part.samples for part in parts),
        "seeds": estimate.trainings,
    }


def splits(contrast: Contrast) -> bool:
    """Whether the effect is a difference of two accuracies, which finishing and being right are parts of."""
    single = len(contrast.scores) == 1 and measured(contrast.scores[0])[1] == "accuracy"
    return single and not contrast.trend and not contrast.interaction


def finished_and_right(shares: Sequence[Cube], weights: Array) -> dict[str, float | None]:
    """The effect split by accuracy = share finished x share right of these (Kitagawa 1955). `shares`: cubes
    of the share that finished, and of that which finished and is right.

    Descriptive: which completions end is a selection of its own. What is left of the effect is right answers
    of completions that were cut off. Null where an arm finishes nothing.
    """
    finished, right = [], []
    for sign in (-1, 1):
        arm = np.where(weights * sign > 0, weights * sign, 0.0)
        ended, correct = (float(share.weighted(arm).mean()) for share in shares)
        finished.append(ended)
        right.append(correct / ended if ended else np.nan)
    if np.isnan(right).any():
        return {"by_finishing": None, "by_being_right": None}
    return {
        "by_finishing": (finished[1] - finished[0]) * (right[0] + right[1]) / 2,
        "by_being_right": (right[1] - right[0]) * (finished[0] + finished[1]) / 2,
    }


def _columns_of(values: Sequence[Array]) -> Array:
    """(N,) means of all problems over trainings, as `crossed.columns` weights them."""
    return np.asarray(columns([one.reshape(1, -1, one.shape[-1]).mean(axis=1) for one in values])[0])


def _strata(parts: Sequence[Cube], weights: Sequence[Array], *, paired: bool) -> list[Array]:
    """The weighted sum on each score. Raises UserError where not all have the same trials."""
    pairs = list(zip(parts, weights, strict=True))
    cells = [{cell for cell, weight in zip(part.cells, own, strict=True) if weight} for part, own in pairs]
    seeds = [[*np.array(part.seeds)[part.complete(own)]] for part, own in pairs]
    if not paired or any(own != cells[0] for own in cells) or any(own != seeds[0] for own in seeds):
        raise UserError("a mean over several scores needs every arm on all of them, with the same seeds")
    return [part.grouped(part.weighted(own)[None]) for part, own in pairs]


def _sides(parts: Sequence[Cube], weights: Sequence[Array], contrast: Contrast) -> list[list[Array]]:
    """The weights of what must each be informative: of an interaction, those at each of its two levels."""
    if not contrast.interaction:
        return [list(weights)]
    ((key, levels),) = contrast.interaction.items()
    return [
        [
            own * np.array([cell[part.axes.index(key)] == level for cell in part.cells])
            for part, own in zip(parts, weights, strict=True)
        ]
        for level in levels
    ]


def nothing_to_compare(parts: Sequence[Cube], weights: Sequence[Array]) -> bool:
    """Whether all cells with a weight solved nothing, or everything, on every score: the problems then tell
    nothing of a difference between them."""
    answered = []
    for part, own in zip(parts, weights, strict=True):
        values = part.accuracy[own != 0]
        answered.append(values[np.isfinite(values)])
    return all(bool((own == 0).all() or (own == 1).all()) for own in answered)


def _unpaired(sides: Sequence[Array], bounds: tuple[float, float], problems: int) -> Crossed:
    if max(side.shape[1] for side in sides) < 2:
        raise UserError("the arms have one seed each, and not the same; no error can be estimated")
    return unpaired(sides, bounds, problems)


def _mcnemar(block: Cube, weights: Array) -> float | None:
    seeds = np.flatnonzero(block.complete(weights))
    arms = [np.flatnonzero(weights == side) for side in (-1.0, 1.0)]
    single = block.trainings is None and block.clusters is None
    if not single or block.samples != 1 or len(seeds) != 1 or any(len(arm) != 1 for arm in arms):
        return None
    a, b = (block.accuracy[arm[0], seeds[0]] for arm in arms)
    if not np.isin([a, b], (0, 1)).all():  # it counts right answers, and scores are fractions here
        return None
    return mcnemar(a == 1, b == 1)


def _with_conclusions(rows: pl.DataFrame, alpha: float) -> pl.DataFrame:
    """The rows with adjusted p-values (Holm, over the primary contrasts) and conclusions."""
    primary = rows["primary"].to_numpy()
    rows = with_adjusted_p(rows, primary)
    tested = primary & rows["margin"].is_not_null().to_numpy()
    rows = with_adjusted_p(rows, tested, "p_equivalent")
    return rows.with_columns(
        conclusion=pl.when(pl.col("effect").is_null())
        .then(None)
        .when(pl.col("p").is_null())
        .then(pl.lit("no information"))
        .when(pl.col("p_adj") < alpha)
        .then(pl.lit("different"))
        .when(pl.col("p_equivalent_adj") < alpha)
        .then(pl.lit("equivalent"))
        .otherwise(pl.lit("unclear"))
    )
