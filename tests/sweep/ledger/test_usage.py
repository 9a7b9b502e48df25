"""What each machine did: how its attempts ended, device-seconds, and how much of the time it was used."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from limo_ablate.sweep.ledger.ledger import INTERRUPTED, SPENT
from limo_ablate.sweep.ledger.usage import MachineUsage, usage

BEGIN = datetime(2026, 1, 1)


def row(
    state: TrialState, key: str, runner: str | None, start: float, seconds: float, **more: Any
) -> FrozenTrial:
    about = {"key": key, "cell": key, "runner": runner} | more
    if state.is_finished():
        about["result"] = {"seconds": seconds, "reason": "r"} | more.get("result", {})
    made = create_trial(state=state, value=0.5 if state == TrialState.COMPLETE else None, user_attrs=about)
    made.datetime_start = BEGIN + timedelta(seconds=start)
    return made


def test_attempts_are_told_by_machine_and_state() -> None:
    at = BEGIN.timestamp()
    rows = [
        row(TrialState.COMPLETE, "a", "big-box-12-abcd", 0, 100),
        row(TrialState.FAIL, "b", "big-box-12-abcd", 0, 50),
        row(TrialState.FAIL, "b", "big-box-13-abcd", 50, 50, result={INTERRUPTED: True}),
        row(
            TrialState.RUNNING, "c", "spot-7-abcd", 30, 0, **{SPENT: [20.0, 20.0, [at, 20.0, "spot-5-abcd"]]}
        ),
        row(TrialState.WAITING, "d", None, 0, 0, **{SPENT: [10.0, 80.0, [at + 60, 10.0, "spot-7-abcd"]]}),
    ]
    big, spot = usage(rows, {"a": 8, "b": 4}, at + 100)
    assert big == MachineUsage(
        "big-box",
        {"done": 1, "failed": 1, "interrupted": 1},
        8 * 100 + 4 * 50 + 4 * 50,
        12,
        pytest.approx(1.0),
    )
    assert spot == MachineUsage(
        "spot", {"interrupted": 2, "running": 1}, 20 + 70 + 80, 9, pytest.approx(170 / (100 * 9))
    )


def test_devices_are_those_that_the_attempt_had() -> None:
    """Not those of the study's trials now, which another hardware may have taken the place of."""
    rows = [row(TrialState.COMPLETE, "gone", "box-1-abcd", 0, 100, result={"devices": 8})]
    (box,) = usage(rows, {"gone": 2}, 0.0)
    assert (box.device_seconds, box.devices) == (800, 8)


def test_a_ledger_of_before_runners_were_kept_has_an_unknown_machine() -> None:
    waiting = row(TrialState.WAITING, "d", None, 0, 0, **{SPENT: [10.0, 10.0, [5.0, 10.0]]})
    assert usage([waiting], {}, 0.0) == [MachineUsage("", {"interrupted": 1}, 10.0, 1, 1.0)]
