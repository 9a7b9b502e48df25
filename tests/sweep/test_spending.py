"""A budget is a contract: what is forecast to end beyond it does not start."""

import math
from dataclasses import replace

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import device_count
from limo_ablate.study.budget import Budget, Use
from limo_ablate.study.planned import PlannedTrial
from limo_ablate.sweep.budget_guard import Spending, spent
from limo_ablate.sweep.ledger.ledger import History
from limo_ablate.trial.compose import compose

CONFIG = compose(["track=none"])


def _trial(name: str, processes: int = 1) -> PlannedTrial:
    strategy = "single" if processes == 1 else "fsdp2"
    hardware = replace(CONFIG.hardware, device="cuda", processes=processes, strategy=strategy)
    config = replace(CONFIG, hardware=hardware)
    return PlannedTrial(name=name, key=name, overrides=(), levels={}, seed=0, blocks=("b",), config=config)


def _spending(budget: Budget | None, used: float = 0.0, clock: float = 0.0) -> Spending:
    times = iter([0.0])
    forecasts = {"long": 3600.0, "short": 600.0, "wide": 3600.0}
    return Spending(budget, Use(used), lambda trial: forecasts[trial.name], lambda: next(times, clock))


@pytest.mark.parametrize("cap", [0.0, -1.0, math.inf, math.nan])
def test_a_cap_is_a_positive_number(cap: float) -> None:
    with pytest.raises(UserError, match=r"budget\.gpu_hours=.*: must be a positive number, or null"):
        Budget(gpu_hours=cap)
    with pytest.raises(UserError, match=r"budget\.hours="):
        Budget(hours=cap)


def test_without_a_budget_everything_may_start() -> None:
    assert _spending(None, used=1e12, clock=1e12).allows(_trial("long"), [])


def test_what_is_spent_and_what_runs_count() -> None:
    spending = _spending(Budget(gpu_hours=2))
    assert spending.allows(_trial("long"), [(_trial("long"), 0.0)])
    assert not spending.allows(_trial("short"), [(_trial("long"), 0.0), (_trial("long"), 0.0)])
    spending.charge(_trial("long"), 3600.0)
    assert spending.allows(_trial("long"), [])
    assert not spending.allows(_trial("long"), [(_trial("short"), 0.0)])


def test_a_smaller_one_may_start_where_a_longer_one_does_not_fit() -> None:
    spending = _spending(Budget(gpu_hours=1), used=1800.0)
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
    spending.update(Use(), 3600.0)
    assert spending.allows(_trial("long"), [])
    spending.update(Use(), 3601.0)
    assert not spending.allows(_trial("long"), [])


def test_wall_time_counts_from_the_last_look() -> None:
    assert _spending(Budget(hours=2), clock=3600.0).allows(_trial("long"), [])
    assert not _spending(Budget(hours=2), clock=3601.0).allows(_trial("long"), [])


def test_devices_are_gpus_or_cores() -> None:
    assert device_count(compose(["hardware=fsdp2_nodes"]).hardware) == 16
    assert device_count(compose(["hardware=cpu2", "hardware.threads=3"]).hardware) == 6


def test_money_is_spent_at_the_price_of_a_trial_s_devices() -> None:
    def priced(name: str, price: float) -> PlannedTrial:
        trial = _trial(name, processes=8)
        hardware = replace(trial.config.hardware, price=price)
        return replace(trial, config=replace(trial.config, hardware=hardware))

    spending = _spending(Budget(money=50.0))
    assert spending.allows(priced("long", 6.25), []), "8 GPUs for an hour at 6.25"
    assert not spending.allows(priced("long", 6.26), [])
    assert not spending.allows(priced("long", 3.2), [(priced("long", 3.2), 0.0)])
    spending.charge(priced("short", 3.0), 1800.0)
    assert not spending.allows(priced("long", 5.0), []), "12 are spent"
    assert spending.allows(priced("long", 4.75), [])


def test_what_dropped_trials_cost_is_taken_at_the_highest_price() -> None:
    trial = replace(_trial("a"), config=replace(CONFIG, hardware=replace(CONFIG.hardware, price=2.0)))
    found = {trial.id: History("a", device_seconds=3600.0), "dropped": History("b", device_seconds=1800.0)}
    assert spent(found, [trial]) == Use(5400.0, 3.0)
