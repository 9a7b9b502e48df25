"""What differs in how two arms were run: resolved configurations, code, versions, hardware."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from limo_ablate.analysis.trials import resolved
from limo_ablate.report.compare.arms import Arm
from limo_ablate.sweep.ledger.declaration import WITHOUT_EFFECT

ABSENT = "–"
RUN = ("git", "versions", "hardware")
"""Of provenance.json what says how the trial was run."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A key whose values are not the same in both arms."""

    key: str
    a: str
    b: str
    """Several values, as of several seeds, with commas."""
    matters: bool = True
    """Whether it may change a result."""

    def __str__(self) -> str:
        return f"{self.key}: {self.a} → {self.b}"


def configurations(a: Arm, b: Arm) -> list[Difference]:
    """By dotted key. Seeds that only follow the trial's own are left to `seed`."""
    both = [[flat(resolved(trial.folder)) for trial in arm.trials] for arm in (a, b)]
    every = [config for side in both for config in side]
    follows = {
        key
        for key in every[0]
        if key.endswith(".seed") and all(config.get(key) == config["seed"] for config in every)
    }
    found = differences(*both)
    return [
        Difference(one.key, one.a, one.b, one.key.partition(".")[0] not in WITHOUT_EFFECT)
        for one in found
        if one.key not in follows
    ]


def runs(a: Arm, b: Arm) -> list[Difference]:
    """Commit, uncommitted changes, package versions, hardware."""
    both = []
    for arm in (a, b):
        facts = [json.loads((trial.folder / "provenance.json").read_text()) for trial in arm.trials]
        both.append([flat({key: fact.get(key) for key in RUN}) for fact in facts])
    return differences(*both)


def differences(a: Sequence[Mapping[str, str]], b: Sequence[Mapping[str, str]]) -> list[Difference]:
    """Keys whose sets of values differ between two groups of flat mappings."""
    keys = dict.fromkeys(key for side in (a, b) for one in side for key in one)
    found = [Difference(key, _values(a, key), _values(b, key)) for key in keys]
    return [one for one in found if one.a != one.b and {one.a, one.b} != {ABSENT, "null"}]


def flat(node: Any, path: str = "", *, lists: bool = False) -> dict[str, str]:
    """Dotted key -> value as text; lists are values, or with `lists` taken apart too."""
    if lists and isinstance(node, list) and node:
        node = dict(enumerate(node))
    if isinstance(node, Mapping) and node:
        parts = (flat(value, f"{path}.{key}".lstrip("."), lists=lists) for key, value in node.items())
        return {key: value for part in parts for key, value in part.items()}
    return {path: node if isinstance(node, str) else json.dumps(node, ensure_ascii=False, default=str)}


def _values(side: Sequence[Mapping[str, str]], key: str) -> str:
    return ", ".join(sorted({one.get(key, ABSENT) for one in side}))
