"""pass@k, majority votes and health by problem: as the trial's own scores have them, with crossed errors."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from limo_ablate.analysis.answers import items
from limo_ablate.analysis.measures import measure_means, measures
from limo_ablate.analysis.summary import summary
from limo_ablate.analysis.table import table
from limo_ablate.analysis.trials import Trial, load_trials
from limo_ablate.core.errors import UserError
from limo_ablate.trial.evaluate.metrics import Results, benchmark_scores
from limo_ablate.trial.evaluate.passes import passes
from tests.made_study import DIFFICULTY, Making

GROUPS = {"easy": (1.0, 3.0), "medium": (4.0, 6.0), "hard": (7.0, 9.0)}


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    """Three arms x two seeds; each problem of `sampled` verdicts has five samples."""
    folder = tmp_path_factory.mktemp("study")
    study = Making(folder, blocks=[DIFFICULTY], figures=[], seeds=[0, 1]).write()
    rng = np.random.default_rng(4)
    for trial in load_trials(study):
        one = pl.read_parquet(trial.folder / "verdicts.parquet")
        verdicts = pl.concat([sampled(one, number, rng) for number in range(5)])
        verdicts.write_parquet(trial.folder / "verdicts.parquet")
        scores = benchmark_scores("mini", Results(verdicts=verdicts), GROUPS, {"p1", "p2"})
        metrics = json.loads((trial.folder / "metrics.json").read_text()) | {"scores": scores}
        (trial.folder / "metrics.json").write_text(json.dumps(metrics))
    return load_trials(study)


def sampled(one: pl.DataFrame, number: int, rng: np.random.Generator) -> pl.DataFrame:
    right, kind = rng.random(one.height) < 0.4, rng.integers(1, 4, one.height)
    silent = (kind == 3) & ~right
    votes = np.where(right, 0, kind)
    return one.with_columns(
        sample=pl.lit(number),
        status=pl.Series(np.where(right, "correct", "incorrect")),
        rule=pl.Series(np.where(silent, "no_answer", "boxed")),
        vote=pl.when(pl.Series(~silent)).then(pl.Series(votes)),
        source=pl.col("problem").str.slice(0, 2),
        clean=~pl.col("problem").is_in(["p1", "p2"]),
    )  # fmt: skip


def test_each_is_the_mean_that_the_trial_wrote(trials: list[Trial]) -> None:
    means = measures(trials).group_by("trial", "score", "measure").agg(pl.col("value").mean())
    found = {(trial, score, measure): value for trial, score, measure, value in means.rows()}
    names = {"avg": "accuracy", "maj": "maj@5", "pass@2": "pass@2", "pass@4": "pass@4"}
    names |= {name: name for name in ("truncated", "no_answer", "unfinished", "undecided", "tokens")}
    for trial in trials:
        assert trial.metrics is not None
        for score, numbers in trial.metrics["scores"].items():
            for name, written in names.items():
                assert found.pop((trial.name, score, name)) == pytest.approx(numbers[written])
            found.pop((trial.name, score, "right_if_finished"), None)
    assert not found
    assert "mini/clean" in trials[0].metrics["scores"]  # type: ignore[index]


def test_right_if_finished_leaves_out_what_was_cut_off(trials: list[Trial]) -> None:
    (trial,) = trials[:1]
    verdicts = pl.read_parquet(trial.folder / "verdicts.parquet").filter(pl.col("finish") != "length")
    expected = verdicts.group_by("problem").agg((pl.col("status") == "correct").mean().alias("share"))
    found = measures([trial]).filter(pl.col("measure") == "right_if_finished", pl.col("score") == "mini")
    both = found.join(expected, on="problem")
    assert both.height == expected.height == found.height
    assert both["value"].to_list() == pytest.approx(both["share"].to_list())


def test_of_a_grader_without_votes_there_is_no_majority(trials: list[Trial], tmp_path: Path) -> None:
    """It would be 0 %, whatever was right."""
    copy = tmp_path / "trial"
    shutil.copytree(trials[0].folder, copy)
    file = copy / "verdicts.parquet"
    silent = pl.read_parquet(file).with_columns(vote=pl.lit(None, pl.Int64))
    silent.write_parquet(file)
    kinds = measures([replace(trials[0], folder=copy)])["measure"].unique()
    assert {"avg", "pass@4"} <= {*kinds}
    assert "maj" not in kinds
    assert not [key for key in passes(silent) if key.startswith("maj")]


def test_of_one_sample_there_is_no_pass_and_no_vote(tmp_path: Path) -> None:
    single = load_trials(Making(tmp_path, blocks=[DIFFICULTY], figures=[], seeds=[0]).write())
    assert set(measures(single)["measure"]) == {
        "avg",
        "right_if_finished",
        "truncated",
        "no_answer",
        "unfinished",
        "undecided",
        "tokens",
    }
    assert set(measures(single)["score"]) == {"mini", *(f"mini/{group}" for group in GROUPS)}, (
        "no gate, no clean items"
    )
    assert measures([]).is_empty()


def test_measured_is_the_inference_of_summary(trials: list[Trial]) -> None:
    rows, by = table(trials), ["select.difficulty"]
    found = measure_means(rows, measures(trials), by)
    cells = summary(rows, items(trials), by)
    both = found.filter(measure="avg").join(cells, on=[*by, "score"], suffix="_summary")
    assert both.height == cells.height == 3 * 5
    for name in ("mean", "stderr", "low", "high", "seeds", "problems"):
        assert both[name].to_list() == pytest.approx(both[f"{name}_summary"].to_list())
    tokens = found.filter(measure="tokens", score="mini").row(0, named=True)
    assert tokens["high"] >= tokens["mean"] > 10, "not a share"
    assert found["select.difficulty"].unique(maintain_order=True).to_list() == ["easy", "medium", "hard"]


def test_clustered_errors_go_by_cluster(trials: list[Trial]) -> None:
    """p1 and p10 to p19 are one contest, and so on: the item error is that of ten shares of the mean."""
    answers = items(trials, "source")
    rows = table(trials)
    found = summary(rows, answers, ["select.difficulty"]).filter(score="mini")
    alone = summary(rows, items(trials), ["select.difficulty"]).filter(score="mini")
    assert found["problems"].to_list() == [60] * 3
    assert found["mean"].to_list() == pytest.approx(alone["mean"].to_list())
    assert found["item_error"].to_list() != pytest.approx(alone["item_error"].to_list())
    first = answers.filter(pl.col("score") == "mini", pl.col("trial").is_in([trials[0].name, trials[3].name]))
    mean = first["accuracy"].mean()
    shares = first.group_by("cluster").agg((pl.col("accuracy") - mean).sum() / 2 * 10 / 60)["accuracy"]
    assert found["item_error"][0] == pytest.approx(shares.std() / 10**0.5, rel=0.01)  # type: ignore[operator]


def test_what_has_no_clusters_says_so(trials: list[Trial], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cluster=subject: 60 problems of benchmark mini have no subject"):
        items(trials, "subject")
    study = load_trials(Making(tmp_path, blocks=[DIFFICULTY], figures=[], seeds=[0]).write())
    for trial in study:
        file = trial.folder / "verdicts.parquet"
        pl.read_parquet(file).with_columns(source=pl.lit("one")).write_parquet(file)
    with pytest.raises(UserError, match="all problems of benchmark mini have the source one"):
        measures(study, "source")
