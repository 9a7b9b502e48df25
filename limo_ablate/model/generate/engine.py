"""The interface of an engine: requests go in, completions come out as they finish, in any order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

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
    """A request for one completion."""

    problem: str
    """Id of the problem."""
    sample: int
    """0 .. samples-1."""
    prompt: str
    ids: list[int]
    """Tokens of `prompt`."""
    sampling: Sampling
    escaped: bool = False
    """Whether the prompt has control tokens of others, which `ids` has as text."""


@dataclass(frozen=True, slots=True)
class Completed:
    request: Request
    ids: list[int]
    """New tokens, including the one it stopped at."""
    finish: Literal["stop", "length"]


class Engine(Protocol):
    def generate(self, requests: Sequence[Request]) -> Iterator[Completed]:
        """Yields the completion of each request once, as it finishes; requests may be sampled differently.

        A completion depends on the seed, problem, sample and prompt of its request only, not on the requests
        in the same batch. A prompt that fills the context gets no token and finish `length`.
        """
        ...


def needs_nothing(settings: EngineConfig, hardware: HardwareConfig) -> None:
    """The check of an engine that runs anywhere."""


def any_model(name: str, config: Any) -> None:
    """The check of an engine that decodes all models."""


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
    check_model: Callable[[str, Any], None] = any_model
    """Called with a model's name or folder and its configuration, as transformers reads it: raises UserError
    where the engine can't decode it."""
    own_process: bool = False
    """Whether even a single copy gets a process of its own, at whose end all of its GPU memory is free."""
    splits_model: bool = False
    """Whether one copy of the model can lie on several GPUs (`tensor_parallel`)."""
    reads_adapters: bool = True
    """Whether `load` reads an adapter beside a reference to its base; otherwise it gets the two merged."""


def longest_first(requests: Sequence[Request]) -> list[Request]:
    """The order in which requests are started: the longest first, samples of one prompt next to each other.

    Short ones then fill the batch at the end, and a batch that does not fit into memory fails at once.
    """
    return sorted(requests, key=lambda r: (-r.sampling.max_tokens, -len(r.ids), r.ids, r.sample))


def max_new_tokens(request: Request, context: int) -> int:
    """New tokens that fit into a context of so many tokens; 0 or less if the prompt fills it."""
    return min(request.sampling.max_tokens, context - len(request.ids))


def overlong_prompts(requests: Sequence[Request], context: int) -> list[Completed]:
    """The (empty) completions of requests whose prompt fills the context."""
    return [Completed(request, [], "length") for request in requests if max_new_tokens(request, context) <= 0]
