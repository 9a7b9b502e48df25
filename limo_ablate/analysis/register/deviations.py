"""Deviations of a study from its registration, a line each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from limo_ablate.analysis.looks import Look, released
from limo_ablate.analysis.register.current_trials import CurrentTrial, analysis_settings
from limo_ablate.analysis.register.declaration import block_of, changes, declared_design, first_names
from limo_ablate.analysis.register.registration import Chain, RegisteredTrial, Registration
from limo_ablate.analysis.register.search_check import search_deviation
from limo_ablate.analysis.run_differences import facts_of, run_facts
from limo_ablate.core.text import counted
from limo_ablate.study.contrast import Contrast
from limo_ablate.study.design import Study


def deviations(
    study: Study, chain: Chain, trials: Sequence[CurrentTrial], looks: Sequence[Look] = ()
) -> list[str]:
    """All deviations, contrasts first. `looks`: those that a sequential study has taken; trials that they
    have not released are not missing."""
    last = chain.last
    due = released(last.cells.values(), study, looks)
    return [
        *_contrasts(study.contrasts, last.contrasts),
        *_stop(study, last),
        *_design(study, last),
        *_seeds(trials, {cell.seed for cell in due}, last),
        *_trials(trials, due, last, [block.name for block in study.blocks if not block.adaptive]),
        *_searches(study, last, trials),
        *_data(trials, last),
        *_analysis(study, last),
        *_versions(trials, last),
        *_late(trials, last),
        *(f"registered before at {link.time}, hash {link.hash[:12]}" for link in chain.registrations[:-1]),
    ]


def _contrasts(now: Sequence[Contrast], registered: Sequence[Contrast]) -> Iterator[str]:
    before, after = ({contrast.name: asdict(contrast) for contrast in side} for side in (registered, now))
    for name in {**before, **after}:
        if name not in after:
            yield f"contrast dropped: {name}"
        elif name not in before:
            yield f"contrast added: {name}"
        elif changed := [key for key in before[name] if before[name][key] != after[name][key]]:
            values = ", ".join(f"{key} {before[name][key]} → {after[name][key]}" for key in changed)
            yield f"contrast changed: {name}: {values}"


def _stop(study: Study, registered: Registration) -> Iterator[str]:
    before, now = ({"stop": one.get("stop")} for one in (registered.design, declared_design(study)))
    if differing := changes(before, now):
        yield f"stopping rule: {', '.join(f'{key} {how}' for key, how in differing.items())}"


def _design(study: Study, registered: Registration) -> Iterator[str]:
    """Deviations of the blocks, including blocks that were added later."""
    declared = declared_design(study)
    for name in dict.fromkeys(
        block["name"] for one in (registered.design, declared) for block in one["blocks"]
    ):
        before, after = block_of(registered.design, name), block_of(declared, name)
        if before is None or after is None:
            yield f"block {'dropped' if before else 'added'}: {name}"
        elif differing := changes(before, after):
            yield f"block changed: {name}: {', '.join(f'{key} {how}' for key, how in differing.items())}"


def _seeds(trials: Sequence[CurrentTrial], due: set[int], registered: Registration) -> Iterator[str]:
    """`due`: seeds of the registered trials that a sequential study has released."""
    now = {current.trial.seed for current in trials}
    blocks = registered.design["blocks"]
    before = {seed for block in blocks for seed in block["seeds"] or registered.design["seeds"]}
    if now - before or (before if registered.design.get("stop") is None else due) - now:
        yield f"seeds: registered {_numbers(before)}, run {_numbers(now)}"


def _trials(
    trials: Sequence[CurrentTrial],
    due: Sequence[RegisteredTrial],
    registered: Registration,
    known: Sequence[str],
) -> Iterator[str]:
    """`due`: the registered trials that should have run; `known`: the blocks whose trials are known in
    advance."""
    keys = {current.key for current in trials}
    missing = [cell.name for key, cell in registered.cells.items() if cell in due and key not in keys]
    extra = [
        current.trial.name
        for current in trials
        if current.key not in registered.cells and any(block in known for block in current.trial.blocks)
    ]
    unfinished = [
        current.trial.name for current in trials if current.key in registered.cells and not current.done
    ]
    yield from _counted("registered trial", "missing from the study", missing)
    yield from _counted("trial", "not registered", extra)
    yield from _counted("registered trial", "without a result", unfinished)


def _searches(study: Study, registered: Registration, trials: Sequence[CurrentTrial]) -> Iterator[str]:
    for block in study.blocks:
        if block.adaptive and (why := search_deviation(study, block, registered, trials)):
            yield f"block {block.name}: {why}"


def _data(trials: Sequence[CurrentTrial], registered: Registration) -> Iterator[str]:
    planned = registered.cells
    finished = [current for current in trials if current.done]
    other = [
        current.trial.name
        for current in finished
        if current.key in planned and current.digest("selection") != planned[current.key].selection
    ]
    yield from _counted("trial", "trained on other rows than registered", other)
    for name, digests in registered.benchmarks.items():
        answered = [
            current for current in finished if current.digest(f"benchmark/{name}") not in (None, *digests)
        ]
        differing = [current.trial.name for current in answered]
        yield from _counted("trial", f"answered other problems of {name} than registered", differing)


def _analysis(study: Study, registered: Registration) -> Iterator[str]:
    for key, used in analysis_settings(study).items():
        if used != registered.analysis_settings[key]:
            yield f"{key}: registered {registered.analysis_settings[key]}, used {used}"


def _versions(trials: Sequence[CurrentTrial], registered: Registration) -> Iterator[str]:
    """Code and packages that trials ran with, where these are not the registered ones."""
    before = facts_of(registered.code, registered.versions)
    finished = [run_facts(current.trial.folder) for current in trials if current.done]
    for name, version in before.items():
        if used := sorted({facts[name] for facts in finished} - {version}):
            what = "code of limo-ablate" if name == "code" else name
            yield f"{what}: registered {version}, trials ran with {', '.join(used)}"


def _late(trials: Sequence[CurrentTrial], registered: Registration) -> Iterator[str]:
    for block, count in registered.finished.items():
        yield f"{counted(count, 'trial')} of block '{block}' had finished when it was registered"
    if not registered.finished:
        early = [current.trial.name for current in trials if current.finished_by(registered.time)]
        yield from _counted("trial", "had finished before it was registered", early)
    known = [
        current.trial.name
        for current in trials
        if current.answered_by(registered.time) and not current.finished_by(registered.time)
    ]
    yield from _counted("trial", "had answers in the store before it was registered", known)


def _counted(noun: str, what: str, names: Sequence[str]) -> Iterator[str]:
    if names:
        yield f"{counted(len(names), noun)} {what}: {first_names(names)}"


def _numbers(numbers: set[int]) -> str:
    return ", ".join(map(str, sorted(numbers))) or "none"
