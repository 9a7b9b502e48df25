"""What would let a contrast be seen: seeds, samples; and what the pilots of a study say of its noise."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from limo_ablate.core.errors import UserError
from limo_ablate.study.contrast import Contrast
from limo_ablate.study.design import load_study
from limo_ablate.study.planned import PlannedTrial, planned_trials
from limo_ablate.sweep.plan.detectable import Detectable, detectable

SAMPLED = ["eval.benchmarks.mini.samples=2", "eval.benchmarks.mini.temperature=0.7"]


def study_trials(
    folder: Path, *overrides: str, effect: float = 0.05, axes: Any = None
) -> tuple[Any, list[PlannedTrial]]:
    text = {
        "name": "small", "overrides": ["track=none", "data=miniature", "eval=miniature", *overrides],
        "seeds": [0, 1, 2],
        "blocks": [{"name": "grid", "axes": {"select.quality": ["L1", "L5"], **(axes or {})}}],
        "contrasts": [{"name": "tier", "block": "grid", "factor": "select.quality", "a": "L1", "b": "L5",
                       "score": "mini", "effect": effect}],
    }  # fmt: skip
    (folder / "small.yaml").write_text(yaml.safe_dump(text))
    study = load_study(str(folder / "small.yaml"))
    return study, planned_trials(study)


def seen(
    study: Any, found: list[PlannedTrial], done: dict[str, Path], cluster: str | None = None
) -> Detectable:
    (row,) = detectable(study.contrasts, found, done, cluster)
    return row


def piloted(
    folder: Path,
    found: list[PlannedTrial],
    samples: int,
    contests: int | None = None,
    solved: float = 0.5,
) -> dict[str, Path]:
    """Finished trials: 180 problems, half of them solved; those of a contest go together in an arm."""
    rng = np.random.default_rng(3)
    own = rng.normal(0, 0.25, (2, contests or 1))
    done = {}
    for number, trial in enumerate(found):
        at = folder / str(number)
        at.mkdir(parents=True)
        contest = np.arange(180) % (contests or 1)
        arm = int(trial.levels["select.quality"] == "L5")
        chance = np.clip(solved + own[arm, contest] * (contests is not None) + rng.normal(0, 0.03), 0, 1)
        right = rng.random((180, samples)) < chance[:, None]
        verdicts = pl.DataFrame({
            "benchmark": "mini", "problem": np.repeat([f"p{i}" for i in range(180)], samples),
            "level": np.repeat(1.0 + np.arange(180) // 20, samples),
            "status": np.where(right, "correct", "incorrect").ravel(),
        })  # fmt: skip
        if contests:
            verdicts = verdicts.with_columns(source=pl.Series(np.repeat(contest.astype(str), samples)))
        verdicts.write_parquet(at / "verdicts.parquet")
        (at / "config.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(asdict(trial.config)))))
        result = {
            "trial": trial.key, "scores": {}, "inputs": {"files": {}, "versions": {}}, "total_seconds": 1.0,
            "finished": "2026-01-01T01:00:00+00:00",
        }  # fmt: skip
        (at / "metrics.json").write_text(json.dumps(result))
        done[trial.id] = at
    return done


def test_more_samples_are_named_where_they_would_do_and_do(tmp_path: Path) -> None:
    study, found = study_trials(tmp_path, *SAMPLED, effect=0.15)
    row = seen(study, found, {})
    assert row.blind
    needed = row.samples_needed
    assert needed is not None
    more = [SAMPLED[0].replace("2", str(needed)), SAMPLED[1]]
    assert not seen(*study_trials(tmp_path, *more, effect=0.15), {}).blind


def declared(folder: Path, axes: Any, *contrasts: dict[str, Any]) -> list[Detectable]:
    """What each of several contrasts would detect; they share alpha."""
    study, found = study_trials(folder, axes=axes)
    given = asdict(study.contrasts[0]) | {"effect": None}
    return detectable([Contrast(**(given | contrast)) for contrast in contrasts], found, {})


def test_a_change_of_an_effect_and_a_trend_take_the_noise_of_their_weights(tmp_path: Path) -> None:
    size = {"factor": "select.size", "a": 4, "b": 256}
    plain, at, change, ends, line, *others = declared(
        tmp_path, {"select.size": [4, 16, 64, 256]}, {}, {"at": {"select.size": 4}},
        {"interaction": {"select.size": (4, 256)}}, size, size | {"trend": True}, size | {"b": 1024},
    )  # fmt: skip
    assert others == [], "no trial has 1024"
    assert (plain.trials, at.trials, change.trials) == (12, 3, 3)
    assert change.effect == pytest.approx(at.effect * 2**0.5)
    assert line.effect == pytest.approx(ends.effect * 0.9**0.5)


def test_a_mean_over_scores_has_the_problems_of_all(tmp_path: Path) -> None:
    both = {"score": ("mini/easy", "mini/hard")}
    plain, mean, easy = declared(tmp_path, {}, {}, both, {"score": "mini/easy"})
    assert mean.problems == 2 * easy.problems < plain.problems
    assert plain.effect < mean.effect < easy.effect


def test_equivalence_has_a_power_and_the_seeds_for_it(tmp_path: Path) -> None:
    plain, wide = declared(tmp_path, {}, {}, {"margin": 0.1})
    assert (plain.equivalence, plain.equivalence_seeds) == (None, None)
    assert wide.equivalence is not None
    assert wide.equivalence < 0.8
    needed = wide.equivalence_seeds
    assert needed is not None
    more = replace(study_trials(tmp_path)[0], seeds=tuple(range(needed)))
    again = detectable([plain.contrast, wide.contrast], planned_trials(more), {})[1]
    assert again.equivalence is not None
    assert again.equivalence >= 0.8


def test_greedy_samples_are_all_alike(tmp_path: Path) -> None:
    assert seen(*study_trials(tmp_path), {}).samples_needed is None


def test_pilots_say_how_much_more_samples_would_help(tmp_path: Path) -> None:
    study, found = study_trials(tmp_path, *SAMPLED, effect=0.001)
    row = seen(study, found, piloted(tmp_path, found, samples=2))
    assert (row.pilots, row.samples_needed) == (6, None), "between trainings nothing helps but trainings"


def test_pilots_that_solve_nothing_give_no_information(tmp_path: Path) -> None:
    study, found = study_trials(tmp_path)
    wanted = [replace(study.contrasts[0], effect=None, margin=0.2)]
    for solved, flat in ((-1.0, 0.0), (2.0, 1.0)):
        done = piloted(tmp_path / str(solved), found, samples=1, solved=solved)
        (row,) = detectable(wanted, found, done)
        assert (row.flat, row.pilots, row.equivalence, row.equivalence_seeds) == (flat, 0, 0.0, None)
        assert row.effect > 0.1, "the noise of arms that solve something, as assumed"
    (row,) = detectable(wanted, found, piloted(tmp_path / "half", found, samples=1))
    assert (row.flat, row.pilots) == (None, 6)
    assert row.equivalence is not None
    assert row.equivalence > 0


def test_clusters_of_problems_count_as_few(tmp_path: Path) -> None:
    study, found = study_trials(tmp_path, *SAMPLED)
    done = piloted(tmp_path, found, samples=2, contests=9)
    single, together = seen(study, found, done), seen(study, found, done, "source")
    assert (single.problems, together.problems) == (180, 9)
    assert together.effect > 1.3 * single.effect
    with pytest.raises(UserError, match="cluster=subject: 180 problems of benchmark mini have no subject"):
        seen(study, found, done, "subject")


def test_subsets_drawn_anew_are_what_is_counted(tmp_path: Path) -> None:
    study, found = study_trials(tmp_path, axes={"select.seed": [0, 1, 2, 3]})
    row = seen(study, found, {})
    assert (row.over, row.seeds, row.trainings, row.trials) == ("select.seed", 4, 3, 12)


def test_what_a_seed_draws_for_all_bases_is_not_seen_surer_by_more_bases(tmp_path: Path) -> None:
    """Four bases or eight, there are three seeds: what seeds differ by stays as it is."""
    few, many = (
        seen(*study_trials(tmp_path, axes={"model.pretrain.seed": list(range(bases))}), {}).effect
        for bases in (4, 8)
    )
    assert many > 0.85 * few
