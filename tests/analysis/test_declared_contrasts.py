"""Contrasts of more than two arms or one score: changes of effects, lines over sizes, means over scores."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from limo_ablate.analysis.answers import items
from limo_ablate.analysis.contrasts import contrasts
from limo_ablate.analysis.crossed import crossed, stratified
from limo_ablate.analysis.tidy import tidy_items
from limo_ablate.analysis.trials import Trial, load_trials
from limo_ablate.study.contrast import Contrast
from tests.made_study import SIZE_QUALITY, Making

AXES = {"size x quality": ["select.size", "select.quality"]}
SIZES = [4, 16, 64, 256]
WHAT = {"name": "c", "block": "size x quality", "score": "mini"}
TIER = {"factor": "select.quality", "a": "L1", "b": "L5"}
SIZE = {"factor": "select.size", "a": 4, "b": 256}


def planted(asked: dict[str, Any]) -> float:
    """5 points more with each doubling of the size for L5; L1 stays at 20 %."""
    doublings = float(np.log2(asked["select.size"])) - 2
    return 0.2 + 0.05 * doublings * (asked["select.quality"] == "L5")


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    folder = tmp_path_factory.mktemp("study") / "made"
    made = Making(folder, blocks=(SIZE_QUALITY,), figures=(), accuracy=planted, problems=120)
    return load_trials(made.write())


def rows(trials: list[Trial], *declared: dict[str, Any]) -> list[dict[str, Any]]:
    found = contrasts([Contrast(**{**WHAT, **one}) for one in declared], AXES, trials, items(trials))
    return list(found.rows(named=True))


def test_an_interaction_is_the_difference_of_two_effects(trials: list[Trial]) -> None:
    change, at_256, at_4 = rows(
        trials,
        TIER | {"interaction": {"select.size": (4, 256)}},
        TIER | {"at": {"select.size": 256}},
        TIER | {"at": {"select.size": 4}},
    )
    assert change["effect"] == pytest.approx(at_256["effect"] - at_4["effect"])
    assert change["low"] < 0.3 < change["high"]
    assert change["high"] - change["low"] > at_256["high"] - at_256["low"]
    assert (change["conclusion"], change["over"], change["p_mcnemar"]) == ("different", "", None)
    assert change["comparison"] == "select.quality L5 against L1, at select.size=256 against 4"
    back = rows(trials, SIZE | {"interaction": {"select.quality": ("L1", "L5")}})[0]
    assert back["effect"] == pytest.approx(change["effect"])
    assert back["over"] == ""


def test_a_trend_is_the_change_of_a_line_over_all_sizes_between(trials: list[Trial]) -> None:
    line, part = rows(
        trials,
        SIZE | {"trend": True, "at": {"select.quality": "L5"}},
        SIZE | {"b": 64, "trend": True, "at": {"select.quality": "L5"}},
    )
    wide = items(trials).filter(score="mini").group_by("trial").agg(pl.col("accuracy").mean())
    mean = dict(wide.iter_rows())
    of = {size: [mean[t.name] for t in trials if t.overrides["select.quality"] == "L5" and t.overrides["select.size"] == size] for size in SIZES}  # noqa: E501 # fmt: skip
    slope = np.polyfit(np.log(SIZES), [np.mean(of[size]) for size in SIZES], 1)[0]
    assert line["effect"] == pytest.approx(slope * np.log(64))
    assert line["low"] < 0.3 < line["high"]
    assert part["effect"] == pytest.approx(np.mean(of[64]) - np.mean(of[4])), "of three, the ends decide"
    assert line["comparison"] == "select.size from 4 to 256 by a line"
    assert line["over"] == "select.quality=L5"
    unrun = [t for t in trials if t.overrides["select.size"] != 256]
    assert "no finished trial at select.size=256" in rows(unrun, SIZE | {"trend": True})[0]["note"]


def test_a_mean_over_scores_counts_each_the_same(trials: list[Trial]) -> None:
    both, easy, hard = rows(
        trials, *(TIER | {"score": score} for score in (("mini/easy", "mini/hard"), "mini/easy", "mini/hard"))
    )
    assert both["effect"] == pytest.approx((easy["effect"] + hard["effect"]) / 2)
    assert both["problems"] == easy["problems"] + hard["problems"]
    assert both["score"] == "mean of mini/easy, mini/hard"
    assert both["low"] < 0.15 < both["high"]
    overlapping = items(trials).filter(score="mini").with_columns(score=pl.lit("mini/easy"))
    twice = pl.concat([items(trials).filter(score="mini/hard"), overlapping])
    (shared,) = contrasts(
        [Contrast(**{**WHAT, **TIER, "score": ("mini/easy", "mini/hard")})], AXES, trials, twice
    ).rows(named=True)
    assert shared["note"].endswith("scores with the same problems count them twice")
    assert "mini/easy and mini/hard share " in shared["note"]
    part = [t for t in trials if not (t.seed == 2 and t.overrides["select.quality"] == "L5")]
    (unpaired,) = rows(part, TIER | {"score": ("mini/easy", "mini/hard")})
    assert (
        unpaired["note"] == "a mean over several scores needs every arm on all of them, with the same seeds"
    )


def test_problems_known_by_content_count_once_in_a_mean_over_benchmarks(
    trials: list[Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids such as `0` are equal by chance in two benchmarks; those of imported logs are digests, but for
    tables."""
    own = items(trials).filter(score="mini")
    both = pl.concat([own, own.with_columns(score=pl.lit("other"))])
    declared = [Contrast(**{**WHAT, **TIER, "score": ("mini", "other")})]
    assert contrasts(declared, AXES, trials, both)["note"].to_list() == [None]
    for kind in ("table", "lm_eval"):
        config = {"imported": {"format": kind}}
        monkeypatch.setattr("limo_ablate.analysis.contrasts.resolved", lambda _, config=config: config)
        (note,) = contrasts(declared, AXES, trials, both)["note"]
        assert (note is None) == (kind == "table")
    assert "mini and other share 120 problems; scores with the same problems count them twice" in note


def test_arms_without_a_problem_in_common_have_no_result(trials: list[Trial]) -> None:
    arm = {trial.name for trial in trials if trial.overrides["select.quality"] == "L5"}
    other = pl.when(pl.col("trial").is_in(list(arm))).then("other " + pl.col("problem"))
    answers = items(trials).with_columns(problem=other.otherwise(pl.col("problem")))
    (row,) = contrasts([Contrast(**WHAT, **TIER)], AXES, trials, answers).rows(named=True)
    assert (row["effect"], row["note"]) == (None, "score mini: the arms answered no problem in common")


def test_one_set_of_problems_gives_the_interval_of_crossed() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0.1, 0.3, (5, 3, 80)) + rng.normal(0, 0.05, (5, 3, 1))
    one, same = stratified([values], (-1, 1), [80]), crossed(values, bounds=(-1, 1))
    for a, b in ((one.mean, same.mean), (one.stderr, same.stderr), (one.skew, same.skew)):
        assert a == pytest.approx(b)
    assert one.half_width(0.95) == pytest.approx(same.half_width(0.95), rel=0.02)
    halves = stratified([values[..., :40], values[..., 40:]], (-1, 1), [40, 40])
    assert halves.mean == pytest.approx(same.mean)
    assert halves.stderr == pytest.approx(same.stderr, rel=0.1)


def test_an_interaction_with_nothing_learned_at_one_end_gives_no_information(tmp_path: Path) -> None:
    """At 4 rows nothing is solved, so nothing is known of the tiers there: no change of their effect."""

    def accuracy(asked: dict[str, Any]) -> float:
        return -1.0 if asked["select.size"] == 4 else {"L1": 0.3, "L5": 0.8}[asked["select.quality"]]

    block = SIZE_QUALITY | {"axes": {"select.size": [4, 64], "select.quality": ["L1", "L5"]}}
    made = Making(tmp_path / "made", blocks=(block,), figures=(), accuracy=accuracy).write()
    change, trained, whole = rows(
        load_trials(made),
        TIER | {"interaction": {"select.size": (4, 64)}, "margin": 0.5},
        TIER | {"at": {"select.size": 64}},
        TIER,
    )
    assert (change["conclusion"], change["p"], change["p_equivalent"]) == ("no information", None, None)
    assert change["low"] < change["effect"] < change["high"]
    assert (trained["conclusion"], whole["conclusion"]) == ("different", "different")


def test_arms_without_common_seeds_are_unpaired_in_an_interaction_too(trials: list[Trial]) -> None:
    part = [t for t in trials if not (t.seed == 2 and t.overrides["select.size"] == 64 and t.overrides["select.quality"] == "L5")]  # noqa: E501 # fmt: skip
    (row,) = rows(part, TIER | {"interaction": {"select.size": (4, 64)}})
    assert (row["paired"], row["low_boot"]) == (False, None)
    assert row["low"] < 0.2 < row["high"]


def test_only_points_with_all_four_cells_count(trials: list[Trial]) -> None:
    part = [t for t in trials if not (t.overrides["select.size"] == 4 and t.overrides["select.quality"] == "L5")]  # noqa: E501 # fmt: skip
    (row,) = rows(part, TIER | {"interaction": {"select.size": (4, 64)}})
    assert "no finished trials yet that agree in all other factors" in row["note"]


def test_logs_that_do_not_say_how_completions_ended_split_nothing(tmp_path: Path) -> None:
    """They were counted as finished: "by finishing +0.0"."""
    block = SIZE_QUALITY | {"axes": {"select.size": [4], "select.quality": ["L1", "L5"]}}
    made = Making(tmp_path / "made", blocks=(block,), figures=(), accuracy=planted).write()
    for path in made.glob("trials/*/verdicts.parquet"):
        pl.read_parquet(path).drop("finish", "tokens").write_parquet(path)
    found = load_trials(made)
    row, ended = rows(found, TIER, TIER | {"score": "mini.finished"})
    assert row["p"] is not None
    assert (row["by_finishing"], row["by_being_right"]) == (None, None)
    assert ended["note"] == "score mini.finished: its trials do not record how their completions ended"
    tidy = tidy_items(found, ["select.quality"])
    assert (tidy["finished"].null_count(), tidy["tokens"].null_count()) == (tidy.height, tidy.height)


def test_an_effect_is_split_into_finishing_and_being_right(trials: list[Trial]) -> None:
    """L1 ends half of its completions and L5 all; of those that end, as many are right."""
    answers = items(trials)
    tiers = {trial.name: str(trial.overrides["select.quality"]) for trial in trials}
    ends = pl.when(pl.col("trial").replace_strict(tiers) == "L1").then(0.5).otherwise(1.0)
    made = answers.with_columns(accuracy=0.4 * ends, finished=ends, right_finished=0.4 * ends)
    ended = TIER | {"score": "mini.finished"}
    declared = [
        Contrast(**{**WHAT, **one}) for one in (TIER, ended, TIER | {"interaction": {"select.size": (4, 64)}})
    ]
    row, share, change = contrasts(declared, AXES, trials, made).rows(named=True)
    assert (row["effect"], row["by_finishing"], row["by_being_right"]) == pytest.approx((0.2, 0.2, 0.0))
    assert (share["effect"], share["by_finishing"], change["by_finishing"]) == (0.5, None, None)
    (real,) = rows(trials, TIER)
    cut_off = items(trials).with_columns(rest=pl.col("accuracy") - pl.col("right_finished"))
    rest = cut_off.filter(score="mini").group_by("trial").agg(pl.col("rest").mean())
    by_tier = rest.group_by(pl.col("trial").replace_strict(tiers).alias("tier")).agg(pl.col("rest").mean())
    left = dict(by_tier.iter_rows())
    parts = real["by_finishing"] + real["by_being_right"]
    assert real["effect"] == pytest.approx(parts + left["L5"] - left["L1"])
