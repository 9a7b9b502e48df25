"""A study as declared: the part of it that is registered, and differences between two declarations.

Trials known in advance are registered one by one. Trials that a search will propose are not known: there,
only the declaration of the block is registered.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from limo_ablate.core.overrides import flat, parse_overrides
from limo_ablate.study.axes import keys
from limo_ablate.study.design import Study
from limo_ablate.trial.identity import WITHOUT_EFFECT

Design = dict[str, Any]
ABSENT = "none"
SHOWN = 5
"""Number of names in a list before `and N more`."""


def declared_design(study: Study) -> Design:
    """The declared study in JSON types, without contrasts (registered separately) and figures (no
    results)."""
    declared: Design = json.loads(json.dumps(asdict(study)))
    kept = {key: declared[key] for key in ("question", "overrides", "seeds", "blocks")}
    return kept | ({"stop": declared["stop"]} if study.stop else {})


def block_of(design: Design, name: str) -> dict[str, Any] | None:
    """The block with all overrides of its trials by key, and its seeds; None if there is no such block."""
    block = next((block for block in design["blocks"] if block["name"] == name), None)
    if block is None:
        return None
    overrides = {
        one.key: one.values[0] for one in parse_overrides([*design["overrides"], *block["overrides"]])
    }
    return {
        **block,
        "overrides": result_overrides(overrides),
        "seeds": sorted(block["seeds"] or design["seeds"]),
    }


def result_overrides(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The overrides that can change a result, key -> value."""
    return {key: value for key, value in overrides.items() if key.partition(".")[0] not in WITHOUT_EFFECT}


def adaptive(block: dict[str, Any]) -> bool:
    """`Block.adaptive` for a block in JSON types."""
    return block["design"] == "optuna" or block["tune"] is not None


def factors(block: dict[str, Any]) -> set[str]:
    """The override keys of a block's axes."""
    return {key for axis in block["axes"] for key in keys(axis)}


def changes(before: Any, after: Any) -> dict[str, str]:
    """Dotted key -> `1 → 4` for each value that differs between two blocks."""
    old, new = flat(before), flat(after)
    both = {key: (old.get(key, ABSENT), new.get(key, ABSENT)) for key in {**old, **new}}
    return {key: f"{was} → {is_}" for key, (was, is_) in both.items() if was != is_}


def first_names(names: Sequence[str]) -> str:
    """`a, b, c, d, e and 3 more`."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"
