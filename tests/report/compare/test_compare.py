"""`limo-ablate compare`: finding two arms, what differs in them, their scores side by side."""

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from limo_ablate.analysis.answers import items
from limo_ablate.analysis.contrasts import contrasts
from limo_ablate.analysis.trials import load_trials
from limo_ablate.cli import main
from limo_ablate.core.errors import UserError
from limo_ablate.core.overrides import flat
from limo_ablate.report.compare.arms import find_arm
from limo_ablate.report.compare.differences import Difference, configurations, runs
from limo_ablate.report.compare.paired_scores import compare_scores
from limo_ablate.study.design import load_study
from tests.small_study import QUALITY, change, small


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("compare")
    folder = small(root / "made", root / "store")
    for trial in load_trials(folder):
        asked = trial.overrides
        change(trial.folder / "config.yaml", lambda found, asked=asked: _set(found, asked))
    return folder


def _set(config: dict, asked: dict) -> None:
    config["select"] |= {
        "size": asked["select.size"],
        "quality": asked["select.quality"],
        "seed": asked["seed"],
    }
    config["train"]["seed"] = config["eval"]["seed"] = config["seed"] = asked["seed"]


def test_trials_and_cells_are_found_by_name_part_study_or_folder(made: Path) -> None:
    trial = find_arm("size64-L4-s1", [made])
    assert [one.seed for one in trial.trials] == [1]
    assert find_arm("size64-L4", [made]).seeds == [0, 1]
    assert find_arm("64-L4", [made]).name == "size64-L4"
    assert find_arm("64-L4-s0", [made]).name == "size64-L4-s0"
    assert find_arm("made/size4-L1", [made]).seeds == [0, 1]
    folder = trial.trials[0].folder
    assert find_arm(str(folder), []).name == "size64-L4-s1"
    assert find_arm(folder.name, [made]).name == "size64-L4-s1"
    first = find_arm("size64-L4-s0", [made]).trials[0].folder
    assert find_arm(first.name, [made]).name == "size64-L4-s0", "a cell's first seed is no cell"


def test_what_is_no_name_or_several_is_refused(made: Path) -> None:
    with pytest.raises(UserError, match="L4 matches 2 names: made/size4-L4, made/size64-L4; give more"):
        find_arm("L4", [made])
    with pytest.raises(UserError, match="size64-L9: no trial or cell of made; did you mean size64-L"):
        find_arm("size64-L9", [made])
    with pytest.raises(UserError, match="mode: no such study; did you mean made"):
        find_arm("mode/size4-L1", [made])


def test_an_arm_without_results_is_refused_and_a_missing_seed_left_out(made: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made, tmp_path / "made"))
    for number, trial in enumerate(find_arm("size64-L4", [folder]).trials):
        (trial.folder / "metrics.json").unlink()
        if number == 0:
            assert find_arm("size64-L4", [folder]).seeds == [1]
    with pytest.raises(UserError, match="made/size64-L4: none of its 2 trials has finished"):
        find_arm("size64-L4", [folder])


def test_only_what_differs_is_told_and_seeds_once(made: Path) -> None:
    cells = [find_arm(name, [made]) for name in ("size64-L1", "size64-L4")]
    assert configurations(*cells) == [Difference("select.quality", "L1", "L4")]
    trials = [find_arm(f"size64-L1-s{seed}", [made]) for seed in (0, 1)]
    assert configurations(*trials) == [Difference("seed", "0", "1")]
    assert runs(*cells) == []


def test_where_it_ran_is_told_apart(made: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(made, tmp_path / "other"))
    cells = [find_arm("size64-L1", [folder]) for folder in (made, other)]
    trial = cells[1].trials[0].folder
    change(trial / "config.yaml", lambda config: config["launch"].update(slots=7))
    change(trial / "provenance.json", lambda facts: facts["versions"].update(torch="3.0"))
    (found,) = configurations(*[find_arm("size64-L1-s0", [folder]) for folder in (made, other)])
    assert (found.key, found.b, found.matters) == ("launch.slots", "7", False)
    assert [str(one) for one in runs(*cells)] == ["versions.torch: – → 3.0, –"]


def test_the_difference_is_that_of_a_contrast(made: Path) -> None:
    found = compare_scores(find_arm("size64-L1", [made]), find_arm("size64-L4", [made]))
    (row,) = [row for row in found.rows if (row.score, row.measure) == ("mini", "avg")]
    trials = [trial for trial in load_trials(made) if trial.overrides["select.size"] == 64]
    study = load_study(str(made / "study.yaml"))
    wanted = [one for one in study.contrasts if one.name == QUALITY["name"]]
    expected = contrasts(wanted, {"grid": ["select.quality"]}, trials, items(trials)).row(0, named=True)
    assert row.difference == pytest.approx(expected["effect"])
    assert row.p == pytest.approx(expected["p"])
    assert (row.low, row.problems, row.seeds) == (pytest.approx(expected["low"], abs=1e-6), 60, 2)
    assert found.seeds == [0, 1]


def test_flipped_problems_are_counted_and_named(made: Path) -> None:
    arms = [find_arm(f"size64-{tier}-s0", [made]) for tier in ("L1", "L4")]
    right = [
        set(pl.read_parquet(one.trials[0].folder / "verdicts.parquet").filter(status="correct")["problem"])
        for one in arms
    ]
    (flips,) = compare_scores(*arms).flips
    assert {problem for problem, _, _ in flips.only_a} == right[0] - right[1]
    assert {problem for problem, _, _ in flips.only_b} == right[1] - right[0]


def test_without_a_common_seed_the_error_is_over_problems(made: Path) -> None:
    found = compare_scores(find_arm("size64-L1-s0", [made]), find_arm("size64-L1-s1", [made]))
    assert found.seeds == []
    assert {row.seeds for row in found.rows} == {1}


def test_the_command_says_it_all(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["compare", "size64-L1", "size64-L4", "--study", str(made)]
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert "A  made/size64-L1  2 finished, seeds 0, 1" in said
    assert "select.quality  L1 → L4" in said
    assert "code, versions, hardware: the same" in said
    assert "correct in A only" in said
    assert main([*asked, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["configuration"][0]["key"] == "select.quality"
    assert {"mini", "mini/easy", "mini/medium", "mini/hard"} == {row["score"] for row in content["scores"]}
    assert main(["compare", "size64-L1", "--study", str(made)]) == 2
    assert main(["compare", "size64-L1", "size64-L4", "--studdy"]) == 2


def test_values_are_compared_as_text() -> None:
    assert flat({"a": {"b": [1, 2], "c": None}, "d": "x"}) == {"a.b": "[1, 2]", "a.c": "null", "d": "x"}
    assert flat({"a": [{"b": 1}]}, lists=True) == {"a.0.b": "1"}


def test_problems_that_belong_together_are_compared_so(made: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(made, tmp_path / "made"))
    for trial in load_trials(folder):
        path = trial.folder / "verdicts.parquet"
        contest = pl.col("problem").rank("dense") // 10
        pl.read_parquet(path).with_columns(source=contest.cast(pl.String)).write_parquet(path)
    change(folder / "study.yaml", lambda study: study.update(cluster="source"))
    study, trials = load_study(str(folder / "study.yaml")), load_trials(folder)
    own = [trial for trial in trials if trial.name.startswith("size64-")]
    quality = next(one for one in study.contrasts if one.factor == "select.quality")
    rows = contrasts([quality], {"grid": ["select.quality"]}, own, items(own, "source"))
    found = compare_scores(find_arm("size64-L1", [folder]), find_arm("size64-L4", [folder])).rows[0]
    assert found.low == pytest.approx(rows["low"][0])
    assert found.p == pytest.approx(rows["p"][0])
    alone = compare_scores(find_arm("size64-L1", [made]), find_arm("size64-L4", [made])).rows[0]
    assert (found.difference, found.problems) == (pytest.approx(alone.difference), alone.problems)
    assert found.low != pytest.approx(alone.low)
