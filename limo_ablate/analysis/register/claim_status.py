"""Status of each contrast: confirmatory if contrast, trials and data are as registered before the results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from limo_ablate.analysis.looks import Look, last_look
from limo_ablate.analysis.register.current_trials import CurrentTrial, analysis_settings
from limo_ablate.analysis.register.declaration import (
    adaptive,
    block_of,
    changes,
    declared_design,
    factors,
    first_names,
)
from limo_ablate.analysis.register.registration import Chain, Registration
from limo_ablate.analysis.register.search_check import search_deviation
from limo_ablate.analysis.run_differences import differing
from limo_ablate.core.text import counted
from limo_ablate.study.contrast import Contrast
from limo_ablate.study.design import Study

NOT_REGISTERED = "not registered"
CHANGED = "the registration has been changed"
"""Reasons for which every contrast of a study is exploratory."""


@dataclass(frozen=True, slots=True)
class ClaimStatus:
    """A contrast with its status."""

    contrast: Contrast
    why: str | None
    """Why it is exploratory; None if it is confirmatory."""
    family: bool
    """Whether it belongs to the family of registered primary contrasts, over which p-values are adjusted."""
    dropped: bool = False
    """Whether it was registered but is no longer among the study's contrasts unchanged."""

    @property
    def kind(self) -> str:
        return "exploratory" if self.why else "confirmatory"


def claim_statuses(
    study: Study, chain: Chain | None, trials: Sequence[CurrentTrial], looks: Sequence[Look] = ()
) -> list[ClaimStatus]:
    """Statuses of the study's contrasts in order, then of registered primary contrasts that it no longer
    has. `looks`: those that a sequential study has taken."""
    if chain is None or chain.broken:
        why = CHANGED if chain else NOT_REGISTERED
        return [ClaimStatus(contrast, why, contrast.primary) for contrast in study.contrasts]
    primary = chain.last.primary
    statuses = [
        ClaimStatus(contrast, _why(contrast, study, chain, trials, looks), contrast in primary)
        for contrast in study.contrasts
    ]
    dropped = [contrast for contrast in primary if contrast not in study.contrasts]
    return statuses + [
        ClaimStatus(contrast, _why(contrast, study, chain, trials, looks), True, dropped=True)
        for contrast in dropped
    ]


def _why(
    contrast: Contrast,
    study: Study,
    chain: Chain,
    trials: Sequence[CurrentTrial],
    looks: Sequence[Look],
) -> str | None:
    """The first reason why the contrast is exploratory; None if it is confirmatory."""
    if not contrast.primary:
        return "secondary"
    if contrast not in chain.last.primary:
        return _other(contrast, chain.last)
    first = registered_since(contrast, chain)
    if late := first.finished.get(contrast.block, 0):
        return f"{counted(late, 'trial')} of its block had finished when it was registered"
    own_trials = [current for current in trials if contrast.block in current.trial.blocks]
    if early := sum(current.finished_by(first.time) for current in own_trials):
        return f"{counted(early, 'trial')} of its block had finished before it was registered"
    if known := sum(current.answered_by(first.time) for current in own_trials):
        return f"answers of {counted(known, 'trial')} of its block were in the store before it was registered"
    if changed := [
        key for key, value in analysis_settings(study).items() if value != chain.last.analysis_settings[key]
    ]:
        return f"{changed[0]} differs from the registration"
    if declared_design(study).get("stop") != chain.last.design.get("stop"):
        return "the stopping rule differs from the registration"
    searched = any(block.name == contrast.block and block.adaptive for block in study.blocks)
    if deviation := _design(contrast, study, chain.last, own_trials):
        return deviation
    registered = [key for key, planned in chain.last.cells.items() if contrast.block in planned.blocks]
    if study.stop:
        if not (own := last_look(contrast.name, looks)):
            return "no look has been taken"
        seeds = study.seeds[: looks[own[0]]["seeds"]]
        registered = [key for key in registered if chain.last.cells[key].seed in seeds]
        own_trials = [current for current in own_trials if current.trial.seed in seeds]
    return _trials(contrast, chain.last, registered, own_trials, searched=searched)


def registered_since(contrast: Contrast, chain: Chain) -> Registration:
    """The earliest registration since which everything that decides the contrast is unchanged."""
    first = chain.last
    for link in reversed(chain.registrations[:-1]):
        if contrast not in link.primary or _decides(link, contrast) != _decides(chain.last, contrast):
            break
        first = link
    return first


def _decides(registration: Registration, contrast: Contrast) -> Any:
    """What decides the contrast: its block's trials, design and pool, its problems, the analysis."""
    block = contrast.block
    planned_trials = {key: planned for key, planned in registration.cells.items() if block in planned.blocks}
    problems = [registration.benchmarks.get(name) for name in contrast.benchmarks]
    data = registration.pools.get(block), problems
    return planned_trials, block_of(registration.design, block), data, registration.analysis_settings


def _other(contrast: Contrast, registration: Registration) -> str:
    same = [other for other in registration.contrasts if other.name == contrast.name]
    if not same:
        return "added since the registration"
    return "changed since the registration" if same[0].primary else "registered as secondary"


def _design(
    contrast: Contrast, study: Study, registration: Registration, own_trials: Sequence[CurrentTrial]
) -> str | None:
    """How the block's declaration differs from the registered one: in its factors; for a search, in
    anything."""
    before, after = (block_of(one, contrast.block) for one in (registration.design, declared_design(study)))
    if before is None or after is None:
        return f"its block is not in the {'study' if before else 'registration'}"
    if not (adaptive(before) or adaptive(after)):
        return None if factors(before) == factors(after) else "its block has other factors than registered"
    if changed := list(changes(before, after)):
        return f"its search differs from the registered one in {first_names(changed)}"
    block = next(block for block in study.blocks if block.name == contrast.block)
    return search_deviation(study, block, registration, own_trials)


def _trials(
    contrast: Contrast,
    registration: Registration,
    cells: Sequence[str],
    own_trials: Sequence[CurrentTrial],
    *,
    searched: bool,
) -> str | None:
    """How the contrast's trials differ from those registered (`cells`): missing, extra, unfinished, other
    rows or problems.

    For a search, whose trials were not known, only missing results and problems are checked.
    """
    kept = contrast.compared(cells, lambda key: registration.cells[key].asked)
    registered = {key: registration.cells[key] for key in kept}
    actual = contrast.compared(own_trials, lambda current: current.trial.overrides)
    matched = [current for current in actual if current.key in registered]
    if extra := (len(actual) - len(matched)) * (not searched):
        return f"{extra} of its trials not registered"
    if missing := len(registered.keys() - {current.key for current in matched}):
        return f"{missing} of its registered trials missing from the study"
    if unfinished := sum(not current.done for current in actual):
        return f"{unfinished} of its {len(actual)} trials without a result"
    if mixed := differing([current.trial for current in actual]):
        return f"its trials ran with different versions: {'; '.join(mixed)}"
    if other_rows := sum(
        current.digest("selection") != registered[current.key].selection for current in matched
    ):
        return f"{other_rows} of its trials trained on other rows than registered"
    for benchmark in contrast.benchmarks:
        digests = registration.benchmarks.get(benchmark, ())
        if any(current.digest(f"benchmark/{benchmark}") not in digests for current in actual):
            return f"{benchmark} has other problems than registered"
    return None
