"""What each machine has done for a study, from the ledger's rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial

from limo_ablate.sweep.ledger.ledger import Span, spans


@dataclass(frozen=True, slots=True)
class MachineUsage:
    name: str
    """As in the ids of its runners; empty if unknown."""
    attempts: dict[str, int]
    """State -> number of attempts, as in `Span`."""
    device_seconds: float
    devices: int
    """Most devices that were in use at the same time."""
    busy: float
    """Share of these devices' time, from the first start to the last end, in which they were in use."""


def usage(rows: Sequence[FrozenTrial], devices: Mapping[str, int], now: float) -> list[MachineUsage]:
    """The machines that have run attempts, the one with most device-seconds first.

    `devices`: trial id -> number of devices that it uses, for attempts of which the ledger has none; a trial
    that the study no longer has then counts as one. `now`: seconds since 1970.
    """
    by_machine = defaultdict[str, list[tuple[Span, int]]](list)
    for row in rows:
        for span in spans(row, now):
            count = span.devices or devices.get(row.user_attrs["key"], 1)
            by_machine[span.machine].append((span, count))
    found = [_machine(name, own) for name, own in by_machine.items()]
    return sorted(found, key=lambda machine: -machine.device_seconds)


def _machine(name: str, own: Sequence[tuple[Span, int]]) -> MachineUsage:
    changes = [(span.start, count) for span, count in own] + [(span.end, -count) for span, count in own]
    in_use = most = 0
    for _, change in sorted(changes):  # at the same instant, what ends comes first
        in_use += change
        most = max(most, in_use)
    used = sum((span.end - span.start) * count for span, count in own)
    span = max(span.end for span, _ in own) - min(span.start for span, _ in own)
    states = Counter(span.state for span, _ in own)
    return MachineUsage(name, dict(states), used, most, used / (span * most) if span and most else 1.0)
