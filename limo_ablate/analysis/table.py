"""All scores of a study in one table: a row for each finished trial and score."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from limo_ablate.analysis.trials import Trial, load_trials

SCORES = (
    "accuracy", "stderr", "boxed", "lenient", "no_answer", "undecided", "truncated", "tokens",
    "problems", "samples",
)  # fmt: skip
TRAINED = (
    "rows", "rows_over_length", "steps", "epochs", "tokens", "loss", "token_accuracy",
    "tokens_per_second", "seconds",
)  # fmt: skip


def table(study: Path | Iterable[Trial], keys: Sequence[str] | None = None) -> pl.DataFrame:
    """The finished trials of a study (its folder, or some of its trials), a row for each trial and score.

    Columns: trial, one for each of `keys` (default: all override keys of the trials except the seed), seed,
    score (`mini`, `mini/hard`), `SCORES` and any other value that a score of metrics.json has (null where
    another score lacks it), parameters, `TRAINED` with the prefix `trained_` (null for an untrained base),
    total_seconds. Raises UserError for a key that no trial has.
    """
    trials = load_trials(study) if isinstance(study, Path) else list(study)
    finished = [trial for trial in trials if trial.metrics]
    if keys is None:
        set_by_some = dict.fromkeys(key for trial in finished for key in trial.overrides if key != "seed")
        levels = factor_columns(finished, list(set_by_some))
    else:
        levels = {key: _one_type([trial.level(key) for trial in finished]) for key in keys}
    scores = dict.fromkeys(
        [*SCORES, *(key for trial in finished for score in _scores(trial) for key in score)]
    )
    rows = []
    for place, trial in enumerate(finished):
        factors = {key: column[place] for key, column in levels.items()}
        rows += _rows(trial, factors, list(scores))
    return pl.DataFrame(rows, infer_schema_length=None)


def _rows(trial: Trial, factors: dict[str, Any], scores: list[str]) -> list[dict[str, Any]]:
    assert trial.metrics is not None
    trained = {f"trained_{key}": trial.metrics["train"].get(key) for key in TRAINED}
    after = {
        "parameters": trial.metrics["factors"]["parameters"],
        **trained,
        "total_seconds": trial.metrics["total_seconds"],
    }
    before = {"trial": trial.name, **factors, "seed": trial.seed}
    return [
        {**before, "score": name, **{key: score.get(key) for key in scores}, **after}
        for name, score in trial.metrics["scores"].items()
    ]


def _scores(trial: Trial) -> list[dict[str, Any]]:
    return list((trial.metrics or {})["scores"].values())


def factor_columns(trials: Sequence[Trial], keys: Sequence[str]) -> dict[str, list[Any]]:
    """The trials' levels of each key, as columns; null where a trial has no such key."""
    return {key: _one_type([trial.level_if_any(key) for trial in trials]) for key in keys}


def _one_type(levels: list[Any]) -> list[Any]:
    """A column has one type: mixed levels (a band and a threshold) and lists become text."""
    kinds = {type(level) for level in levels if level is not None}
    if kinds <= {int, float} or (len(kinds) == 1 and kinds <= {str, bool}):
        return levels
    return [None if level is None else str(level) for level in levels]
