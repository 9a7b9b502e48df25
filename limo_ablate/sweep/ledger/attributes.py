"""What limo-ablate reads of a row's attributes, checked: a ledger may be damaged, or come from others."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from limo_ablate.core.reading import checked


class Result(TypedDict, total=False):
    """What is recorded when an attempt ends."""

    seconds: float
    devices: int
    reason: str
    scores: dict[str, dict[str, Any]]
    values: list[float] | None
    reports: tuple[int, float]


class ProposalRow(TypedDict):
    """What a search has chosen."""

    number: int
    levels: dict[str, Any]
    sampler: dict[str, Any]


Spent = tuple[float, float] | tuple[float, float, str | None] | tuple[float, float, str | None, str]
"""Start, seconds, runner and machine of an attempt that was given back, as far as they were recorded."""


class Attributes(TypedDict):
    """Attributes of a row, or some of them."""

    cell: NotRequired[str]
    key: NotRequired[str]
    attempt: NotRequired[int]
    runner: NotRequired[str | None]
    machine: NotRequired[str | None]
    search: NotRequired[str]
    proposal: NotRequired[ProposalRow]
    values: NotRequired[list[float] | None]
    spent: NotRequired[list[float | Spent]]
    result: NotRequired[Result]


def check_attributes(attributes: Any, where: str) -> None:
    """Raises UserError for attributes of a row that have another type than limo-ablate writes."""
    checked(attributes, where, Attributes)
