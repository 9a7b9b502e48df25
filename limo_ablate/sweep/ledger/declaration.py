"""Guards against two different studies under one name: the ledger keeps what it was last declared as, and one
elsewhere also which folder it belongs to.

A study may grow, as all its old trials are still there. One that has lost trials is refused unless `--extend`
is given: it may be another study under a name already taken, whose results would be mixed with the first's.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from limo_ablate.core.errors import UserError
from limo_ablate.core.files import write_atomically
from limo_ablate.core.overrides import flat
from limo_ablate.study.design import Study
from limo_ablate.study.planned import PlannedTrial
from limo_ablate.sweep.ledger.ledger import Ledger
from limo_ablate.trial.identity import WITHOUT_EFFECT

LEDGER_ID = "ledger_id"
"""File of a study's folder, and attribute of its ledger, that hold the same if they belong together."""
_DECLARED = ("question", "overrides", "seeds", "blocks")
_LISTED = 3
"""Number of differences that are listed."""
_DIGITS = 12
"""Digits of a key that are kept: enough to tell a million trials apart."""


def declare(ledger: Ledger, study: Study, trials: Sequence[PlannedTrial], *, extend: bool = False) -> None:
    """Stores the study's declaration in its ledger.

    Raises UserError when the study no longer has trials that it had, unless `extend` is set.
    """
    before, now, about = ledger.declared(), digest_trials(trials), summary(study)
    old = ledger.declaration()
    had = set((before or "").split())
    dropped = had - set(now.split())
    if dropped and not extend:
        raise UserError(
            f"study {study.name}: {len(dropped)} of the {len(had)} trials in its ledger are no longer in it "
            f"({_differences(old, about)}); name=... makes another study of it, --extend runs it without them"
        )
    if before != now or any(old.get(key) != value for key, value in about.items()):
        ledger.declare(now, about)


def check_folder(ledger: Ledger, folder: Path) -> None:
    """Binds a ledger that is not in the study's folder to that folder.

    Raises UserError where it is bound to another one: the files there say which runners live, so those of two
    folders would take each other for dead, and run trials twice.
    """
    file = folder / LEDGER_ID
    own = file.read_text("utf-8").strip() if file.exists() else None
    bound = ledger.declaration().get(LEDGER_ID)
    if bound is None:
        bound = own or secrets.token_hex(8)
        ledger.bind(LEDGER_ID, bound)
    elif own != bound:
        raise UserError(
            f"the ledger of study {ledger.name} belongs to another folder than {folder}: all machines of "
            "a study need the same one; or give this study another name (name=...)"
        )
    if own is None:
        write_atomically(file, bound + "\n")


def digest_trials(trials: Iterable[PlannedTrial]) -> str:
    """The trials' shortened keys, sorted, as the ledger keeps them."""
    return " ".join(sorted(trial.key[:_DIGITS] for trial in trials))


def summary(study: Study) -> dict[str, Any]:
    """What decides the trials, as JSON: for optuna-dashboard, and to say what differs."""
    declared = json.loads(json.dumps(asdict(study), default=str))
    kept = {key: declared[key] for key in _DECLARED}
    kept["overrides"] = _with_effect(kept["overrides"])
    kept["blocks"] = {
        block.pop("name"): _without_nulls(block | {"overrides": _with_effect(block["overrides"])})
        for block in kept["blocks"]
    }
    return kept


def _with_effect(overrides: Sequence[str]) -> list[str]:
    return [given for given in overrides if re.split(r"[.=/@]", given.lstrip("+~"))[0] not in WITHOUT_EFFECT]


def _without_nulls(block: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in block.items() if value not in (None, [], {})}


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """`seeds: [0, 1] -> [0]; ...`, only what decides trials."""
    before, after = flat({**old, "question": ""}), flat({**new, "question": ""})
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    shown = [f"{key}: {before.get(key, 'none')} -> {after.get(key, 'none')}" for key in keys[:_LISTED]]
    shown = [text.replace('"', "") for text in shown]
    more = [f"{len(keys) - _LISTED} more"] if len(keys) > _LISTED else []
    return (
        "; ".join(shown + more) or "nothing it declares differs: conf/, the data or limo-ablate has changed"
    )
