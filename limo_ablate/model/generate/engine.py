"""What an engine is: requests go in, completions come out as they are finished, in any order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.generate.config import EngineConfig


@dataclass(frozen=True, slots=True)
class Sampling:
    temperature: float
    """0 is greedy."""
    top_p: float
    max_tokens: int
    """New tokens a completion may have."""
    seed: int


@dataclass(frozen=True, slots=True)
class Request:
    """One completion that is wanted."""

    problem: str
    """Problem's id."""
    sample: int
    """0 .. samples-1."""
    prompt: str
    ids: list[int]
    """Tokens of `prompt`."""
    sampling: Sampling


@dataclass(frozen=True, slots=True)
class Completed:
    request: Request
    ids: list[int]
    """New tokens, the one it stopped at included."""
    finish: Literal["stop", "length"]


class Engine(Protocol):
    def generate(self, requests: Sequence[Request]) -> Iterator[Completed]:
        """Every request's completion, once each; requests may differ in how they are sampled.

        What is drawn for a request depends on its seed, problem, sample and prompt alone, not on which
        requests it is decoded with. A prompt that leaves no room in the context gets no token, finish
        `length`.
        """
        ...


def needs_nothing(settings: EngineConfig, hardware: HardwareConfig) -> None:
    """The check of an engine that runs anywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineKind:
    """What an entry of `limo_ablate.engines` is: how an engine is opened, and what it can do.

    Its module should be light to import: what is heavy belongs inside `load`.
    """

    load: Callable[[str, EngineConfig, HardwareConfig], Engine]
    """Called with the model's folder (in transformers' format, with its tokenizer; with an adapter where the
    model was saved as one): an engine with one copy of it, in this process and on its first device."""
    check: Callable[[EngineConfig, HardwareConfig], None] = needs_nothing
    """Raises UserError where the engine could not run, before anything is trained for it; loads no model."""
    own_process: bool = False
    """Whether even a single copy gets a process of its own, at whose end all of its GPU memory is free."""
    splits_model: bool = False
    """Whether one copy of the model can lie on several GPUs (`tensor_parallel`)."""
    reads_adapters: bool = True
    """Whether `load` reads an adapter beside a reference to its base; otherwise it gets the two merged."""


def longest_first(requests: Sequence[Request]) -> list[Request]:
    """In the order in which they are begun: what may take long first, samples of one prompt side by side.

    The short ones then fill up at the end, and what does not fit into memory shows at once.
    """
    return sorted(requests, key=lambda r: (-r.sampling.max_tokens, -len(r.ids), r.ids, r.sample))


def room(request: Request, context: int) -> int:
    """New tokens it may have in a model with a context of so many tokens; 0 or less: its prompt fills it."""
    return min(request.sampling.max_tokens, context - len(request.ids))


def without_room(requests: Sequence[Request], context: int) -> list[Completed]:
    """The completions of those whose prompt fills the context."""
    return [Completed(request, [], "length") for request in requests if room(request, context) <= 0]
