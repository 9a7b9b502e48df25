"""When each trial would run on given machines if all forecasts were exact, and what a budget leaves out.

Trials start as in the runner: in the queue's order (the first seed first, within a seed the longest first),
each as soon as its devices are free, none before an earlier one; with a budget, only those that end within
it. A trial's devices are on one machine, or in equal parts on as many as its hardware has nodes.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field

from limo_ablate.core.errors import UserError
from limo_ablate.study.budget import Budget, Use
from limo_ablate.sweep.plan.cost import Forecast


@dataclass(frozen=True, slots=True)
class ScheduledTrial:
    """A trial of a study, with its forecast."""

    name: str
    block: str
    seed: int
    forecast: Forecast
    done: bool = False

    @property
    def gpu(self) -> bool:
        """Whether it runs on GPUs; else on CPU cores."""
        return self.forecast.hardware.device == "cuda"


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
    machines: Sequence[int],
    budget: Budget | None = None,
    spent: Use | None = None,
    ran: float = 0.0,
) -> Schedule:
    """Schedules `items`, which are in the queue's order, on machines with so many devices each.

    `spent`: used so far; `ran`: seconds in which trials have run so far. Raises UserError where a trial does
    not fit.
    """
    budget, spent = budget or Budget(), spent or Use()
    now, free, running = 0.0, list(machines), list[tuple[float, int, list[int]]]()
    run, not_run = [], []
    for item in items:
        forecast = item.forecast
        if _places(list(machines), forecast) is None:
            raise UserError(f"{_too_wide(item)}; there are {' + '.join(map(str, machines))}")
        while budget.allows(spent + forecast.use, ran + now + forecast.seconds):
            if (places := _places(free, forecast)) is not None:
                share = forecast.devices // forecast.hardware.nodes
                heapq.heappush(running, (now + forecast.seconds, share, places))
                for place in places:
                    free[place] -= share
                spent += forecast.use
                run.append(item)
                break
            now, share, places = heapq.heappop(running)
            for place in places:
                free[place] += share
        else:
            not_run.append(item)
    return Schedule(max((end for end, *_ in running), default=now), run, not_run)


def _places(free: list[int], forecast: Forecast) -> list[int] | None:
    """The machines that the trial would take, the fullest that have room; None if there are not enough."""
    nodes = forecast.hardware.nodes
    fullest = sorted(range(len(free)), key=free.__getitem__)
    found = [place for place in fullest if free[place] >= forecast.devices // nodes][:nodes]
    return found if len(found) == nodes else None


def _too_wide(item: ScheduledTrial) -> str:
    nodes, kind = item.forecast.hardware.nodes, "GPUs" if item.gpu else "cores"
    each = f"{item.forecast.devices // nodes} {kind}"
    return f"{item.name} needs {each} of " + ("one machine" if nodes == 1 else f"each of {nodes} machines")
