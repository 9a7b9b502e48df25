"""Differences in how two arms were run: resolved configurations, code, versions, hardware."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from limo_ablate.analysis.trials import resolved
from limo_ablate.core.artifacts import Store
from limo_ablate.core.errors import UserError
from limo_ablate.core.overrides import flat
from limo_ablate.core.provenance import read_provenance
from limo_ablate.report.compare.arms import Arm
from limo_ablate.study.folder import IMPORTED
from limo_ablate.trial.dry_run import Step
from limo_ablate.trial.identity import WITHOUT_EFFECT

ABSENT = "–"
RUN = ("git", "versions", "hardware")
"""Keys of provenance.json that describe how the trial was run."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A key whose values differ between the arms."""

    key: str
    a: str
    b: str
    """Several values (of several seeds) are separated by commas."""
    matters: bool = True
    """Whether the difference may change a result."""

    def __str__(self) -> str:
        return f"{self.key}: {self.a} → {self.b}"


def configurations(a: Arm, b: Arm) -> list[Difference]:
    """Differences of configurations by dotted key. Seeds that follow the trial's own are covered by
    `seed`."""
    both = [[flat(resolved(trial.folder)) for trial in arm.trials] for arm in (a, b)]
    every = [config for side in both for config in side]
    derived = {
        key
        for key in every[0]
        if key.endswith(".seed") and all(config.get(key) == config["seed"] for config in every)
    }
    differing = differences(*both)
    return [
        Difference(one.key, one.a, one.b, one.key.partition(".")[0] not in WITHOUT_EFFECT)
        for one in differing
        if one.key not in derived
    ]


def runs(a: Arm, b: Arm) -> list[Difference]:
    """Differences in code, package versions, hardware, content of files and versions of stages.

    Of the runs behind imported logs only the files are known.
    """
    both = []
    for arm in (a, b):
        facts = [
            {} if IMPORTED in resolved(trial.folder) else read_provenance(trial.folder)
            for trial in arm.trials
        ]
        inputs = [(trial.metrics or {})["inputs"] for trial in arm.trials]
        pairs = zip(facts, inputs, strict=True)
        both.append([flat({key: fact.get(key) for key in RUN} | {"inputs": own}) for fact, own in pairs])
    return differences(*both)


def differences(a: Sequence[Mapping[str, str]], b: Sequence[Mapping[str, str]]) -> list[Difference]:
    """The keys whose sets of values differ between two groups of flat mappings."""
    keys = dict.fromkeys(key for side in (a, b) for one in side for key in one)
    candidates = [Difference(key, _values(a, key), _values(b, key)) for key in keys]
    return [one for one in candidates if one.a != one.b and {one.a, one.b} != {ABSENT, "null"}]


def _values(side: Sequence[Mapping[str, str]], key: str) -> str:
    return ", ".join(sorted({one.get(key, ABSENT) for one in side}))


def changed_inputs(step: Step, before: Mapping[str, Any], store: Store) -> list[Difference] | None:
    """The changed inputs of a missing artifact, compared to the artifacts `before` of a finished trial.

    None if that trial has no such artifact, or its manifest is no longer in the store.
    """
    if step.missing is None or step.name not in before:
        return None
    try:
        manifest = store.manifest(step.missing.stage, before[step.name]["key"])
    except (OSError, UserError):
        return None
    old = {"version": manifest["version"], **manifest["inputs"]}
    new = {"version": step.missing.version, **step.missing.inputs}
    return differences([flat(old, lists=True)], [flat(new, lists=True)])
