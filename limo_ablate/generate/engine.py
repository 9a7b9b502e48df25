"""What an engine is: requests go in, completions come out as they are finished, in any order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


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


@dataclass(frozen=True, slots=True)
class Sampling:
    temperature: float
    """0 is greedy."""
    top_p: float
    max_tokens: int
    """New tokens a completion may have."""
    seed: int


@dataclass(frozen=True, slots=True)
class Completed:
    request: Request
    ids: list[int]
    """New tokens, the one it stopped at included."""
    finish: Literal["stop", "length"]


class Engine(Protocol):
    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[Completed]:
        """Every request's completion, once each.

        What is drawn for a request depends on the seed, its problem and its sample alone, not on which
        requests it is decoded with.
        """
        ...
