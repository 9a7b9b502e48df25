"""When each trial would run on given devices, if all forecasts were true, and what a budget leaves out.

The rule is the runner's: in the queue's order (the first seed's first, within a seed the longest first), each
as soon as its devices are free, no later one before it; with a budget, only what ends within it (`budget`).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

from limo_ablate.study.budget import Budget
from limo_ablate.sweep.plan.cost import Price


@dataclass(frozen=True, slots=True)
class Item:
    """A trial of a study."""

    name: str
    block: str
    seed: int
    gpu: bool
    """Whether its devices are GPUs, and not cores."""
    price: Price
    done: bool = False


@dataclass(frozen=True, slots=True)
class Schedule:
    seconds: float
    """From the start to the end of the last trial."""
    run: list[Item] = field(default_factory=list)
    not_run: list[Item] = field(default_factory=list)
    """What the budget leaves out."""


def queued(items: Sequence[Item], seeds: Sequence[int]) -> list[Item]:
    """In the queue's order."""
    place = {seed: i for i, seed in enumerate(seeds)}
    return sorted(items, key=lambda item: (place[item.seed], -item.price.seconds))


def schedule(
    items: Sequence[Item], devices: int, budget: Budget | None = None, spent: float = 0.0, ran: float = 0.0
) -> Schedule:
    """`items` in the queue's order on so many devices, none of them wider.

    `spent`: device-seconds so far; `ran`: seconds in which trials have run so far.
    """
    budget = budget or Budget()
    most = float("inf") if budget.gpu_hours is None else budget.gpu_hours * 3600
    latest = float("inf") if budget.hours is None else budget.hours * 3600 - ran
    now, free, running = 0.0, devices, list[tuple[float, int]]()
    run, not_run = [], []
    for item in items:
        price = item.price
        if spent + price.device_seconds > most or now + price.seconds > latest:
            not_run.append(item)
            continue
        while free < price.devices:
            now, given_back = heapq.heappop(running)
            free += given_back
        if now + price.seconds > latest:
            not_run.append(item)
            continue
        heapq.heappush(running, (now + price.seconds, price.devices))
        free, spent = free - price.devices, spent + price.device_seconds
        run.append(item)
    return Schedule(max((end for end, _ in running), default=now), run, not_run)
