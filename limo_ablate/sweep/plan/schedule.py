"""When each trial would run on given devices if all forecasts were exact, and what a budget leaves out.

Trials start as in the runner: in the queue's order (the first seed first, within a seed the longest first),
each as soon as its devices are free, none before an earlier one; with a budget, only those that end within
it.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

from limo_ablate.study.budget import Budget
from limo_ablate.sweep.plan.cost import Forecast


@dataclass(frozen=True, slots=True)
class ScheduledTrial:
    """A trial of a study, with its forecast."""

    name: str
    block: str
    seed: int
    gpu: bool
    """Whether it runs on GPUs; else on CPU cores."""
    forecast: Forecast
    done: bool = False


@dataclass(frozen=True, slots=True)
class Schedule:
    seconds: float
    """Seconds from the start to the end of the last trial."""
    run: list[ScheduledTrial] = field(default_factory=list)
    not_run: list[ScheduledTrial] = field(default_factory=list)
    """Trials that the budget leaves out."""


def in_queue_order(items: Sequence[ScheduledTrial], seeds: Sequence[int]) -> list[ScheduledTrial]:
    """Sorted as in the queue."""
    place = {seed: i for i, seed in enumerate(seeds)}
    return sorted(items, key=lambda item: (place[item.seed], -item.forecast.seconds))


def schedule(
    items: Sequence[ScheduledTrial],
    devices: int,
    budget: Budget | None = None,
    spent: float = 0.0,
    ran: float = 0.0,
) -> Schedule:
    """Schedules `items`, which are in the queue's order, on `devices` devices; none needs more.

    `spent`: device-seconds used so far; `ran`: seconds in which trials have run so far.
    """
    budget = budget or Budget()
    most = float("inf") if budget.gpu_hours is None else budget.gpu_hours * 3600
    latest = float("inf") if budget.hours is None else budget.hours * 3600 - ran
    now, free, running = 0.0, devices, list[tuple[float, int]]()
    run, not_run = [], []
    for item in items:
        forecast = item.forecast
        if spent + forecast.device_seconds > most or now + forecast.seconds > latest:
            not_run.append(item)
            continue
        while free < forecast.devices:
            now, given_back = heapq.heappop(running)
            free += given_back
        if now + forecast.seconds > latest:
            not_run.append(item)
            continue
        heapq.heappush(running, (now + forecast.seconds, forecast.devices))
        free, spent = free - forecast.devices, spent + forecast.device_seconds
        run.append(item)
    return Schedule(max((end for end, _ in running), default=now), run, not_run)
