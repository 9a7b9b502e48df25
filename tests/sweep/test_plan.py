import json
from pathlib import Path

import pytest

from limo_ablate.sweep.cells import Cell, cells
from limo_ablate.sweep.design import Block, Study
from limo_ablate.sweep.ledger import Ledger
from limo_ablate.sweep.plan import Plan, by_base, read_metrics, reconcile

AXES = {"select.size": (4, 16)}


def grid(axes: dict[str, tuple[object, ...]] = AXES, *overrides: str) -> list[Cell]:
    shared = ("track=none", *overrides)
    return cells(Study(name="s", blocks=(Block(name="b", axes=axes),), overrides=shared))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.log", "s")


def planned(ledger: Ledger, found: list[Cell], tmp_path: Path, attempts: int = 2) -> Plan:
    return reconcile(ledger, found, tmp_path / "trials", attempts)


def leave_result(cell: Cell, tmp_path: Path, key: str | None = None) -> None:
    folder = tmp_path / "trials" / cell.folder
    folder.mkdir(parents=True)
    result = {
        "trial": key or cell.key,
        "scores": {"mini": {"accuracy": 1}},
        "total_seconds": 1,
        "artifacts": {},
    }
    (folder / "metrics.json").write_text(json.dumps(result))


def test_everything_is_to_do_at_first_and_planning_again_adds_nothing(ledger: Ledger, tmp_path: Path) -> None:
    found = grid()
    first, again = planned(ledger, found, tmp_path), planned(ledger, found, tmp_path)
    assert [todo.cell for todo in first.todo] == found
    assert [todo.trial for todo in again.todo] == [todo.trial for todo in first.todo]


def test_a_result_that_a_dead_runner_left_is_adopted(ledger: Ledger, tmp_path: Path) -> None:
    found = grid()
    for todo in planned(ledger, found, tmp_path).todo:
        ledger.claim(todo.trial)
    leave_result(found[0], tmp_path)
    plan = planned(ledger, found, tmp_path)
    assert plan.done == 1
    assert [(todo.cell, todo.attempt) for todo in plan.todo] == [(found[1], 1)]


def test_the_result_of_another_configuration_is_not_adopted(ledger: Ledger, tmp_path: Path) -> None:
    found = grid()[:1]
    ledger.claim(planned(ledger, found, tmp_path).todo[0].trial)
    leave_result(found[0], tmp_path, key="another")
    assert planned(ledger, found, tmp_path).done == 0


def test_failures_count_and_interruptions_do_not(ledger: Ledger, tmp_path: Path) -> None:
    found = grid()[:1]
    for _ in range(3):  # its runner dies
        ledger.claim(planned(ledger, found, tmp_path).todo[0].trial)
    for attempt in (1, 2):
        (todo,) = planned(ledger, found, tmp_path).todo
        assert todo.attempt == attempt
        ledger.claim(todo.trial)
        ledger.fail(todo.trial, f"reason {attempt}")
    plan = planned(ledger, found, tmp_path)
    assert plan.todo == []
    assert plan.given_up == [(found[0], "reason 2")]
    assert [todo.attempt for todo in planned(ledger, found, tmp_path, attempts=3).todo] == [3]


def test_a_study_grows_and_shrinks(ledger: Ledger, tmp_path: Path) -> None:
    small, large = grid(), grid({"select.size": (4, 16, 64)})
    done, dropped = planned(ledger, small, tmp_path).todo
    ledger.claim(done.trial)
    leave_result(done.cell, tmp_path)
    alone = planned(ledger, small[:1], tmp_path)
    assert (alone.done, alone.todo) == (1, [])
    assert ledger.histories()[dropped.cell.key].waiting is None
    grown = planned(ledger, large, tmp_path)
    assert grown.done == 1
    assert [todo.cell for todo in grown.todo] == large[1:]


def test_metrics_are_read_only_when_they_are_this_trials(tmp_path: Path) -> None:
    assert read_metrics(tmp_path, "k") is None
    (tmp_path / "metrics.json").write_text('{"trial": "k", "seed": 1}')
    assert read_metrics(tmp_path, "k") == {"trial": "k", "seed": 1}
    assert read_metrics(tmp_path, "other") is None


def test_cells_wait_for_the_base_model_they_share(ledger: Ledger, tmp_path: Path) -> None:
    found = grid({"model": ("mini_s", "mini_m"), "select.size": (4, 16)})
    bases, eligible = by_base(planned(ledger, found, tmp_path).todo)
    assert eligible == []
    assert [[todo.cell for todo in base.cells] for base in bases] == [found[:2], found[2:]]


def test_a_model_from_the_hub_needs_no_preparation(ledger: Ledger, tmp_path: Path) -> None:
    found = grid(AXES, "model=qwen2_5_0_5b", "model.path=somewhere")
    bases, eligible = by_base(planned(ledger, found, tmp_path).todo)
    assert bases == []
    assert [todo.cell for todo in eligible] == found
