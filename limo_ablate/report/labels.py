"""Labels of factors, scores and numbers on axes and in tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from limo_ablate.analysis.trials import Trial
from limo_ablate.study.contrast import measured
from limo_ablate.study.design import ALL
from limo_ablate.trial.evaluate.passes import FRACTIONAL, word_of

AXES = {
    ALL: "line",
    "select.size": "training examples",
    "select.quality": "solution tier",
    "select.difficulty": "difficulty of the training problems",
    "select.order": "selection rule",
    "select.tokens": "response tokens",
    "select.perturb": "perturbation",
    "select.teacher": "teacher",
    "select.correctness": "correctness of solutions",
    "model": "model",
    "data": "data",
    "model.pretrain.seed": "pre-training seed",
    "model.pretrain.tokens": "pre-training tokens",
    "train.learning_rate": "learning rate",
    "train.epochs": "epochs",
    "train.steps": "steps",
    "train.tokens": "trained tokens",
    "train.global_batch_size": "batch size",
    "train.weight_decay": "weight decay",
}


POINTS = "format(100 * datum.value, '+.3~r')"
"""Vega expression for the labels of an axis of differences: +20 for 0.2."""


def axis(key: str) -> str:
    """`training examples` for `select.size`; keys without a label stay as they are."""
    return AXES.get(key, key)


def score_word(trials: Iterable[Trial], *scores: str) -> str:
    """What the mean of these scores is called: `accuracy`, or `score` where completions have fractions."""
    each = [(trial.metrics or {}).get("scores", {}) for trial in trials]
    return word_of(any(FRACTIONAL in own.get(name, ()) for own in each for name in scores))


def score_title(score: str, word: str) -> str:
    """`mini/hard` -> `accuracy on mini (hard)`."""
    benchmark, _, group = measured(score)[0].partition("/")
    return f"{word} on {benchmark}" + (f" ({group})" if group else "")


def errors_over(seeds: Iterable[int | None]) -> str:
    """What errors and intervals are over, by the number of seeds of each row: with one seed, the noise of
    training is left out."""
    single = [count == 1 for count in seeds if count]
    if single and all(single):
        return "over problems only: one seed does not show how much trainings differ"
    more = "; of rows with one seed, over problems only" if any(single) else ""
    return f"over seeds and problems{more}"


UNBOUNDED = ("select.size", ALL)
"""Keys whose null means everything there is; that of other keys means that there is none."""


def level(value: Any, key: str = "") -> str:
    """A level of `key` as text: `64`, `L5`, `ours 0.7, theirs 0.3`; for null `all` or `none`."""
    if value is None:
        return ALL if key in UNBOUNDED else "none"
    if isinstance(value, dict):
        return ", ".join(f"{name} {level(part)}" for name, part in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value)


def percent(share: float | None, digits: int = 1) -> str:
    """A share of 0..1 in percent, without the sign; a dash for null."""
    return "–" if share is None or share != share else f"{100 * share:.{digits}f}"


def amount(value: float | None, unit: str) -> str:
    """A difference with its sign: of shares in points (`+2.5`), of other units as it is (`+0.137`)."""
    if unit == "share" or value is None:
        return f"{'+' if value is not None and value > 0 else ''}{percent(value)}"
    return f"{value:+.3f}"


def plus_minus(mean: float, error: float | None) -> str:
    """`97.2 ± 0.9`; without the error where there is none."""
    if error is not None and 0 < error < 0.0005:
        return f"{percent(mean)} ± < 0.1"
    return percent(mean) if error is None or error != error else f"{percent(mean)} ± {percent(error)}"


def duration(seconds: float) -> str:
    """`48 s`, `12 min`, `3.4 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
