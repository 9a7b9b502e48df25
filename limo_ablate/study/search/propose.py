"""The trials that a search has proposed so far, and new ones.

The same rows give the same proposals, in whatever runner.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from limo_ablate.core.errors import UserError
from limo_ablate.core.overrides import format_override
from limo_ablate.study.axes import Range, keys, settings
from limo_ablate.study.planned import PlannedTrial, Proposal, TrialSpec
from limo_ablate.study.search.objectives import check_objectives
from limo_ablate.study.search.search import Search, latest, rows_of
from limo_ablate.trial.compose import compose_trials
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.identity import WITHOUT_EFFECT, trial_key

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

FIRST = 4
"""Number of a search's proposals that are checked before it begins."""
_configs: dict[tuple[str, ...], TrialConfig] = {}
"""Overrides -> composed configuration, kept because the same proposals are read from the ledger again and
again."""


def proposed_trials(search: Search, rows: Sequence[FrozenTrial]) -> list[PlannedTrial]:
    """The trials that the search has proposed so far, from its rows; one for each proposal."""
    proposals = [
        Proposal(search=search.name, **row.user_attrs["proposal"]) for _, row in sorted(latest(rows).items())
    ]
    for proposal in proposals:
        _check_levels(search, proposal)
    return _planned(search, proposals)


def _check_levels(search: Search, proposal: Proposal) -> None:
    """Raises UserError where a row of the ledger names what its search never could.

    A command, or a folder to write to, would pass by what the user was asked to trust.
    """
    axes = {key: (axis, levels) for axis, levels in search.space.axes.items() for key in keys(axis)}
    for key, value in proposal.levels.items():
        if re.split(r"[.=/@:]", key.lstrip("+~"))[0] not in (*WITHOUT_EFFECT, "hardware"):
            continue
        axis, levels = axes.get(key, (key, ()))
        known = (
            isinstance(value, int | float)
            if isinstance(levels, Range)
            else value in _values(axis, levels, key)
        )
        if not known:
            raise UserError(
                f"the ledger's proposal {proposal.number} of search '{search.name}' sets {key}, which the "
                "search does not vary like that: others have changed the ledger; run the study as name=OTHER"
            )


def _values(axis: str, levels: Sequence[Any], key: str) -> list[Any]:
    return [point[key] for point in settings(axis, levels)]


def all_proposed(searches: Sequence[Search], rows: Sequence[FrozenTrial]) -> list[PlannedTrial]:
    """The trials that the searches have proposed so far, from the ledger's rows."""
    return [trial for search in searches for trial in proposed_trials(search, rows_of(search, rows))]


def first_proposals(searches: Sequence[Search], rows: Sequence[FrozenTrial]) -> list[PlannedTrial]:
    """What the searches that have not begun will propose first, so that it can be checked beforehand."""
    begin = [search for search in searches if not rows_of(search, rows)]
    return [trial for search in begin for trial in propose(search, [], FIRST)]


def propose(search: Search, rows: Sequence[FrozenTrial], count: int) -> list[PlannedTrial]:
    """Up to `count` new trials; fewer when its trials or its points are used up. Raises UserError.

    `rows` are all rows of the search, in any state. Those that wait or run are assumed to be no better than
    the worst result so far, so that trials that run side by side are not all alike.
    """
    from limo_ablate.study.search.sampler import new_proposals  # optuna

    new = _planned(search, new_proposals(search, rows, min(count, search.remaining(rows))))
    for trial in new:
        check_objectives(search.objectives, trial.config, f"block '{search.block}'")
    return new


def _planned(search: Search, proposals: Sequence[Proposal]) -> list[PlannedTrial]:
    specs = [_spec(search, proposal) for proposal in proposals]
    missing = [spec.overrides for spec in specs if spec.overrides not in _configs]
    _configs.update(zip(missing, compose_trials(missing) if missing else (), strict=True))
    return [
        PlannedTrial(
            name=f"{search.label}-t{proposal.number:03d}-s{search.seed}",
            key=trial_key(_configs[spec.overrides]),
            overrides=spec.overrides,
            levels=spec.levels,
            seed=spec.seed,
            blocks=(spec.block,),
            config=_configs[spec.overrides],
            proposal=proposal,
        )
        for proposal, spec in zip(proposals, specs, strict=True)
    ]


def _spec(search: Search, proposal: Proposal) -> TrialSpec:
    levels = (format_override(key, level) for key, level in proposal.levels.items())
    overrides = (*search.overrides, *levels, f"seed={search.seed}")
    return TrialSpec(search.block, overrides, search.levels | proposal.levels, search.seed)
