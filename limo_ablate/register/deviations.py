"""What became different between a study's registration and its results, a line each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from limo_ablate.contrast import Contrast
from limo_ablate.effects import ANALYSIS
from limo_ablate.effects.power import ALPHA
from limo_ablate.register.present import Present
from limo_ablate.register.registration import Chain, Registration
from limo_ablate.study.design import Study

SHOWN = 5
"""Names that are listed."""


def deviations(study: Study, chain: Chain, cells: Mapping[str, Present]) -> list[str]:
    """All of them, contrasts first."""
    last = chain.last
    return [
        *_contrasts(study.contrasts, last.contrasts),
        *_seeds(cells, last),
        *_cells(cells, last, [block.name for block in study.blocks if not block.adaptive]),
        *_data(cells, last),
        *_analysis(last),
        *_late(cells, last),
        *(f"registered before, at {link.time}, as {link.hash[:12]}" for link in chain.links[:-1]),
    ]


def _contrasts(now: Sequence[Contrast], registered: Sequence[Contrast]) -> Iterator[str]:
    before, after = ({contrast.name: asdict(contrast) for contrast in side} for side in (registered, now))
    for name in {**before, **after}:
        if name not in after:
            yield f"contrast dropped: {name}"
        elif name not in before:
            yield f"contrast added: {name}"
        elif changed := [key for key in before[name] if before[name][key] != after[name][key]]:
            said = ", ".join(f"{key} {before[name][key]} → {after[name][key]}" for key in changed)
            yield f"contrast changed: {name}: {said}"


def _seeds(cells: Mapping[str, Present], registered: Registration) -> Iterator[str]:
    now = {cell.trial.seed for cell in cells.values()}
    before = {cell.seed for cell in registered.cells.values()}
    if before and now != before:
        yield f"seeds: registered {_numbers(before)}, run {_numbers(now)}"


def _cells(cells: Mapping[str, Present], registered: Registration, known: Sequence[str]) -> Iterator[str]:
    """`known`: the blocks whose cells are known beforehand."""
    missing = [cell.name for key, cell in registered.cells.items() if key not in cells]
    extra = [
        cell.trial.name
        for key, cell in cells.items()
        if key not in registered.cells and any(block in known for block in cell.trial.blocks)
    ]
    unfinished = [cell.trial.name for key, cell in cells.items() if key in registered.cells and not cell.done]
    yield from _listed("registered cells are not in the study", missing)
    yield from _listed("cells were not registered", extra)
    yield from _listed("registered trials have no result", unfinished)


def _data(cells: Mapping[str, Present], registered: Registration) -> Iterator[str]:
    done = {key: cell for key, cell in cells.items() if cell.done and key in registered.cells}
    other = [
        cell.trial.name
        for key, cell in done.items()
        if cell.digest("selection") != registered.cells[key].selection
    ]
    yield from _listed("cells trained on other rows than registered", other)
    for name, digests in registered.benchmarks.items():
        differing = [
            cell.trial.name for cell in done.values() if cell.digest(f"benchmark/{name}") not in digests
        ]
        yield from _listed(f"cells answered other problems of {name} than registered", differing)


def _analysis(registered: Registration) -> Iterator[str]:
    if registered.alpha != ALPHA:
        yield f"alpha: registered {registered.alpha:g}, used {ALPHA:g}"
    if registered.analysis != ANALYSIS:
        yield f"analysis version: registered {registered.analysis}, used {ANALYSIS}"


def _late(cells: Mapping[str, Present], registered: Registration) -> Iterator[str]:
    for block, count in registered.finished.items():
        yield f"{count} trials of block '{block}' had finished when it was registered"
    if not registered.finished:
        early = [cell.trial.name for cell in cells.values() if cell.finished_by(registered.time)]
        yield from _listed("trials had finished before it was registered", early)


def _listed(what: str, names: Sequence[str]) -> Iterator[str]:
    if names:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        yield f"{len(names)} {what}: {', '.join(names[:SHOWN])}{more}"


def _numbers(found: set[int]) -> str:
    return ", ".join(map(str, sorted(found))) or "none"
