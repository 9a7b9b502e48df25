"""Lengths of completions by kind, what was cut off, and how cells are put together where they are many."""

from pathlib import Path

from limo_ablate.report.health.groups import groups
from limo_ablate.report.health.lengths import lengths, section
from limo_ablate.report.study_view import StudyView, load
from tests.made_study import SIZE_QUALITY, Making


def study(folder: Path) -> StudyView:
    return load(Making(folder, blocks=[SIZE_QUALITY], figures=[]).write())


def test_every_completion_is_in_one_kind_of_one_group(tmp_path: Path) -> None:
    view = study(tmp_path)
    rows = lengths(groups(view), "mini")
    assert rows["completions"].sum() == 60 * len(view.done)
    assert rows["truncated"].sum() == 6 * len(view.done)  # level 9 of 60 problems
    assert rows["low"].min() == 14
    assert (rows["lower"] <= rows["middle"]).all()
    made = section(view)
    assert made
    assert [drawn.id for drawn in made.charts] == ["completion-lengths", "truncated"]
    assert "10.0 % of all completions were truncated" in made.charts[1].finding
    assert made.text == ("No training example was over the length limit (train.max_length).",)


def test_many_cells_are_put_together_over_the_factor_with_most_levels(tmp_path: Path) -> None:
    found = groups(study(tmp_path), 6)
    assert found.keys == ("select.size",)
    assert found.over == ("select.quality",)
    assert {len(trials) for trials in found.trials.values()} == {15}
    assert found.note == "By training examples; over solution tier."
