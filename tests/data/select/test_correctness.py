"""Solutions of a pool are graded by `data.grader`, as a benchmark's completions are."""

from pathlib import Path

import polars as pl

from limo_ablate.core.artifacts import Store
from limo_ablate.data.grade.grader import GraderOptions
from limo_ablate.data.grade.graders import Grading
from limo_ablate.data.select.correctness import grades
from tests.data.select.sample_pool import sample_pool

PROBLEMS = [{"id": "a", "gold": "USA|United States"}, {"id": "b", "gold": '{"total": 3}'}]
SOLUTIONS = [
    {"problem": "a", "text": "The answer is United States."},
    {"problem": "a", "text": "The answer is UK."},
    {"problem": "b", "text": 'It is {"total": 3}'},
]


def test_the_grader_of_the_pool_decides(tmp_path: Path) -> None:
    store = Store(tmp_path)
    pool = sample_pool(store, PROBLEMS, SOLUTIONS)

    def status(grading: Grading) -> list[str]:
        table = pl.read_parquet(grades(store, pool, grading).path / "grades.parquet")
        assert table["solution"].to_list() == ["a-0", "a-1", "b-2"]
        return table["status"].to_list()

    assert status(Grading("any_of")) == ["correct", "incorrect", "incorrect"]
    assert status(Grading("json"))[2] == "correct"
    split = Grading("any_of", GraderOptions(separator="/"))
    assert status(split) == ["incorrect"] * 3
    assert grades(store, pool).key == grades(store, pool, Grading()).key
