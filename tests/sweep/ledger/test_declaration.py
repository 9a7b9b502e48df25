from dataclasses import replace
from pathlib import Path

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.study.design import Block, Study
from limo_ablate.study.planned import planned_trials
from limo_ablate.sweep.ledger.declaration import check_folder, declare
from limo_ablate.sweep.ledger.ledger import Ledger
from tests.ledgers import Place

STUDY = Study(
    name="s",
    question="Which?",
    blocks=(Block(name="b", axes={"select.size": (4, 16)}),),
    overrides=("track=none", "train.learning_rate=2"),
    seeds=(0, 1),
)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.log", "s")


def sized(*sizes: int) -> Study:
    return replace(STUDY, blocks=(Block(name="b", axes={"select.size": sizes}),))


def test_the_same_study_is_declared_once(ledger: Ledger, tmp_path: Path) -> None:
    declare(ledger, STUDY, planned_trials(STUDY))
    before = (tmp_path / "ledger.log").read_bytes()
    declare(ledger, STUDY, planned_trials(STUDY))
    assert (tmp_path / "ledger.log").read_bytes() == before


def test_what_is_declared_can_be_read_by_people(ledger: Ledger) -> None:
    declare(ledger, STUDY, planned_trials(STUDY))
    assert ledger.declaration() == {
        "question": "Which?",
        "overrides": ["train.learning_rate=2"],
        "seeds": [0, 1],
        "blocks": {"b": {"axes": {"select.size": [4, 16]}, "design": "factorial"}},
    }


def test_a_study_may_grow_and_run_elsewhere(ledger: Ledger) -> None:
    declare(ledger, STUDY, planned_trials(STUDY))
    for grown in (
        sized(4, 16, 64),
        replace(sized(4, 16, 64), seeds=(0, 1, 2)),
        replace(
            sized(4, 16, 64),
            seeds=(0, 1, 2),
            overrides=("train.learning_rate=2", "launch.slots=3", "paths.artifacts=x"),
        ),
    ):
        declare(ledger, grown, planned_trials(grown))


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (sized(4), r"2 of the 4 trials in its .*\(blocks\.b\.axes\.select\.size: \[4, 16\] -> \[4\]\)"),
        (replace(STUDY, seeds=(1, 2)), r"2 of the 4 trials .*\(seeds: \[0, 1\] -> \[1, 2\]\)"),
        (
            replace(STUDY, overrides=("track=none", "train.learning_rate=3")),
            r"4 of the 4 trials .*\(overrides: \[train\.learning_rate=2\] -> \[train\.learning_rate=3\]\)",
        ),
    ],
    ids=["fewer levels", "other seeds", "other overrides"],
)
def test_another_study_under_the_same_name_is_refused(ledger: Ledger, other: Study, says: str) -> None:
    declare(ledger, STUDY, planned_trials(STUDY))
    with pytest.raises(UserError, match=says) as refused:
        declare(ledger, other, planned_trials(other))
    assert "\n" not in str(refused.value)
    assert "--extend" in str(refused.value)
    declare(ledger, STUDY, planned_trials(STUDY))
    declare(ledger, other, planned_trials(other), extend=True)
    declare(ledger, other, planned_trials(other))


def test_every_storage_keeps_what_was_declared(place: Place) -> None:
    declare(place.open(), STUDY, planned_trials(STUDY))
    with pytest.raises(UserError, match=r"2 of the 4 trials"):
        declare(place.open(), sized(4), planned_trials(sized(4)))
    declare(place.open(), sized(4), planned_trials(sized(4)), extend=True)
    declare(place.open(), sized(4), planned_trials(sized(4)))


def test_other_trials_of_the_same_declaration_are_told_of(ledger: Ledger) -> None:
    declare(ledger, STUDY, planned_trials(STUDY))
    with pytest.raises(UserError, match=r"nothing it declares differs: conf/"):
        declare(ledger, STUDY, [replace(trial, key=f"x{trial.key}") for trial in planned_trials(STUDY)])


def test_a_ledger_elsewhere_belongs_to_one_folder(tmp_path: Path) -> None:
    """Runners of two folders would take each other for dead."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    first, second = tmp_path / "one" / "s", tmp_path / "two" / "s"
    for folder in (first, second):
        folder.mkdir(parents=True)
    check_folder(Ledger(url, "s"), first)
    check_folder(Ledger(url, "s"), first)
    with pytest.raises(UserError, match=rf"ledger of study s belongs to another folder than {second}"):
        check_folder(Ledger(url, "s"), second)
    moved = first.rename(tmp_path / "moved")
    check_folder(Ledger(url, "s"), moved)
    check_folder(Ledger(url, "other"), second)
    check_folder(Ledger(f"sqlite:///{tmp_path}/fresh.db", "s"), moved)
