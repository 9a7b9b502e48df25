"""What is read of a database by columns is what Optuna reads by its objects."""

from __future__ import annotations

import math
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial

from limo_ablate.sweep.ledger import database as module
from limo_ablate.sweep.ledger.database import Database

KINDS = {
    "tier": CategoricalDistribution(["L1", "L5", None]),
    "rate": FloatDistribution(1e-6, 1e-3, log=True),
    "size": IntDistribution(1, 64),
}
PARAMS = {"tier": None, "rate": 1e-5, "size": 16}


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    place: str = request.getfixturevalue("database")
    return place


def filled(storage: RDBStorage, name: str) -> int:
    """A study with a trial in every state."""
    study = optuna.create_study(storage=storage, study_name=name, directions=["maximize", "minimize"])
    for state, values in [
        (TrialState.COMPLETE, [0.25, math.inf]),
        (TrialState.PRUNED, None),
        (TrialState.FAIL, None),
        (TrialState.WAITING, None),
        (TrialState.WAITING, None),
    ]:
        made = create_trial(
            state=state, values=values, params=PARAMS, distributions=KINDS,
            user_attrs={"result": {"seconds": 1.5}, "cell": "a"}, system_attrs={"b": [1, None]},
            intermediate_values={1: 0.5, 7: math.nan},
        )  # fmt: skip
        study.add_trial(made)
    study.ask().set_user_attr("runner", "me")
    return study._study_id


def told(storage: RDBStorage, study: int, included: set[int], after: int) -> list[str]:
    """All that is known of each trial, as text, since a NaN equals none; a database sorts no rows."""
    trials = storage._get_trials(study, None, included, after)
    return [
        repr([sorted(value.items()) if isinstance(value, dict) else value for value in vars(trial).values()])
        for trial in trials
    ]


def test_the_trials_are_the_same(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = Database(url), RDBStorage(url)
    filled(theirs, "other")
    study = filled(theirs, "mine")
    numbers = [trial._trial_id for trial in ours._get_trials(study, None, set(), -1)]
    assert len(numbers) == 5
    for included, after in ((set[int](), -1), ({numbers[0]}, numbers[2]), (set(numbers), numbers[-1])):
        found = told(ours, study, included, after)
        assert found
        assert found == told(theirs, study, included, after)
    monkeypatch.setattr(module, "MAX_IDS", 1)
    assert told(ours, study, set(numbers), numbers[-1]) == told(theirs, study, set(numbers), numbers[-1])
