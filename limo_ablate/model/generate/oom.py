"""Handles running out of memory: the batch size is halved, and only what is still missing is generated."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from limo_ablate.core.errors import TrialFailure
from limo_ablate.model.generate.config import EngineConfig
from limo_ablate.model.train.failure import is_out_of_memory
from limo_ablate.model.train.oom import release_memory

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class BatchSizes:
    """The batch sizes that a trial generates with: as configured, or smaller where memory ran out."""

    used: dict[str, int] = field(default_factory=dict)
    """Name of a request -> batch size with which the last of its completions were generated."""
    _largest: dict[str, int] = field(default_factory=dict)
    """Key of a model that ran out of memory -> batch size to begin its next pass with."""

    def generate_within_memory(
        self,
        model: str,
        names: Iterable[str],
        settings: EngineConfig,
        generate: Callable[[EngineConfig], None],
    ) -> None:
        """Calls `generate`; each time memory runs out, again with half the batch size.

        `generate` must request only what is still missing. `model` is the model's key, `names` are those of
        the requests. Raises TrialFailure if not even a single completion fits.
        """
        size = min(settings.batch_size, self._largest.get(model, settings.batch_size))
        while (reason := _attempt(generate, settings.with_batch_size(size))) is not None:
            if size == 1:
                raise TrialFailure(
                    f"out of memory with {settings.batch_size_key}=1 ({settings.batch_size} is configured): "
                    f"not even one completion fits: {reason}. Lower max_tokens, use a smaller model or a "
                    "device with more memory"
                )
            size = self._largest[model] = size // 2
            logger.warning(
                "out of memory (%s); continuing with %s=%d; completions that are finished are kept",
                reason, settings.batch_size_key, size,
            )  # fmt: skip
        self.used |= dict.fromkeys(names, size)


def _attempt(generate: Callable[[EngineConfig], None], settings: EngineConfig) -> str | None:
    """Calls `generate`; returns the error's text if memory ran out, after freeing the engine's memory."""
    try:
        generate(settings)
        return None
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
    release_memory()  # not earlier: the error's traceback holds the model
    return reason
