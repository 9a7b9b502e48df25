"""The stages of a trial as they run: their artifacts, and the seconds spent on each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.core.progress import report_progress
from limo_ablate.model.generate.completions import Asked, completions
from limo_ablate.model.generate.config import EngineConfig
from limo_ablate.trial.evaluate.grader import VERIFIER
from limo_ablate.trial.evaluate.verdicts import verdicts

if TYPE_CHECKING:
    from limo_ablate.model.generate.open import Opener


class Stages:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        """Next to nothing where the artifact was found. `completions` of all benchmarks are one pass."""
        self.artifacts: dict[str, Artifact] = {}

    def run(self, name: str, stage: Callable[..., Artifact], *args: Any, **options: Any) -> Artifact:
        started = time.perf_counter()
        report_progress(name)
        self.artifacts[name] = artifact = stage(*args, **options)
        self._spent(name, started)
        return artifact

    def generated(
        self,
        store: Store,
        model: Artifact,
        wanted: Mapping[str, Asked],
        settings: EngineConfig,
        hardware: HardwareConfig,
        opener: Opener | None = None,
    ) -> dict[str, Artifact]:
        """The model's completions of everything wanted: `completions/NAME` of each."""
        started = time.perf_counter()
        report_progress("completions")
        made = completions(store, model, wanted, settings, hardware, opener)
        self.artifacts |= {f"completions/{name}": artifact for name, artifact in made.items()}
        self._spent("completions", started)
        return made

    def graded(
        self,
        store: Store,
        model: Artifact,
        wanted: Mapping[str, Asked],
        settings: EngineConfig,
        hardware: HardwareConfig,
        opener: Opener | None = None,
        graders: Mapping[str, str] | None = None,
    ) -> dict[str, tuple[Artifact, Artifact]]:
        """The completions of everything wanted, and their verdicts; `graders` has those that differ."""
        texts = self.generated(store, model, wanted, settings, hardware, opener)
        return {
            name: (texts[name], self._verdicts(name, store, texts[name], ask.problems, graders or {}))
            for name, ask in wanted.items()
        }

    def _verdicts(
        self, name: str, store: Store, texts: Artifact, problems: Artifact, graders: Mapping[str, str]
    ) -> Artifact:
        grader = graders.get(name, VERIFIER)
        return self.run(f"verdicts/{name}", verdicts, store, texts, problems, grader)

    def _spent(self, name: str, started: float) -> None:
        spent = self.seconds.get(name, 0.0) + time.perf_counter() - started
        self.seconds[name] = round(spent, 3)
