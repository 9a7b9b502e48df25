"""The table of scores: what stands in it, and pass@k where there are several samples."""

import json
from pathlib import Path

import polars as pl

from limo_ablate.report.health.scores import section
from limo_ablate.report.study_view import StudyView, load
from limo_ablate.trial.evaluate.metrics import Results, benchmark_scores
from tests.made_study import SIZE_QUALITY, Making

SMALL = {**SIZE_QUALITY, "axes": {"select.size": [4, 64], "select.quality": ["L3", "L4"]}}


def study(folder: Path) -> Path:
    return Making(folder, blocks=[SMALL], figures=[], seeds=[0, 1]).write()


def sampled(folder: Path, samples: int) -> StudyView:
    """With so many samples of each problem: those of problems one to `samples`, by turns."""
    for trial in load(folder).done:
        verdicts = pl.read_parquet(trial.folder / "verdicts.parquet")
        turns = [verdicts.with_columns(pl.col("status", "vote").shift(s, fill_value=None).fill_null(strategy="backward"), sample=pl.lit(s)) for s in range(samples)]  # noqa: E501 # fmt: skip
        more = pl.concat(turns).sort("problem", "sample")
        more.write_parquet(trial.folder / "verdicts.parquet")
        metrics = json.loads((trial.folder / "metrics.json").read_text())
        metrics["scores"] = benchmark_scores("mini", Results(verdicts=more), None)
        metrics["scores"]["mini"]["judged_accuracy"] = 0.25
        (trial.folder / "metrics.json").write_text(json.dumps(metrics))
    return load(folder)


def test_one_sample_has_avg_and_health_and_no_picture(tmp_path: Path) -> None:
    view = load(study(tmp_path))
    made = section(view)
    assert made
    assert made.table
    assert not made.charts
    assert made.table.header[-7:] == ["problems × samples × seeds", "avg@n", "right if finished", "truncated", "no answer", "undecided", "tokens"]  # noqa: E501 # fmt: skip
    assert len(made.table.rows) == 4
    assert {row[3] for row in made.table.rows} == {"60 × 1 × 2"}
    first = view.table.filter(pl.col("score") == "mini", pl.col("select.size") == 4, pl.col("select.quality") == "L3")  # noqa: E501 # fmt: skip
    mean = first["accuracy"].mean()
    assert isinstance(mean, float)
    assert made.table.rows[0][4].startswith(f"{100 * mean:.1f} ± ")


def test_several_samples_have_pass_at_k_majority_and_what_else_was_asked_for(tmp_path: Path) -> None:
    made = section(sampled(study(tmp_path), 8))
    assert made
    assert made.table
    assert made.table.header[5:8] == ["pass@4", "pass@8", "maj@n"]
    assert made.table.header[-1] == "with the judge"
    assert {row[-1] for row in made.table.rows} == {"25.0"}
    (picture,) = made.charts
    assert picture.table
    assert picture.table.header == ["group", "pass@1", "pass@2", "pass@4", "pass@8"]
    for row in picture.table.rows:
        means = [float(text.split(" ± ")[0]) for text in row[1:]]
        assert means == sorted(means)
