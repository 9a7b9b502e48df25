"""Runs the stages of a trial, and keeps the artifact of each and the seconds it took."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.core.progress import report_progress
from limo_ablate.data.grade.graders import BY_VERIFIER, Grading
from limo_ablate.model.generate.completions import GenerationRequest, completions
from limo_ablate.model.generate.config import EngineConfig
from limo_ablate.model.generate.oom import BatchSizes
from limo_ablate.trial.evaluate.verdicts import verdicts
from limo_ablate.verify.turns import Thinking

if TYPE_CHECKING:
    from limo_ablate.model.generate.open import Opener


class Stages:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        """Seconds spent on each stage, about 0 if its artifact existed; all completions are one stage."""
        self.batch_sizes = BatchSizes()
        self.artifacts: dict[str, Artifact] = {}

    def run(self, name: str, stage: Callable[..., Artifact], *args: Any, **options: Any) -> Artifact:
        started = time.perf_counter()
        report_progress(name)
        self.artifacts[name] = artifact = stage(*args, **options)
        self._add_seconds(name, started)
        return artifact

    def generate(
        self,
        store: Store,
        model: Artifact,
        requests: Mapping[str, GenerationRequest],
        settings: EngineConfig,
        hardware: HardwareConfig,
        opener: Opener | None = None,
    ) -> dict[str, Artifact]:
        """The model's completions for each request, recorded as `completions/NAME`."""
        started = time.perf_counter()
        report_progress("completions")
        generated = completions(store, model, requests, settings, hardware, opener, self.batch_sizes)
        self.artifacts |= {f"completions/{name}": artifact for name, artifact in generated.items()}
        self._add_seconds("completions", started)
        return generated

    def grade(
        self,
        store: Store,
        requests: Mapping[str, GenerationRequest],
        generated: Mapping[str, Artifact],
        graders: Mapping[str, Grading] | None = None,
        thinking: Thinking = "auto",
    ) -> dict[str, Artifact]:
        """Verdicts on the completions of each request, recorded as `verdicts/NAME`.

        `graders` names graders other than the verifier, `thinking` the tags that mark thinking.
        """
        return {
            name: self.run(
                f"verdicts/{name}",
                verdicts,
                store,
                generated[name],
                request.problems,
                (graders or {}).get(name, BY_VERIFIER),
                thinking,
            )
            for name, request in requests.items()
        }

    def _add_seconds(self, name: str, started: float) -> None:
        total = self.seconds.get(name, 0.0) + time.perf_counter() - started
        self.seconds[name] = round(total, 3)
