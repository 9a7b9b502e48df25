"""Why a trial would be run, or run again; what `limo-ablate why` prints."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from limo_ablate.analysis.trials import CELLS, Trial, load_trials, read_trial, resolved
from limo_ablate.core.artifacts import json_default
from limo_ablate.core.errors import UserError
from limo_ablate.core.overrides import flat
from limo_ablate.core.project import study_file
from limo_ablate.core.typed import from_dict, nearest
from limo_ablate.report.compare.differences import Difference, changed_inputs, differences
from limo_ablate.study.design import Study, load_study
from limo_ablate.study.planned import PlannedTrial, planned_trials
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.identity import key_sections

SHOWN = 6
"""Maximum number of differences listed of a stage."""
DIGEST = re.compile("[0-9a-f]{64}")
DIGITS = 12
"""Number of characters shown of a digest."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why one planned trial would be run."""

    trial: PlannedTrial
    finished: Path | None
    """The trial's folder, if it has a result."""
    nearest: Trial | None
    """The finished trial it is compared with: one of the same name, else the one with fewest differences."""
    changed: list[Difference]
    """Keys that decide the result and differ from that trial."""
    stages: list[dict[str, Any]]
    """stage, state (found, new, waits), key?, needs?, inputs (those that changed)."""
    stale: str | None = None
    """What has changed since it finished with this key."""


def studies(name: str | None, overrides: Sequence[str]) -> list[tuple[Study, Path]]:
    """The named study and its folder, else all declared studies that have run. Raises UserError."""
    from limo_ablate.analysis.register.freeze import folder_of
    from limo_ablate.trial.compose import compose

    if name is not None and (Path(name) / "study.yaml").is_file():
        return [(load_study(str(Path(name) / "study.yaml"), overrides), Path(name))]
    if name is not None:
        study = load_study(name, overrides)
        return [(study, folder_of(study))]
    root = Path(compose([]).paths.studies)
    names = [path.parent.name for path in root.glob("*/study.yaml")]
    known = sorted(stem for stem in names if study_file(stem))
    loaded = [load_study(stem, overrides) for stem in known]
    return [(study, folder_of(study)) for study in loaded]


def find_trials(text: str, known: Sequence[tuple[Study, Path]]) -> tuple[Path, list[PlannedTrial]]:
    """The study's folder and the planned trials of the cell or trial named by `text`. Raises UserError."""
    every = [(folder, trial) for study, folder in known for trial in planned_trials(study)]
    stems = [trial.name.removesuffix(f"-s{trial.seed}") for _, trial in every]
    for matches in (
        [trial.name == text for _, trial in every],
        [stem == text for stem in stems],
        [text in stem for stem in stems],
        [text in trial.name for _, trial in every],
    ):
        pairs = [pair for pair, match in zip(every, matches, strict=True) if match]
        matched = {(folder, trial.name.removesuffix(f"-s{trial.seed}")) for folder, trial in pairs}
        if len(matched) == 1:
            return pairs[0][0], [trial for _, trial in pairs]
        if matched:
            names = sorted(f"{folder.name}/{stem}" for folder, stem in matched)
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            raise UserError(
                f"{text} matches {len(names)} names: {', '.join(names[:SHOWN])}{more}; "
                "give more of the name, or --study"
            )
    near = nearest(text, [*stems, *(trial.name for _, trial in every)])
    there = ", ".join(list(dict.fromkeys(stems))[:SHOWN])
    raise UserError(
        f"{text}: no trial or cell of {', '.join(study.name for study, _ in known) or 'any study'}{near} "
        f"There are {there}{', ...' if len(set(stems)) > SHOWN else ''}"
    )


def why(trial: PlannedTrial, folder: Path) -> Explanation:
    """Compares a planned trial with a finished one. Raises UserError where a stage would."""
    from limo_ablate.analysis.results import GONE, Results
    from limo_ablate.trial.dry_run import DryRun

    place, why_not = folder / "trials" / trial.folder, Results(folder).why_not(trial)
    if why_not is None:
        return Explanation(trial, place, None, [], [])
    stale = None if why_not == GONE else why_not
    if stale:
        row = {
            "name": trial.name,
            "key": trial.key,
            "seed": trial.seed,
            "blocks": (),
            "overrides": trial.levels,
        }
        before: Trial | None = read_trial(place, row)
    else:
        before = _nearest(trial, load_trials(folder) if (folder / CELLS).is_file() else [])
    artifacts = (before.metrics or {}).get("artifacts", {}) if before else {}
    store, stages = trial.config.paths.store(), []
    for step in DryRun(trial.config).go():
        state = "found" if step.found else "waits" if step.needs else "new"
        fresh = changed_inputs(step, artifacts, store)
        key = step.found.key if step.found else None
        inputs = None if fresh is None else [asdict(one) for one in fresh]
        stages.append({"stage": step.name, "state": state, "key": key, "needs": step.needs, "inputs": inputs})
    changed = _changed(before, trial.config) if before else []
    return Explanation(trial, None, before, changed, stages, stale)


def _nearest(planned: PlannedTrial, trials: Sequence[Trial]) -> Trial | None:
    done = [trial for trial in trials if trial.metrics]
    same = [trial for trial in done if trial.name == planned.name]
    alike = [trial for trial in done if trial.seed == planned.seed] or done
    return min(same or alike, key=lambda trial: len(_changed(trial, planned.config)), default=None)


def _changed(before: Trial, now: TrialConfig) -> list[Difference]:
    try:
        old = from_dict(TrialConfig, resolved(before.folder))
    except UserError as error:
        return [Difference(f"configuration of an earlier form ({error})", "", "")]
    return differences([key_content(old)], [key_content(now)])


def key_content(config: TrialConfig) -> dict[str, str]:
    """Dotted key -> value for the settings in a trial's key, see `identity`."""
    content = {
        name: {key: value for key, value in json_default(section).items() if key not in without}
        for name, (section, without) in key_sections(config).items()
    }
    content.setdefault("select", {"size": config.select.size})
    return flat({**json.loads(json.dumps(content, default=json_default)), "seed": config.seed})


def as_json(explanation: Explanation) -> dict[str, Any]:
    """The explanation in JSON types."""
    return {
        "trial": explanation.trial.name,
        "finished": str(explanation.finished) if explanation.finished else None,
        "compared_with": explanation.nearest.name if explanation.nearest else None,
        "stale": explanation.stale,
        "changed": [asdict(one) for one in explanation.changed],
        "stages": explanation.stages,
    }


def text(explanations: Sequence[Explanation]) -> str:
    """A line for each finished trial; the first unfinished one in full."""
    lines = [
        f"{explanation.trial.name}: nothing changed, already finished: {explanation.finished}"
        for explanation in explanations
        if explanation.finished
    ]
    unfinished = [explanation for explanation in explanations if not explanation.finished]
    lines += [line for explanation in unfinished[:1] for line in _full(explanation)]
    if len(unfinished) > 1:
        lines.append(
            f"also to be run: {', '.join(explanation.trial.name for explanation in unfinished[1:])}; `why` "
            "explains each by its name"
        )
    return "\n".join(lines)


def _full(explanation: Explanation) -> list[str]:
    if explanation.stale:
        lines = [f"{explanation.trial.name} would be run again: {explanation.stale}"]
    elif explanation.nearest is None:
        lines = [f"{explanation.trial.name} would be run:"]
        lines.append("  no trial of its study has finished")
    else:
        lines = [f"{explanation.trial.name} would be run:"]
        count = len(explanation.changed)
        counted = f"{count} key{'s differ' if count > 1 else ' differs'}" if count else "no key differs"
        lines.append(f"  compared with the finished trial {explanation.nearest.name}: {counted}")
        lines += [f"    {_short(one)}" for one in explanation.changed[:SHOWN]]
        lines += (
            [f"    and {len(explanation.changed) - SHOWN} more"] if len(explanation.changed) > SHOWN else []
        )
    lines += [f"  {line}" for stage in explanation.stages for line in _stage(stage)]
    if all(stage["state"] == "found" for stage in explanation.stages):
        lines.append("  everything is in the store: nothing would be computed, only recorded")
    return lines


def _stage(stage: Mapping[str, Any]) -> list[str]:
    name = f"{stage['stage']:20}"
    if stage["state"] == "found":
        return [f"{name} found ({stage['key']})"]
    if stage["state"] == "waits":
        return [f"{name} would be made, unless {stage['needs']} comes out unchanged"]
    if stage["inputs"] is None:
        return [f"{name} would be made; the finished trial's artifact is not in the store for comparison"]
    if not stage["inputs"]:
        return [f"{name} would be made: its inputs are unchanged, but it is no longer in the store"]
    new = [Difference(one["key"], one["a"], one["b"]) for one in stage["inputs"]]
    more = [f"{'':20}   and {len(new) - SHOWN} more"] if len(new) > SHOWN else []
    return [
        f"{name} would be made, because of changed inputs:",
        *(f"{'':20}   {_short(one)}" for one in new[:SHOWN]),
        *more,
    ]


def _short(one: Difference) -> str:
    if DIGEST.fullmatch(one.a) and DIGEST.fullmatch(one.b):
        return f"{one.key}: {one.a[:DIGITS]} → {one.b[:DIGITS]}"
    return str(one)
