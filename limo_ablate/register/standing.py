"""What each contrast may claim: confirmatory where it, its cells and its data are those registered before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from limo_ablate.contrast import Contrast
from limo_ablate.register.present import Present
from limo_ablate.register.registration import Chain, Registration
from limo_ablate.study.block import Block

NOT_REGISTERED = "not registered"
CHANGED = "the registration has been changed"
"""Why all of a study is exploratory."""


@dataclass(frozen=True, slots=True)
class Standing:
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


def standings(
    contrasts: Sequence[Contrast],
    blocks: Sequence[Block],
    chain: Chain | None,
    cells: Mapping[str, Present],
) -> list[Standing]:
    """Of the study's `contrasts`, in their order, then of registered primary ones that it no longer has."""
    if chain is None or chain.broken:
        why = CHANGED if chain else NOT_REGISTERED
        return [Standing(contrast, why, contrast.primary) for contrast in contrasts]
    adaptive = {block.name for block in blocks if block.adaptive}
    primary = chain.last.primary
    found = [
        Standing(contrast, _why(contrast, chain, cells, adaptive), contrast in primary)
        for contrast in contrasts
    ]
    gone = [contrast for contrast in primary if contrast not in contrasts]
    return found + [
        Standing(contrast, _why(contrast, chain, cells, adaptive), True, dropped=True) for contrast in gone
    ]


def _why(contrast: Contrast, chain: Chain, cells: Mapping[str, Present], adaptive: set[str]) -> str | None:
    """The first reason that makes it exploratory."""
    if not contrast.primary:
        return "secondary"
    if contrast not in chain.last.primary:
        return _other(contrast, chain.last)
    first = since(contrast, chain)
    if late := first.finished.get(contrast.block, 0):
        return f"{late} trials of its block had finished when it was registered"
    own = {key: cell for key, cell in cells.items() if contrast.block in cell.trial.blocks}
    if early := sum(cell.finished_by(first.time) for cell in own.values()):
        return f"{early} trials of its block had finished before it was registered"
    return _cells(contrast, chain.last, own, searched=contrast.block in adaptive)


def since(contrast: Contrast, chain: Chain) -> Registration:
    """The registration since which the contrast and the cells and design of its block are as in the last."""
    first = chain.last
    for link in reversed(chain.links[:-1]):
        if contrast not in link.primary or _block(link, contrast) != _block(chain.last, contrast):
            break
        first = link
    return first


def _block(registration: Registration, contrast: Contrast) -> Any:
    cells = {key: cell for key, cell in registration.cells.items() if contrast.block in cell.blocks}
    design = [block for block in registration.design["blocks"] if block["name"] == contrast.block]
    return cells, design


def _other(contrast: Contrast, registration: Registration) -> str:
    same = [other for other in registration.contrasts if other.name == contrast.name]
    if not same:
        return "added since the registration"
    return "changed since the registration" if same[0].primary else "registered as secondary"


def _cells(
    contrast: Contrast, registration: Registration, own: Mapping[str, Present], *, searched: bool
) -> str | None:
    """Whether the cells of the contrast are those registered, with results, of the same rows and problems."""
    arms = (contrast.a, contrast.b)
    wanted = {
        key
        for key, cell in registration.cells.items()
        if contrast.block in cell.blocks and cell.asked.get(contrast.factor) in arms
    }
    have = {key for key, cell in own.items() if cell.trial.asked.get(contrast.factor) in arms}
    if extra := len(have - wanted) * (not searched):
        return f"{extra} of its cells were not registered"
    if lost := len(wanted - have):
        return f"{lost} of its registered cells are not in the study"
    if open_ := sum(not own[key].done for key in have):
        return f"{open_} of its {len(have)} trials have no result"
    rows = [key for key in have & wanted if own[key].digest("selection") != registration.cells[key].selection]
    if rows:
        return f"{len(rows)} of its cells trained on other rows than registered"
    benchmark = contrast.score.partition("/")[0]
    asked = registration.benchmarks.get(benchmark, ())
    if any(own[key].digest(f"benchmark/{benchmark}") not in asked for key in have):
        return f"{benchmark} has other problems than registered"
    return None
