"""The guard against two different studies under one name: what the ledger was last declared as.

Growing a study needs no word: all its old trials are still there. What drops trials does: it may be another
study that was given a name already taken, and its results would stand beside those of the first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from limo_ablate.core.errors import UserError
from limo_ablate.study.design import Study
from limo_ablate.study.planned import PlannedTrial
from limo_ablate.sweep.ledger.ledger import Ledger

WHEREVER = ("launch", "track", "paths")
"""Groups whose overrides change no result."""
_TOLD = ("question", "overrides", "seeds", "blocks")
_SHOWN = 3
"""Differences that are listed."""
_DIGITS = 12
"""Of a key's hash: enough to tell a million trials apart."""


def declare(ledger: Ledger, study: Study, trials: Sequence[PlannedTrial], *, extend: bool = False) -> None:
    """Keeps in the ledger what the study is now.

    Raises UserError when it no longer has trials that it had, unless it is to `extend`.
    """
    before, now, about = ledger.declared(), listed(trials), summary(study)
    old = ledger.declaration()
    had = set((before or "").split())
    dropped = had - set(now.split())
    if dropped and not extend:
        raise UserError(
            f"study {study.name}: {len(dropped)} of the {len(had)} trials in its ledger are no longer in it "
            f"({_differences(old, about)}); name=... makes another study of it, --extend goes on without them"
        )
    if before != now or any(old.get(key) != value for key, value in about.items()):
        ledger.declare(now, about)


def listed(trials: Iterable[PlannedTrial]) -> str:
    """The trials, in no order, as the ledger keeps them."""
    return " ".join(sorted(trial.key[:_DIGITS] for trial in trials))


def summary(study: Study) -> dict[str, Any]:
    """What decides the trials, JSON: optuna-dashboard shows it, and differences are told by it."""
    declared = json.loads(json.dumps(asdict(study), default=str))
    told = {key: declared[key] for key in _TOLD}
    told["overrides"] = _deciding(told["overrides"])
    told["blocks"] = {
        block.pop("name"): _without_nulls(block | {"overrides": _deciding(block["overrides"])})
        for block in told["blocks"]
    }
    return told


def _deciding(overrides: Sequence[str]) -> list[str]:
    return [given for given in overrides if re.split(r"[.=/@]", given.lstrip("+~"))[0] not in WHEREVER]


def _without_nulls(block: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in block.items() if value not in (None, [], {})}


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """`seeds: [0, 1] -> [0]; ...`, without what decides no trial."""
    before, after = _flat({**old, "question": ""}), _flat({**new, "question": ""})
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    told = [f"{key}: {before.get(key, 'none')} -> {after.get(key, 'none')}" for key in keys[:_SHOWN]]
    more = [f"{len(keys) - _SHOWN} more"] if len(keys) > _SHOWN else []
    return "; ".join(told + more) or "nothing it declares differs: conf/, the data or limo-ablate has changed"


def _flat(node: Any, path: str = "") -> dict[str, str]:
    """Dotted key -> value as text."""
    if not isinstance(node, Mapping):
        return {path: json.dumps(node, ensure_ascii=False).replace('"', "")}
    return {k: v for key, value in node.items() for k, v in _flat(value, f"{path}.{key}".lstrip(".")).items()}
