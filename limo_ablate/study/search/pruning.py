"""Ending hopeless trials of a search early: Optuna's pruners, on scores reported problem by problem.

With `eval.report`, a trial evaluates a benchmark in chunks of its problems, in an order that is the same for
all trials, and for each problem adds a line `[step, score]` to `reports.jsonl` in its folder: the problem's
position in that order, from 1, and the mean over its samples, 0..1. The runner gives a `Pruner` the result of
every trial that ended, and asks it about those that run.

A pruned trial's accuracy covers only the problems it answered, and is biased: it was pruned because it was
low. So only searches prune, not designs whose cells are compared.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from limo_ablate.core.reading import parse_json, read_text
from limo_ablate.study.choices import PRUNERS
from limo_ablate.study.search.search import Search
from limo_ablate.trial.evaluate.config import REPORTS

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.trial import FrozenTrial, TrialState

    from limo_ablate.study.block import Pruning


def read_reports(folder: Path) -> dict[int, float]:
    """Step -> score, as the trial has reported so far, without a line that is still being written."""
    try:
        lines = read_text(folder / REPORTS).splitlines(keepends=True)
    except FileNotFoundError:
        return {}
    rows = (parse_json(line, folder / REPORTS, tuple[int, float]) for line in lines if line.endswith("\n"))
    return dict(rows)


class Pruner:
    """The pruner of one search, which must have a rule (`search.pruner`)."""

    def __init__(self, search: Search) -> None:
        import optuna

        assert search.pruner is not None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._rule = search.pruner
        self._study = optuna.create_study(direction=search.objectives[0].direction)
        self._ended: set[int] = set()
        self._pruner: BasePruner = PRUNERS.load(self._rule.rule)(self._rule)

    def add_result(self, number: int, reports: Mapping[int, float], value: float | None) -> None:
        """A trial of the search has ended with `value`; None: it was pruned. No effect if known already."""
        from optuna.trial import TrialState

        if number not in self._ended and reports:
            self._ended.add(number)
            state = TrialState.PRUNED if value is None else TrialState.COMPLETE
            self._study.add_trial(self._trial(reports, state, value))

    def should_prune(self, number: int, reports: Mapping[int, float]) -> bool:
        """Whether to end the running trial now."""
        from optuna.trial import TrialState

        if number in self._ended or len(reports) < self._rule.start:
            return False
        return bool(self._pruner.prune(self._study, self._trial(reports, TrialState.RUNNING, None)))

    def _trial(self, reports: Mapping[int, float], state: TrialState, value: float | None) -> FrozenTrial:
        from optuna.trial import TrialState, create_trial

        shown = dict(reports) if self._rule.rule == "wilcoxon" else running_means(reports)
        if self._rule.rule == "median" and state == TrialState.RUNNING:
            # only the last: Optuna would take the best value so far, and a mean of few answers is noise
            shown = {max(shown): shown[max(shown)]}
        return create_trial(state=state, value=value, intermediate_values=shown)


def median(rule: Pruning) -> BasePruner:
    import optuna

    return optuna.pruners.MedianPruner(n_startup_trials=rule.trials, n_warmup_steps=rule.start)


def wilcoxon(rule: Pruning) -> BasePruner:
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.pruners.WilcoxonPruner(p_threshold=rule.p, n_startup_steps=rule.start)


def running_means(reports: Mapping[int, float]) -> dict[int, float]:
    """Step -> mean of the scores up to it, which `median` compares."""
    total, means = 0.0, {}
    for count, step in enumerate(sorted(reports), start=1):
        total += reports[step]
        means[step] = total / count
    return means
