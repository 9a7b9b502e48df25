"""Checks the trials of a study before any of them starts: all that `limo_ablate.trial.checks` lists, each
distinct part of their configurations once, and the disk.

    found = check_trials([(trial.name, trial.config) for trial in trials])
    found.refuse()                        # raises UserError with all problems, a line each
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from limo_ablate.core.artifacts import NotInStore, find_only
from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import visible_gpus
from limo_ablate.core.remote.object_store import is_url, store_folder
from limo_ablate.core.text import counted
from limo_ablate.model.train.memory import size
from limo_ablate.sweep.plan.cost import shape_of
from limo_ablate.sweep.plan.fit import CHECKPOINT, SAVED
from limo_ablate.trial.checks import CHECKS, Check
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.known import Known, NotChecked, Notice
from limo_ablate.trial.track.tracker import NoTracker

NAMED = 3
"""Trials that a line names."""
NamedConfig = tuple[str, TrialConfig]


@dataclass(frozen=True, slots=True)
class Preflight:
    total: int
    """Number of trials."""
    problems: dict[str, list[str]] = field(default_factory=dict)
    """Reason why trials can't run -> their names."""
    unknown: dict[str, list[str]] = field(default_factory=dict)
    """What is known only once trials run -> their names."""
    broken: dict[str, list[str]] = field(default_factory=dict)
    """Checks that failed themselves -> the names of the trials they were for."""

    def lines(self, found: dict[str, list[str]]) -> list[str]:
        """A line for each reason, with the number of its trials and the first of their names."""
        return [f"{reason} ({self._trials(names)})" for reason, names in found.items()]

    def refuse(self) -> None:
        """Raises UserError where there are problems."""
        lines = self.lines(self.problems)
        if len(lines) == 1:
            raise UserError(lines[0])
        if lines:
            raise UserError("\n  ".join([f"{len(lines)} problems, so nothing is started:", *lines]))

    def _trials(self, names: list[str]) -> str:
        if len(names) == self.total > 1:
            return f"all {self.total} trials"
        more = ", ..." if len(names) > NAMED else ""
        return f"{counted(len(names), 'trial')}: {', '.join(names[:NAMED])}{more}"


def check_trials(trials: Sequence[NamedConfig], *, elsewhere: bool = False) -> Preflight:
    """What is found about these trials, names and configurations. Raises nothing.

    `elsewhere`: they may run on another machine, so what this one lacks of GPUs for them is no problem.
    """
    found, known = Preflight(len(trials)), Known()
    absent = {name for name, config in trials if elsewhere and not _runs_here(config, known)}
    for check in CHECKS:
        distinct: dict[object, list[NamedConfig]] = {}
        for trial in trials:
            if not (check.here and trial[0] in absent):
                distinct.setdefault(known.number(check.parts(trial[1])), []).append(trial)
        for alike in distinct.values():
            _run(check, alike, known, found)
    if absent:
        found.unknown["not checked: packages, as this machine lacks their GPUs"] = sorted(absent)
    try:
        found.problems.update(_disk([trial for trial in trials if trial[0] not in absent], known))
    except Exception as error:
        found.broken[_broken("the disk", error)] = [name for name, _ in trials]
    return found


def _runs_here(config: TrialConfig, known: Known) -> bool:
    gpus = known.once(("gpus",), lambda: len(visible_gpus()))
    return config.hardware.device == "cpu" or gpus >= config.hardware.processes // config.hardware.nodes


def _run(check: Check, alike: Sequence[NamedConfig], known: Known, found: Preflight) -> None:
    config = alike[0][1]
    if check.builds and known.denied(config):
        return
    try:
        check.run(config, known)
        return
    except UserError as error:
        where, text = found.problems, str(error)
    except NotChecked as error:
        where, text = found.unknown, str(error) if isinstance(error, Notice) else f"not checked: {error}"
    except Exception as error:  # a mistake of ours must not stop trials that would run
        where, text = found.broken, _broken(f"the check of {check.name}", error)
    names = where.setdefault(text, [])
    before = set(names)
    names += [name for name, _ in alike if name not in before]


def _broken(what: str, error: Exception) -> str:
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return f"{what} failed itself, and is left out: {reason}"


def _disk(trials: Sequence[NamedConfig], known: Known) -> dict[str, list[str]]:
    """Stores on whose disk the weights of the trials and a checkpoint have no room."""
    stores: dict[str, list[tuple[NamedConfig, int]]] = defaultdict(list)
    for name, config in trials:
        shape = shape_of(config.model) if config.select.size != 0 and config.train.lora is None else None
        if shape is not None:
            stores[str(store_folder(config.paths.artifacts, config.paths.cache))].append(
                ((name, config), shape.parameters)
            )
    found = {}
    for store, own in stores.items():
        folder = Path(store).absolute()
        free = shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free
        if _bytes(own) > free:  # some of them may share their weights
            own = list({_training(trial[1], known): (trial, count) for trial, count in own}.values())
            own = [training for training in own if not _in_store(training[0][1])]
        if own and (needed := _bytes(own)) > free:
            text = f"weights and a checkpoint need about {size(needed)}, {size(free)} are free"
            key = "cache" if is_url(own[0][0][1].paths.artifacts) else "artifacts"
            found[f"paths.{key}={store}: {text}"] = [name for (name, _), _ in own]
    return found


def _bytes(trainings: Sequence[tuple[NamedConfig, int]]) -> int:
    """Bytes of the weights of trainings, each given with its parameters, and of their largest checkpoint."""
    weights = sum(
        SAVED[config.model.dtype] * parameters * config.eval.models for (_, config), parameters in trainings
    )
    return weights + CHECKPOINT * max(parameters for _, parameters in trainings)


def _in_store(config: TrialConfig) -> bool:
    """Whether the trial's weights are made already."""
    from limo_ablate.trial.run import trained_model
    from limo_ablate.trial.stages import Stages

    with find_only():
        try:
            trained_model(config, Stages(), NoTracker())
        except (NotInStore, UserError):
            return False
    return True


def _training(config: TrialConfig, known: Known) -> object:
    return known.number(
        (config.data, config.select, config.model, config.train, config.hardware, config.eval.at)
    )
