"""A budget is a contract: what is forecast to end beyond it does not start."""

import math
from dataclasses import replace

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import device_count
from limo_ablate.study.budget import Budget
from limo_ablate.study.planned import PlannedTrial
from limo_ablate.sweep.budget_guard import Spending
from limo_ablate.trial.compose import compose

CONFIG = compose(["track=none"])


def _trial(name: str, processes: int = 1) -> PlannedTrial:
    strategy = "single" if processes == 1 else "fsdp2"
    hardware = replace(CONFIG.hardware, device="cuda", processes=processes, strategy=strategy)
    config = replace(CONFIG, hardware=hardware)
    return PlannedTrial(name=name, key=name, overrides=(), levels={}, seed=0, blocks=("b",), config=config)


def _spending(budget: Budget | None, spent: float = 0.0, clock: float = 0.0) -> Spending:
    times = iter([0.0])
    forecasts = {"long": 3600.0, "short": 600.0, "wide": 3600.0}
    return Spending(budget, spent, lambda trial: forecasts[trial.name], lambda: next(times, clock))


@pytest.mark.parametrize("cap", [0.0, -1.0, math.inf, math.nan])
def test_a_cap_is_a_positive_number(cap: float) -> None:
    with pytest.raises(UserError, match=r"budget\.gpu_hours=.*: must be a positive number, or null"):
        Budget(gpu_hours=cap)
    with pytest.raises(UserError, match=r"budget\.hours="):
        Budget(hours=cap)


def test_without_a_budget_everything_may_start() -> None:
    assert _spending(None, spent=1e12, clock=1e12).allows(_trial("long"), [])


def test_what_is_spent_and_what_runs_count() -> None:
    spending = _spending(Budget(gpu_hours=2))
    assert spending.allows(_trial("long"), [(_trial("long"), 0.0)])
    assert not spending.allows(_trial("short"), [(_trial("long"), 0.0), (_trial("long"), 0.0)])
    spending.charge(_trial("long"), 3600.0)
    assert spending.allows(_trial("long"), [])
    assert not spending.allows(_trial("long"), [(_trial("short"), 0.0)])


def test_a_smaller_one_may_start_where_a_longer_one_does_not_fit() -> None:
    spending = _spending(Budget(gpu_hours=1), spent=1800.0)
    assert not spending.allows(_trial("long"), [])
    assert spending.allows(_trial("short"), [])


def test_a_running_trial_that_exceeds_its_forecast_counts_as_what_it_has_used() -> None:
    spending = _spending(Budget(gpu_hours=1))
    assert spending.allows(_trial("short"), [(_trial("short"), 100.0)])
    assert not spending.allows(_trial("short"), [(_trial("short"), 3100.0)])


def test_the_width_of_a_trial_counts() -> None:
    assert not _spending(Budget(gpu_hours=7.9)).allows(_trial("wide", processes=8), [])
    assert _spending(Budget(gpu_hours=8)).allows(_trial("wide", processes=8), [])


def test_wall_time_goes_on_from_what_the_study_has_run_already() -> None:
    spending = _spending(Budget(hours=2), clock=0.0)
    spending.update(0.0, 3600.0)
    assert spending.allows(_trial("long"), [])
    spending.update(0.0, 3601.0)
    assert not spending.allows(_trial("long"), [])


def test_wall_time_counts_from_the_last_look() -> None:
    assert _spending(Budget(hours=2), clock=3600.0).allows(_trial("long"), [])
    assert not _spending(Budget(hours=2), clock=3601.0).allows(_trial("long"), [])


def test_devices_are_gpus_or_cores() -> None:
    assert device_count(compose(["hardware=fsdp2_nodes"]).hardware) == 16
    assert device_count(compose(["hardware=cpu2", "hardware.threads=3"]).hardware) == 6
