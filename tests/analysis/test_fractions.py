"""Scores that are fractions: from verdicts to contrasts, curves, plan and report, against numbers by hand."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev, variance
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

import limo_ablate as la
from limo_ablate.analysis.answers import items
from limo_ablate.analysis.measures import measures
from limo_ablate.analysis.variance_components import components
from limo_ablate.report.page import write_report
from limo_ablate.report.study_view import StudyView, load
from limo_ablate.study.imported.config import ImportConfig
from limo_ablate.study.imported.write import import_study
from limo_ablate.sweep.plan.pilots import measure
from tests.made_study import Making

SIZES = [4, 16, 64]
BLOCK = {
    "name": "sizes",
    "axes": {"select.size": SIZES},
    "overrides": ["model=mini_m", "select.quality=L4", "select.difficulty=any"],
}
FIGURE = {"title": "By size", "block": "sizes", "x": "select.size", "line": "model", "score": "mini"}
CONTRAST = {"name": "c", "block": "sizes", "factor": "select.size", "a": 4, "b": 64, "score": "mini"}


@dataclass
class Fractions(Making):
    """Completions whose scores are tenths."""

    def _verdicts(self, chance: np.ndarray) -> pl.DataFrame:
        table = super()._verdicts(chance)
        chance = np.repeat(chance, self.samples)
        score = np.round(np.clip(chance + self.rng.normal(0, 0.15, len(chance)), 0, 1), 1)
        status = np.where(score == 1, "correct", "incorrect")
        return table.with_columns(score=score, status=status, vote=pl.lit(None, pl.Int64))


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> StudyView:
    made = Fractions(
        tmp_path_factory.mktemp("study") / "made",
        blocks=(BLOCK,), figures=(FIGURE,), contrasts=(CONTRAST,), samples=4, problems=40,
    )  # fmt: skip
    return load(made.write())


def scores(view: StudyView, size: int) -> dict[int, dict[str, list[float]]]:
    """Seed -> problem -> scores of its samples."""
    found: dict[int, dict[str, list[float]]] = {}
    for trial in view.done:
        if trial.level("select.size") == size:
            rows = pl.read_parquet(trial.folder / "verdicts.parquet").group_by("problem").agg("score")
            found[trial.seed] = dict(rows.iter_rows())
    return found


def test_a_trial_s_scores_by_hand(view: StudyView) -> None:
    own = (view.done[0].metrics or {})["scores"]["mini"]
    by_problem = scores(view, SIZES[0])[0]
    means = [mean(values) for values in by_problem.values()]
    assert own["accuracy"] == pytest.approx(mean(means))
    assert own["stderr"] == pytest.approx(stdev(means) / math.sqrt(len(means)))
    noise = math.sqrt(sum(variance(values) for values in by_problem.values())) / len(means)
    assert own["decoding_sd"] == pytest.approx(noise)
    assert own["fractional"] is True
    assert not [key for key in own if key.startswith(("pass@", "maj@"))]


def test_measures_and_items_are_mean_scores(view: StudyView) -> None:
    expected = {
        (seed, problem): mean(values)
        for seed, rows in scores(view, 64).items()
        for problem, values in rows.items()
    }
    for table, column in (
        (items(view.done), "accuracy"),
        (measures(view.done).filter(measure="avg"), "value"),
    ):
        for trial in view.done:
            if trial.level("select.size") == 64:
                for problem, value in (
                    table.filter(trial=trial.name, score="mini").select("problem", column).rows()
                ):
                    assert value == pytest.approx(expected[trial.seed, problem])
    named = measures(view.done)["measure"].unique().to_list()
    assert not [name for name in named if name == "maj" or name.startswith("pass@")]


def test_a_contrast_is_the_difference_of_mean_scores(view: StudyView) -> None:
    (row,) = la.Study(view.folder).contrasts().iter_rows(named=True)
    arms = [mean(mean(v) for rows in scores(view, size).values() for v in rows.values()) for size in (64, 4)]
    assert row["effect"] == pytest.approx(arms[0] - arms[1])
    assert row["low"] < row["effect"] < row["high"]
    assert row["p_mcnemar"] is None


def test_the_variance_of_samples_is_that_of_their_scores(view: StudyView) -> None:
    """Not a (1 - a), which it is for 0 and 1 only: six times as much here."""
    block = view.study.blocks[0]
    rows = components(view.cube(block, "mini"), view.cube(block, "mini", "variance"))
    within = mean(
        variance(values) for size in SIZES for own in scores(view, size).values() for values in own.values()
    )
    assert rows.filter(component="sample")["variance"].item() == pytest.approx(within)
    assert within < 0.03


def test_a_plan_from_its_trials_knows_what_more_samples_would_reduce(view: StudyView) -> None:
    trials = [trial for trial in view.done if trial.level("select.size") in (4, 64)]
    planned: list[Any] = [
        SimpleNamespace(
            id=trial.name, name=trial.name, key=(trial.metrics or {})["trial"], seed=trial.seed,
            blocks=trial.blocks, levels={"select.size": trial.level("select.size")},
        )
        for trial in trials
    ]  # fmt: skip
    pilots = measure(planned, {trial.name: trial.folder for trial in trials}, "mini", "seed", None)
    assert pilots is not None
    within = mean(
        variance(values) for size in (4, 64) for own in scores(view, size).values() for values in own.values()
    )
    assert pilots.sampling == pytest.approx(within / 4)


def test_the_report_speaks_of_scores(view: StudyView) -> None:
    write_report(view.folder)
    page = (view.folder / "report" / "index.html").read_text()
    assert "score on mini" in page
    for absent in ("accuracy on mini", "Accuracy and", "pass@k on mini", "are solved by no cell", "pass@2"):
        assert absent not in page


def test_imported_fractions_are_the_numbers_of_the_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        {"arm": arm, "seed": seed, "item": f"q{item}", "f1": round(float(rng.random() * top), 3)}
        for arm, top in (("a", 0.6), ("b", 1.0))
        for seed in (0, 1)
        for item in range(30)
    ]
    for arm in ("a", "b"):
        for seed in (0, 1):
            with (tmp_path / f"{arm}-{seed}.csv").open("w") as file:
                writer = csv.DictWriter(file, rows[0])
                writer.writeheader()
                writer.writerows(row for row in rows if (row["arm"], row["seed"]) == (arm, seed))
    study = la.Study(
        import_study(
            ImportConfig(
                name="f1", files=f"{tmp_path}/{{arm}}-{{seed}}.csv", score="f1", benchmark="qa",
                contrasts=({"name": "c", "factor": "arm", "a": "a", "b": "b", "score": "qa"},),
            ),
            tmp_path / "studies",
        )
    )  # fmt: skip
    means = {arm: mean(row["f1"] for row in rows if row["arm"] == arm) for arm in ("a", "b")}
    (row,) = study.contrasts().iter_rows(named=True)
    assert row["effect"] == pytest.approx(means["b"] - means["a"])
    found = study.trials()
    assert found.filter(arm="a")["accuracy"].mean() == pytest.approx(means["a"])
    assert study.figures == ["Score on qa"]
    assert study.items()["accuracy"].sum() == pytest.approx(sum(row["f1"] for row in rows))
