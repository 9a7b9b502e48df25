"""A runner with nothing to take looks at the queue rarely, and at once when something has ended."""

from __future__ import annotations

from dataclasses import dataclass

from limo_ablate.sweep.runner import QueuePolling


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def polls(polling: QueuePolling, clock: Clock, until: float, *, empty: bool) -> list[float]:
    """The moments at which it looks."""
    found = []
    while clock.now < until:
        if polling.is_due(empty=empty):
            polling.polled(empty=empty)
            found.append(clock.now)
        clock.now += 0.25
    return found


def test_while_nothing_waits_the_pauses_grow() -> None:
    clock = Clock()
    polling = QueuePolling(clock)
    assert polls(polling, clock, 30.0, empty=True) == [0.0, 1.25, 3.5, 7.75, 13.0, 18.25, 23.5, 28.75]
    polling.make_due()
    begun = clock.now
    assert [at - begun for at in polls(polling, clock, begun + 3, empty=True)] == [0.0, 1.25]


def test_with_work_it_looks_now_and_then() -> None:
    clock = Clock()
    assert polls(QueuePolling(clock), clock, 12.0, empty=False) == [0.0, 5.25, 10.5]
