"""A trial's key and labels, computed without any heavy import.

Which fields change no result is declared where they are defined, with `metadata=NOT_IN_KEY`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from limo_ablate.core.artifacts import content_key, json_default
from limo_ablate.core.typed import installed
from limo_ablate.trial.config import TrialConfig

WITHOUT_EFFECT = ("launch", "track", "paths")
"""Sections of the configuration that change no result."""


@dataclass(frozen=True, slots=True)
class TrialLabels:
    """Names of a trial; they are not part of its key."""

    study: str | None
    cell: dict[str, object]
    """Overrides of the cell: key -> value."""
    name: str


def trial_key(config: TrialConfig) -> str:
    """Hash of everything in the configuration that decides the result.

    With `select.size=0` that is the base model and its evaluation, so the untuned base is one trial for all
    cells.
    """
    return trial_keys([config])[0]


def trial_keys(configs: Sequence[TrialConfig]) -> list[str]:
    """The key of each configuration; a section object that several of them share is hashed once."""
    digests: dict[tuple[int, tuple[str, ...]], str] = {}

    def digest(section: Any, without: tuple[str, ...]) -> str:
        if (cached := (id(section), without)) not in digests:
            content = {key: value for key, value in json_default(section).items() if key not in without}
            digests[cached] = content_key("section", 1, content | installed(section))
        return digests[cached]

    return [
        content_key(
            "trial",
            2,
            {name: digest(*section) for name, section in key_sections(config).items()}
            | {"seed": config.seed},
        )
        for config in configs
    ]


def key_sections(config: TrialConfig) -> dict[str, tuple[Any, tuple[str, ...]]]:
    """The sections that decide the result beside the seed, each with keys of it that don't.

    The untuned base (`select.size=0`) does not depend on how it would have been trained.
    """
    sections: dict[str, tuple[Any, tuple[str, ...]]] = {
        "model": (config.model, ()),
        "eval": (config.eval, () if config.select.size != 0 else ("at",)),
        "hardware": (config.hardware, () if config.hardware.threads_in_key else ("threads",)),
    }
    if config.needs_pool:
        sections |= {"data": (config.data, ()), "select": (config.select, ()), "train": (config.train, ())}
    elif config.select.contamination.policy == "report":
        # which benchmark items are clean depends on the pool
        sections |= {"data": (config.data, ("teacher",)), "contamination": (config.select.contamination, ())}
    return sections
