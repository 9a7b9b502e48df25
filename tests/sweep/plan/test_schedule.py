"""The schedule of a plan is the runner's rule with forecasts for truth."""

import random
from dataclasses import replace
from typing import Any

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.study.budget import Budget, Use
from limo_ablate.sweep.plan.cost import Forecast
from limo_ablate.sweep.plan.schedule import ScheduledTrial, in_queue_order, schedule
from limo_ablate.trial.compose import compose

HARDWARE = compose(["track=none"]).hardware


def _item(name: str, seconds: float, devices: int = 1, seed: int = 0, **hardware: Any) -> ScheduledTrial:
    strategy = "single" if devices == 1 else "ddp"
    own = replace(HARDWARE, device="cuda", processes=devices, strategy=strategy, **hardware)
    return ScheduledTrial(name, "b", seed, forecast=Forecast(seconds, own, spread=0.1))


def test_trials_run_side_by_side_and_wide_ones_wait_for_room() -> None:
    items = [_item("a", 10), _item("b", 4), _item("wide", 5, devices=2), _item("c", 3)]
    made = schedule(items, [2])
    assert [item.name for item in made.run] == ["a", "b", "wide", "c"]
    assert made.seconds == 10 + 5 + 3


def test_the_queue_s_order_is_seeds_then_the_longest() -> None:
    items = [_item("short", 1, seed=3), _item("later", 9, seed=1), _item("long", 2, seed=3)]
    assert [item.name for item in in_queue_order(items, [3, 1])] == ["long", "short", "later"]


def test_a_makespan_lies_between_the_bounds() -> None:
    draw = random.Random(0)
    items = in_queue_order(
        [_item(str(i), draw.uniform(1, 100), draw.choice([1, 2, 4])) for i in range(200)], [0]
    )
    work = sum(item.forecast.use.device_seconds for item in items)
    made = schedule(items, [8])
    assert work / 8 <= made.seconds <= 2 * work / 8 + 100
    assert not made.not_run


def test_what_a_budget_leaves_out_is_listed_and_smaller_trials_still_run() -> None:
    items = [_item("a", 3600), _item("b", 3600), _item("c", 1800)]
    made = schedule(items, [1], Budget(gpu_hours=1.5))
    assert [item.name for item in made.run] == ["a", "c"]
    assert [item.name for item in made.not_run] == ["b"]
    assert [item.name for item in schedule(items, [1], Budget(gpu_hours=1.5), Use(1801.0)).run] == ["c"]


def test_money_is_the_price_of_a_device_hour_times_the_devices() -> None:
    items = [_item("a", 3600, 2, price=3.0), _item("b", 3600, price=3.0), _item("c", 1800, price=1.0)]
    made = schedule(items, [2], Budget(money=7.0))
    assert [item.name for item in made.run] == ["a", "c"], "6 and 0.5; b would make it 9"
    assert [item.name for item in schedule(items, [2], Budget(money=7.0), Use(money=3.5)).run] == ["b", "c"]


def test_a_trial_has_its_devices_on_one_machine_or_as_many_as_it_has_nodes() -> None:
    items = [_item("a", 10, 3), _item("b", 10, 3), _item("c", 10, 2), _item("d", 10, 6, nodes=2)]
    made = schedule(items, [4, 4])
    assert made.seconds == 30, "a and b leave a device on each machine; c waits, and d for two machines"
    assert schedule(items[:3], [8]).seconds == 10
    with pytest.raises(UserError, match=r"wide needs 6 GPUs of one machine; there are 4 \+ 4"):
        schedule([_item("wide", 1, 6)], [4, 4])
    with pytest.raises(UserError, match=r"pair needs 2 GPUs of each of 3 machines; there are 4 \+ 4"):
        schedule([_item("pair", 1, 6, nodes=3)], [4, 4])


def test_wall_time_is_that_of_the_schedule() -> None:
    items = [_item("a", 3600), _item("b", 3600), _item("c", 3600), _item("d", 1800)]
    made = schedule(items, [2], Budget(hours=1.6))
    assert [item.name for item in made.run] == ["a", "b", "d"]
    assert made.seconds == 5400
    assert [item.name for item in schedule(items, [2], Budget(hours=1.6), ran=1000.0).run] == ["a", "b"]
