from dataclasses import replace
from pathlib import Path

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.study.cells import cells
from limo_ablate.study.design import Block, Study
from limo_ablate.sweep.ledger.declared import declare
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
    declare(ledger, STUDY, cells(STUDY))
    before = (tmp_path / "ledger.log").read_bytes()
    declare(ledger, STUDY, cells(STUDY))
    assert (tmp_path / "ledger.log").read_bytes() == before


def test_what_is_declared_can_be_read_by_people(ledger: Ledger) -> None:
    declare(ledger, STUDY, cells(STUDY))
    assert ledger.declaration() == {
        "question": "Which?",
        "overrides": ["train.learning_rate=2"],
        "seeds": [0, 1],
        "blocks": {"b": {"axes": {"select.size": [4, 16]}, "design": "factorial"}},
    }


def test_a_study_may_grow_and_run_elsewhere(ledger: Ledger) -> None:
    declare(ledger, STUDY, cells(STUDY))
    for grown in (
        sized(4, 16, 64),
        replace(sized(4, 16, 64), seeds=(0, 1, 2)),
        replace(
            sized(4, 16, 64),
            seeds=(0, 1, 2),
            overrides=("train.learning_rate=2", "launch.slots=3", "paths.artifacts=x"),
        ),
    ):
        declare(ledger, grown, cells(grown))


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (sized(4), r"2 of the 4 cells in its ledger .*\(blocks\.b\.axes\.select\.size: \[4, 16\] -> \[4\]\)"),
        (replace(STUDY, seeds=(1, 2)), r"2 of the 4 cells .*\(seeds: \[0, 1\] -> \[1, 2\]\)"),
        (
            replace(STUDY, overrides=("track=none", "train.learning_rate=3")),
            r"4 of the 4 cells .*\(overrides: \[train\.learning_rate=2\] -> \[train\.learning_rate=3\]\)",
        ),
    ],
    ids=["fewer levels", "other seeds", "other overrides"],
)
def test_another_study_under_the_same_name_is_refused(ledger: Ledger, other: Study, says: str) -> None:
    declare(ledger, STUDY, cells(STUDY))
    with pytest.raises(UserError, match=says) as refused:
        declare(ledger, other, cells(other))
    assert "\n" not in str(refused.value)
    assert "--extend" in str(refused.value)
    declare(ledger, STUDY, cells(STUDY))
    declare(ledger, other, cells(other), extend=True)
    declare(ledger, other, cells(other))


def test_every_storage_keeps_what_was_declared(place: Place) -> None:
    declare(place.open(), STUDY, cells(STUDY))
    with pytest.raises(UserError, match=r"2 of the 4 cells"):
        declare(place.open(), sized(4), cells(sized(4)))
    declare(place.open(), sized(4), cells(sized(4)), extend=True)
    declare(place.open(), sized(4), cells(sized(4)))


def test_other_cells_of_the_same_declaration_are_told_of(ledger: Ledger) -> None:
    declare(ledger, STUDY, cells(STUDY))
    with pytest.raises(UserError, match=r"nothing it declares differs: conf/"):
        declare(ledger, STUDY, [replace(cell, key=f"x{cell.key}") for cell in cells(STUDY)])
