"""Problems of counting, against counting by hand."""

from __future__ import annotations

from collections import Counter

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.data.counting import rows


def test_answers_and_solutions_by_hand() -> None:
    known = {row["problem"]: row for split in ("train", "test") for row in rows(split)}
    letter = known["Which letter of the alphabet is 3 letters after N?"]
    assert (letter["answer"], letter["level"], letter["subject"]) == ("Q", 3, "letter")
    assert letter["terse"] == "The answer is Q."
    assert letter["worked"] == "1 O, 2 P, 3 Q. The answer is Q."
    assert known["Which month is 5 months before March?"]["answer"] == "October", "months go round"
    assert known["Which day of the week is 8 days after Sunday?"]["answer"] == "Monday"
    assert "Which letter of the alphabet is 2 letters after Y?" not in known, "letters end at Z"
    assert all(row["worked"].endswith(row["terse"]) for row in known.values())
    assert len(known) == 702


def test_training_and_test_problems_are_disjoint_and_stay_the_same() -> None:
    train, test = rows("train"), rows("test")
    assert (len(train), len(test)) == (552, 150)
    assert not {row["id"] for row in train} & {row["id"] for row in test}
    assert Counter(row["level"] > 0 for row in test) == {True: 69, False: 81}
    with pytest.raises(UserError, match="split=dev must be train or test"):
        rows("dev")
