"""Base models that have to be made before their trials can run, each once, by a job of its own.

A trial is ready once its base model is made, so that no slot waits for a lock while others could work.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from limo_ablate.core.artifacts import content_key
from limo_ablate.trial.config import TrialConfig


@dataclass(slots=True)
class Base:
    """A base model, and how far this runner is with it."""

    key: str
    name: str
    config: TrialConfig
    """Of the first trial that needs it."""
    state: Literal["missing", "making", "made", "failed"] = "missing"
    attempt: int = 1
    reason: str | None = None
    """Of its failure."""


@dataclass(slots=True)
class Bases:
    """All that the study's trials have needed so far."""

    _known: dict[str, Base] = field(default_factory=dict)
    _keys: dict[str, str] = field(default_factory=dict)
    """Trial key -> base key."""

    def of(self, trial: str, config: TrialConfig) -> Base | None:
        """The base model that the trial with this key needs; None when it need not be made."""
        if config.model.source == "hub":
            return None
        if trial not in self._keys:
            # the tokenizer made for `scratch` depends on the pool's text
            data = config.data if config.model.source == "scratch" else None
            key = content_key("prepare", 1, {"model": config.model, "data": data})
            self._known.setdefault(key, Base(key, f"{config.model.name}-{key[:6]}", config))
            self._keys[trial] = key
        return self._known[self._keys[trial]]

    def ready(self, trial: str, config: TrialConfig) -> bool:
        base = self.of(trial, config)
        return base is None or base.state == "made"

    def missing(self, trials: Iterable[tuple[str, TrialConfig]]) -> list[Base]:
        """What is to be made for these trials, (key, configuration), in their order."""
        wanted = [base for key, config in trials if (base := self.of(key, config))]
        return list({base.key: base for base in wanted if base.state == "missing"}.values())
