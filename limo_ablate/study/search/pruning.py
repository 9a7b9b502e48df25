"""When a running trial of a search has shown enough: Optuna's pruners, on its scores problem by problem.

A trial that is asked to (`eval.report`) evaluates a benchmark in chunks of its problems, in an order that is
the same for all trials, and adds a line `[step, score]` for each problem to `reports.jsonl` of its folder:
the problem's place in that order, from 1, and the mean over its samples, 0..1. The runner tells a `Pruner` of
every trial that ended and asks it about those that run.

A pruned trial's accuracy is of the problems it answered only, and biased: it was pruned for being low. So
there is pruning in searches, and not in designs whose trials are compared.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from limo_ablate.study.choices import PRUNERS
from limo_ablate.trial.evaluate.config import REPORTS

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.trial import FrozenTrial, TrialState

    from limo_ablate.study.block import Pruning
    from limo_ablate.study.search.search import Search


def read_reports(folder: Path) -> dict[int, float]:
    """Step -> score, as a trial has reported so far; a line that is being written is left out."""
    try:
        lines = (folder / REPORTS).read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return {}
    return {int(step): float(score) for step, score in (json.loads(x) for x in lines if x.endswith("\n"))}


class Pruner:
    """Of one search, which must have a rule (`search.pruner`)."""

    def __init__(self, search: Search) -> None:
        import optuna

        assert search.pruner is not None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._rule = search.pruner
        self._study = optuna.create_study(direction=search.objectives[0].direction)
        self._told: set[int] = set()
        self._pruner = PRUNERS.load(self._rule.rule)(self._rule)

    def add_result(self, number: int, reports: Mapping[int, float], value: float | None) -> None:
        """A trial of the search has ended with `value`; None: it was pruned. Again: nothing."""
        from optuna.trial import TrialState

        if number not in self._told and reports:
            self._told.add(number)
            state = TrialState.PRUNED if value is None else TrialState.COMPLETE
            self._study.add_trial(self._trial(reports, state, value))

    def should_prune(self, number: int, reports: Mapping[int, float]) -> bool:
        """Whether the running trial is to be ended now."""
        from optuna.trial import TrialState

        if number in self._told or len(reports) < self._rule.start:
            return False
        return bool(self._pruner.prune(self._study, self._trial(reports, TrialState.RUNNING, None)))

    def _trial(self, reports: Mapping[int, float], state: TrialState, value: float | None) -> FrozenTrial:
        from optuna.trial import TrialState, create_trial

        shown = dict(reports) if self._rule.rule == "wilcoxon" else running_means(reports)
        if self._rule.rule == "median" and state == TrialState.RUNNING:
            # the last only, for Optuna takes a trial's best value so far, and a mean of few answers is luck
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
    """Step -> mean of the scores up to it: what `median` compares."""
    total, means = 0.0, {}
    for count, step in enumerate(sorted(reports), start=1):
        total += reports[step]
        means[step] = total / count
    return means
