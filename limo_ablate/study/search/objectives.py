"""Objectives of a search: numbers of a trial's results."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from limo_ablate.core.errors import UserError
from limo_ablate.core.typed import nearest
from limo_ablate.study.block import Objective
from limo_ablate.trial.config import TrialConfig

FACTS = ("train", "factors", "seconds")
"""Parts of metrics.json from which an objective may be, besides scores and `total_seconds`."""


def objective_value(metrics: Mapping[str, Any], score: str) -> float:
    """The number in metrics.json that `Objective.score` names. Raises UserError when there is none."""
    scores = metrics["scores"]
    part, _, key = score.rpartition(".")
    found = {"total_seconds": metrics.get("total_seconds")}.get(score)
    if score in scores:
        found = scores[score]["accuracy"]
    elif part in scores or part in FACTS:
        found = scores.get(part, metrics.get(part, {})).get(key)
    if not isinstance(found, int | float) or not math.isfinite(found):
        known_ones = [*scores, *(f"{name}.{key}" for name in FACTS for key in metrics.get(name, {}))]
        raise UserError(f"objective {score}={found}: not a number in the results{nearest(score, known_ones)}")
    return float(found)


def score_names(config: TrialConfig) -> list[str]:
    """Names of the scores that a trial will have: benchmarks, their groups, and their clean problems."""
    clean = ["clean"] if config.select.contamination.policy == "report" else []
    return [
        name
        for benchmark, declared in config.eval.benchmarks.items()
        for name in (benchmark, *(f"{benchmark}/{part}" for part in (*(declared.groups or ()), *clean)))
    ]


def check_objectives(objectives: Sequence[Objective], config: TrialConfig, where: str) -> None:
    """Checks objectives as far as possible before a trial has run. Raises UserError."""
    names = score_names(config)
    for score in (objective.score for objective in objectives):
        if not (
            {score, score.rpartition(".")[0]} & {*names}
            or score == "total_seconds"
            or score.split(".")[0] in FACTS
        ):
            raise UserError(
                f"{where}: score={score} is not a number in its trials' results{nearest(score, names)} "
                f"Scores: {', '.join(names)}"
            )
        if score == "train.dev_loss" and config.train.dev is None:
            raise UserError(
                f"{where}: train.dev_loss needs rows held out from training: "
                "overrides: ['train.dev={rows: 8, every: 20, keep: last}']"
            )
