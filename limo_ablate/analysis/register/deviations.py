"""What became different between a study's registration and its results, a line each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from limo_ablate.analysis.register.current_trials import CurrentTrial, analysis_settings
from limo_ablate.analysis.register.declaration import block_of, changes, declared_design, first_names
from limo_ablate.analysis.register.registration import Chain, Registration
from limo_ablate.analysis.register.search_check import search_deviation
from limo_ablate.study.contrast import Contrast
from limo_ablate.study.design import Study


def deviations(study: Study, chain: Chain, cells: Sequence[CurrentTrial]) -> list[str]:
    """All of them, contrasts first."""
    last = chain.last
    return [
        *_contrasts(study.contrasts, last.contrasts),
        *_design(study, last),
        *_seeds(cells, last),
        *_cells(cells, last, [block.name for block in study.blocks if not block.adaptive]),
        *_searches(study, last, cells),
        *_data(cells, last),
        *_analysis(study, last),
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


def _design(study: Study, registered: Registration) -> Iterator[str]:
    """Of the blocks; what a study that was extended has more is told too."""
    declared = declared_design(study)
    for name in dict.fromkeys(
        block["name"] for one in (registered.design, declared) for block in one["blocks"]
    ):
        before, after = block_of(registered.design, name), block_of(declared, name)
        if before is None or after is None:
            yield f"block {'dropped' if before else 'added'}: {name}"
        elif differing := changes(before, after):
            yield f"block changed: {name}: {', '.join(f'{key} {how}' for key, how in differing.items())}"


def _seeds(cells: Sequence[CurrentTrial], registered: Registration) -> Iterator[str]:
    now = {cell.trial.seed for cell in cells}
    blocks = registered.design["blocks"]
    before = {seed for block in blocks for seed in block["seeds"] or registered.design["seeds"]}
    if now != before:
        yield f"seeds: registered {_numbers(before)}, run {_numbers(now)}"


def _cells(cells: Sequence[CurrentTrial], registered: Registration, known: Sequence[str]) -> Iterator[str]:
    """`known`: the blocks whose cells are known beforehand."""
    there = {cell.key for cell in cells}
    missing = [cell.name for key, cell in registered.cells.items() if key not in there]
    extra = [
        cell.trial.name
        for cell in cells
        if cell.key not in registered.cells and any(block in known for block in cell.trial.blocks)
    ]
    unfinished = [cell.trial.name for cell in cells if cell.key in registered.cells and not cell.done]
    yield from _counted("registered cells are not in the study", missing)
    yield from _counted("cells were not registered", extra)
    yield from _counted("registered trials have no result", unfinished)


def _searches(study: Study, registered: Registration, cells: Sequence[CurrentTrial]) -> Iterator[str]:
    for block in study.blocks:
        if block.adaptive and (why := search_deviation(study, block, registered, cells)):
            yield f"block {block.name}: {why}"


def _data(cells: Sequence[CurrentTrial], registered: Registration) -> Iterator[str]:
    known = registered.cells
    done = [cell for cell in cells if cell.done]
    other = [
        cell.trial.name
        for cell in done
        if cell.key in known and cell.digest("selection") != known[cell.key].selection
    ]
    yield from _counted("cells trained on other rows than registered", other)
    for name, digests in registered.benchmarks.items():
        answered = [cell for cell in done if cell.digest(f"benchmark/{name}") not in (None, *digests)]
        differing = [cell.trial.name for cell in answered]
        yield from _counted(f"cells answered other problems of {name} than registered", differing)


def _analysis(study: Study, registered: Registration) -> Iterator[str]:
    for key, used in analysis_settings(study).items():
        if used != registered.decided[key]:
            yield f"{key}: registered {registered.decided[key]}, used {used}"


def _late(cells: Sequence[CurrentTrial], registered: Registration) -> Iterator[str]:
    for block, count in registered.finished.items():
        yield f"{count} trials of block '{block}' had finished when it was registered"
    if not registered.finished:
        early = [cell.trial.name for cell in cells if cell.finished_by(registered.time)]
        yield from _counted("trials had finished before it was registered", early)


def _counted(what: str, names: Sequence[str]) -> Iterator[str]:
    if names:
        yield f"{len(names)} {what}: {first_names(names)}"


def _numbers(found: set[int]) -> str:
    return ", ".join(map(str, sorted(found))) or "none"
