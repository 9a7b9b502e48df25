"""The likelihood of gold solutions in the analysis: its unit, its intervals, and what it is refused for."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from limo_ablate.analysis.answers import items
from limo_ablate.analysis.contrasts import contrasts
from limo_ablate.analysis.crossed import crossed
from limo_ablate.analysis.measures import measure_means, measures
from limo_ablate.analysis.table import table
from limo_ablate.analysis.tidy import tidy_items
from limo_ablate.analysis.trials import Trial, load_trials
from limo_ablate.core.errors import UserError
from limo_ablate.report.claims import claims
from limo_ablate.report.compare.arms import find_arm
from limo_ablate.report.compare.text import as_text
from limo_ablate.report.health.scores import section
from limo_ablate.report.study_view import load
from limo_ablate.study.contrast import Contrast
from limo_ablate.trial.evaluate.metrics import Results, scores
from tests.made_study import SIZE_MODEL, Making

SIZES = {
    "block": "size x model", "score": "mini.likelihood", "factor": "select.size", "a": 4, "b": 64,
}  # fmt: skip
MODELS = SIZES | {"factor": "model", "a": "mini_s", "b": "mini_m", "primary": False}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """At 64 examples 0.5 nats a token better than at 4; every solution has 10 tokens, p3 is not measured."""
    folder = tmp_path_factory.mktemp("study")
    declared = [{"name": "more data", **SIZES}]
    Making(folder, blocks=[SIZE_MODEL], figures=[], contrasts=declared, seeds=[0, 1, 2]).write()
    rng = np.random.default_rng(3)
    hard = rng.normal(0, 0.4, 60)
    for trial in load_trials(folder):
        per_token = -2 + 0.5 * (trial.overrides["select.size"] == 64) - abs(hard) + rng.normal(0, 0.02, 60)
        file = trial.folder / "verdicts.parquet"
        measured = pl.when(pl.col("problem") != "p3").then(pl.Series(10 * per_token))
        added = pl.read_parquet(file).with_columns(
            log_likelihood=measured, solution_tokens=pl.lit(10, pl.Int64)
        )
        added.write_parquet(file)
    return folder


def of_size(study: Path, *sizes: int) -> list[str]:
    """Names of trials of one model and seed."""
    own = [trial for trial in load_trials(study) if trial.seed == 0 and trial.overrides["model"] == "mini_m"]
    return [trial.name for size in sizes for trial in own if trial.overrides["select.size"] == size]


def rows(trials: list[Trial], *declared: dict[str, Any]) -> list[dict[str, Any]]:
    axes = {"size x model": ["model", "select.size"]}
    made = [Contrast(**{"name": "c", **one}) for one in declared]
    return list(contrasts(made, axes, trials, items(trials)).rows(named=True))


@pytest.mark.parametrize("better", [0.0, 0.5])
def test_likelihoods_that_differ_by_the_same_everywhere_give_no_information(
    study: Path, better: float
) -> None:
    """They had an interval of zero width: "equivalent", or "different" with p < 0.001."""
    trials = load_trials(study)
    large = pl.col("trial").is_in([trial.name for trial in trials if trial.overrides["select.size"] == 64])
    answers = items(trials).with_columns(likelihood=-1.7 + better * large)
    declared = [Contrast(name="c", **SIZES, margin=0.8)]
    (row,) = contrasts(declared, {"size x model": ["model", "select.size"]}, trials, answers).rows(named=True)
    assert row["effect"] == pytest.approx(better)
    assert row["conclusion"] == "no information"
    assert [row[name] for name in ("low", "high", "p", "p_equivalent")] == [None] * 4


def test_a_contrast_is_in_nats_and_knows_no_floor(study: Path) -> None:
    trials = load_trials(study)
    (row,) = rows(trials, SIZES | {"at": {"model": "mini_m"}, "margin": 0.8})
    assert (row["unit"], row["conclusion"], row["samples"]) == ("nats per token", "different", 1)
    assert (row["problems"], row["answered"]) == (59, 60), "p3 has no likelihood"
    assert (row["p_mcnemar"], row["by_finishing"]) == (None, None)
    assert row["effect"] == pytest.approx(0.5, abs=0.02)
    assert row["p_equivalent"] < 0.05, "0.5 is within 0.8"
    own = items(trials).filter(pl.col("score") == "mini").drop_nulls("likelihood")
    arms = {}
    for trial in trials:
        if trial.overrides["model"] == "mini_m":
            values = own.filter(trial=trial.name).sort("problem")["likelihood"].to_numpy()
            arms[trial.overrides["select.size"], trial.seed] = values
    difference = np.stack([arms[64, seed] - arms[4, seed] for seed in (0, 1, 2)])
    expected = crossed(difference[None])
    assert (row["low"], row["high"]) == pytest.approx([float(end[0]) for end in expected.interval()])


def test_it_is_a_measure_with_its_own_bounds(study: Path) -> None:
    trials = load_trials(study)
    values = measures(trials).filter(measure="likelihood", score="mini")
    assert values.height == 59 * len(trials)
    means = measure_means(table(trials), values, ["model", "select.size"])
    low, high = means["low"].to_numpy(), means["high"].to_numpy()
    assert (low < means["mean"].to_numpy()).all()
    assert (high < 0).all()
    assert (low < -1.8).all()
    tidy = tidy_items(trials, ["model"])
    assert tidy["log_likelihood"].null_count() == len(trials)


def test_what_a_trial_writes_is_the_mean_over_problems() -> None:
    verdicts = pl.DataFrame(
        {
            "problem": ["a", "a", "b", "c"], "sample": [0, 1, 0, 0], "status": "incorrect", "rule": "boxed",
            "finish": "stop", "boxed": False, "lenient": False, "loops": False, "tokens": 3, "vote": 1,
            "log_likelihood": [-6.0, -6.0, -4.0, None], "solution_tokens": [3, 3, 4, 9],
        }
    )  # fmt: skip
    found = scores(Results(verdicts=verdicts))
    assert found["likelihood"] == pytest.approx(-1.5)
    assert found["likelihood_stderr"] == pytest.approx(math.sqrt(0.5) / math.sqrt(2))
    assert (found["likelihood_per_solution"], found["likelihood_problems"]) == (-5.0, 2)


def test_the_report_and_compare_never_show_it_in_per_cent(study: Path) -> None:
    view = load(study)
    found = claims(view)
    assert found
    ((_, text),) = found.findings
    assert text.startswith("+0.5")
    assert " nats per token [+0.4" in text
    (chart,) = found.section.charts
    assert chart.title == "Contrasts on likelihood (nats per token)"
    assert chart.table
    assert chart.table.rows[0][6].endswith(" nats per token")
    assert "difference (nats per token)" in str(chart.spec)
    made = section(view)
    assert made
    assert made.table
    place = made.table.header.index("likelihood (nats per token)")
    assert all(row[place].startswith("-") and " ± 0." in row[place] for row in made.table.rows)
    arms = [find_arm(name, [study]) for name in of_size(study, 4, 64)]
    lines = [one for one in as_text(*arms).splitlines() if "likelihood, nats per token" in one]
    assert "+0.5" in lines[0]


def test_models_with_other_tokens_have_no_common_unit(study: Path) -> None:
    trials = load_trials(study)
    (row,) = rows(trials, MODELS)
    assert row["conclusion"] == "unclear"
    answers = items(trials).with_columns(
        solution_tokens=pl.when(pl.col("trial").str.contains("mini_s")).then(12).otherwise(10)
    )
    axes = {"size x model": ["model", "select.size"]}
    declared = [Contrast(**{"name": "c", **one}) for one in (MODELS, SIZES)]
    across, within = contrasts(declared, axes, trials, answers).rows(named=True)
    assert "into different tokens" in across["note"]
    assert within["conclusion"] == "different"
    pairs = ("mini_s", 4), ("mini_m", 64)  # an axis `model, select.size`: the two vary together
    joint = [one for one in trials if (one.overrides["model"], one.overrides["select.size"]) in pairs]
    (row,) = contrasts(declared[1:], axes, joint, answers).rows(named=True)
    assert "into different tokens" in row["note"]


def test_trials_that_did_not_measure_it_have_no_result(study: Path) -> None:
    trials = load_trials(study)
    unmeasured = items(trials).with_columns(likelihood=pl.lit(None, pl.Float64))
    found = contrasts(
        [Contrast(**{"name": "c", **SIZES})], {"size x model": ["model", "select.size"]}, trials, unmeasured
    )
    assert "do not measure it (eval.likelihood)" in found["note"][0]


@pytest.mark.parametrize(
    ("factor", "fits"),
    [
        ("select.size", True), ("train.epochs", True), ("select.quality", False), ("select.teacher", False),
        ("data", False), ("select.shares", False), ("train.response", False), ("model", False),
    ],
)  # fmt: skip
def test_between_kinds_of_solutions_it_is_no_primary_outcome(factor: str, fits: bool) -> None:
    named = {"name": "c", "block": "b", "score": "mini.likelihood", "factor": factor, "a": 1, "b": 2}
    assert Contrast(**named, primary=False).unit == "nats per token"
    if fits:
        assert Contrast(**named, effect=1.5).effect == 1.5
        with pytest.raises(UserError, match=r"no primary outcome between levels of select\.quality"):
            Contrast(**named, interaction={"select.quality": ("L1", "L5")})
        return
    with pytest.raises(UserError, match=f"levels of {factor}: the likelihood .* set primary: false"):
        Contrast(**named)
