"""What each contrast may claim: confirmatory where it, its cells and its data are those registered before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
from limo_ablate.study.contrast import Contrast
from limo_ablate.study.design import Study

NOT_REGISTERED = "not registered"
CHANGED = "the registration has been changed"
"""Why all of a study is exploratory."""


@dataclass(frozen=True, slots=True)
class ClaimStatus:
    """A contrast, and what it may claim."""

    contrast: Contrast
    why: str | None
    """Why it is exploratory; null when it is confirmatory."""
    family: bool
    """Whether it is one of the registered primary contrasts, which share alpha."""
    dropped: bool = False
    """Registered, but no longer among the study's contrasts as it was."""

    @property
    def kind(self) -> str:
        return "exploratory" if self.why else "confirmatory"


def claim_statuses(study: Study, chain: Chain | None, cells: Sequence[CurrentTrial]) -> list[ClaimStatus]:
    """Of the study's contrasts, in their order, then of registered primary ones that it no longer has."""
    if chain is None or chain.broken:
        why = CHANGED if chain else NOT_REGISTERED
        return [ClaimStatus(contrast, why, contrast.primary) for contrast in study.contrasts]
    primary = chain.last.primary
    found = [
        ClaimStatus(contrast, _why(contrast, study, chain, cells), contrast in primary)
        for contrast in study.contrasts
    ]
    gone = [contrast for contrast in primary if contrast not in study.contrasts]
    return found + [
        ClaimStatus(contrast, _why(contrast, study, chain, cells), True, dropped=True) for contrast in gone
    ]


def _why(contrast: Contrast, study: Study, chain: Chain, cells: Sequence[CurrentTrial]) -> str | None:
    """The first reason that makes it exploratory."""
    if not contrast.primary:
        return "secondary"
    if contrast not in chain.last.primary:
        return _other(contrast, chain.last)
    first = registered_since(contrast, chain)
    if late := first.finished.get(contrast.block, 0):
        return f"{late} trials of its block had finished when it was registered"
    own = [cell for cell in cells if contrast.block in cell.trial.blocks]
    if early := sum(cell.finished_by(first.time) for cell in own):
        return f"{early} trials of its block had finished before it was registered"
    if used := [key for key, value in analysis_settings(study).items() if value != chain.last.decided[key]]:
        return f"another {used[0]} than registered"
    searched = any(block.name == contrast.block and block.adaptive for block in study.blocks)
    search_deviation = _design(contrast, study, chain.last, own)
    return search_deviation or _cells(contrast, chain.last, own, searched=searched)


def registered_since(contrast: Contrast, chain: Chain) -> Registration:
    """The registration since which all that decides the contrast is as in the last one."""
    first = chain.last
    for link in reversed(chain.links[:-1]):
        if contrast not in link.primary or _decides(link, contrast) != _decides(chain.last, contrast):
            break
        first = link
    return first


def _decides(registration: Registration, contrast: Contrast) -> Any:
    """Cells, design and pool of its block, the problems of its score, the analysis."""
    block = contrast.block
    cells = {key: cell for key, cell in registration.cells.items() if block in cell.blocks}
    data = registration.pools.get(block), registration.benchmarks.get(_benchmark(contrast))
    return cells, block_of(registration.design, block), data, registration.decided


def _benchmark(contrast: Contrast) -> str:
    return contrast.score.partition("/")[0]


def _other(contrast: Contrast, registration: Registration) -> str:
    same = [other for other in registration.contrasts if other.name == contrast.name]
    if not same:
        return "added since the registration"
    return "changed since the registration" if same[0].primary else "registered as secondary"


def _design(
    contrast: Contrast, study: Study, registration: Registration, own: Sequence[CurrentTrial]
) -> str | None:
    """Whether its block is declared as registered: of a known one its factors, of a searched one all."""
    before, after = (block_of(one, contrast.block) for one in (registration.design, declared_design(study)))
    if before is None or after is None:
        return f"its block is not in the {'study' if before else 'registration'}"
    if not (adaptive(before) or adaptive(after)):
        return None if factors(before) == factors(after) else "its block has other factors than registered"
    if differing := list(changes(before, after)):
        return f"its search differs from the registered one in {first_names(differing)}"
    block = next(block for block in study.blocks if block.name == contrast.block)
    return search_deviation(study, block, registration, own)


def _cells(
    contrast: Contrast, registration: Registration, own: Sequence[CurrentTrial], *, searched: bool
) -> str | None:
    """Whether the cells of the contrast are those registered, with results, of the same rows and problems.

    Of a searched block, whose cells were not known, only results and problems are compared.
    """
    arms = (contrast.a, contrast.b)
    wanted = {
        key: cell
        for key, cell in registration.cells.items()
        if contrast.block in cell.blocks and cell.asked.get(contrast.factor) in arms
    }
    have = [cell for cell in own if cell.trial.overrides.get(contrast.factor) in arms]
    known = [cell for cell in have if cell.key in wanted]
    if extra := (len(have) - len(known)) * (not searched):
        return f"{extra} of its cells were not registered"
    if lost := len(wanted.keys() - {cell.key for cell in known}):
        return f"{lost} of its registered cells are not in the study"
    if open_ := sum(not cell.done for cell in have):
        return f"{open_} of its {len(have)} trials have no result"
    if rows := sum(cell.digest("selection") != wanted[cell.key].selection for cell in known):
        return f"{rows} of its cells trained on other rows than registered"
    benchmark = _benchmark(contrast)
    asked = registration.benchmarks.get(benchmark, ())
    if any(cell.digest(f"benchmark/{benchmark}") not in asked for cell in have):
        return f"{benchmark} has other problems than registered"
    return None
