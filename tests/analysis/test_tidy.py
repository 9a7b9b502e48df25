"""The table for other analyses: a row for each trial and problem, with counts that add up to the scores."""

from pathlib import Path

import polars as pl

from limo_ablate.analysis.tidy import tidy_items
from limo_ablate.analysis.trials import load_trials
from limo_ablate.report.page import write_page
from limo_ablate.report.part_errors import PartErrors
from limo_ablate.report.parts import draw_parts
from limo_ablate.report.study_view import load
from tests.made_study import DIFFICULTY, SIZE_MODEL, Making


def test_it_has_all_factors_and_counts(tmp_path: Path) -> None:
    blocks = (DIFFICULTY, SIZE_MODEL)
    folder = Making(tmp_path / "made", blocks=blocks, figures=(), samples=4, problems=20).write()
    trials = load_trials(folder)
    found = tidy_items(trials, ["select.size", "model", "select.difficulty"])
    assert found.columns[:5] == ["trial", "seed", "select.size", "model", "select.difficulty"]
    assert found.height == len(trials) * 20
    assert found["samples"].unique().to_list() == [4]
    assert found.filter(pl.col("correct") > 4).is_empty()
    means = found.group_by("trial").agg(accuracy=(pl.col("correct") / pl.col("samples")).mean())
    accuracy = dict(means.iter_rows())
    for trial in trials:
        assert trial.metrics
        assert abs(accuracy[trial.name] - trial.metrics["scores"]["mini"]["accuracy"]) < 1e-9


def test_the_report_writes_it_beside_the_page(tmp_path: Path) -> None:
    folder = Making(tmp_path / "made", blocks=(DIFFICULTY,), figures=(), problems=20).write()
    view, errors = load(folder), PartErrors()
    for _ in range(2):
        page = write_page(view, draw_parts(view, errors), {}, errors)
    found = pl.read_parquet(page.with_name("items.parquet"))
    assert set(found["select.difficulty"]) == {"easy", "medium", "hard"}
    assert errors.failed == []
