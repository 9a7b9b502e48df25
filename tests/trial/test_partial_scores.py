"""A trial that reports while it is evaluated, in process."""

import json
import statistics
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.model.generate import open as engines
from limo_ablate.study.search.pruning import read_reports
from limo_ablate.trial.compose import compose
from limo_ablate.trial.identity import TrialLabels, trial_key
from limo_ablate.trial.run import run_trial

REPORT = "eval.report={score:own,every:7}"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Overrides: a model made on the spot that learns a few problems by heart and is asked them again."""
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    rows = [
        {
            "problem": f"What is {n} and {n}?",
            "solution": f"\\boxed{{{2 * n}}}",
            "answer": str(2 * n),
            "level": n,
        }
        for n in range(20)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [
        "data=jsonl", f"data.path={file}", "data.fields.level=level", "select/contamination=none",
        "select.size=8", "select.quality=any", "model=scratch", "model.dtype=float32",
        "model.architecture={width:32,layers:1,heads:2,head_dim:16,context:128,vocab_size:270}",
        "train.steps=60", "train.learning_rate=1e-2", "eval=jsonl", f"eval.benchmarks.own.path={file}",
        "eval.benchmarks.own.fields.level=level", "eval.benchmarks.own.groups={few:[0,9]}",
        "eval.benchmarks.own.max_tokens=12", "eval.benchmarks.own.temperature=0.5",
        "eval.benchmarks.own.samples=4", "track=none",
    ]  # fmt: skip


def trial(asked: list[str], store: Path, folder: Path, *overrides: str) -> dict[str, Any]:
    config = compose([*asked, f"paths.artifacts={store}", *overrides])
    return run_trial(config, folder, TrialLabels(study="test", cell={}, name="cell"))


@pytest.fixture(scope="module")
def silent(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """A trial that does not report, and its folder."""
    root = tmp_path_factory.mktemp("silent")
    return trial(tiny, root / "store", root / "trial"), root / "trial"


def test_groups_of_a_benchmark_without_levels_are_refused(tiny: list[str], tmp_path: Path) -> None:
    message = r"eval.benchmarks.own.groups: none of its 20 problems has a level; set .*own.fields.level"
    with pytest.raises(UserError, match=message):
        trial(tiny, tmp_path, tmp_path, "eval.benchmarks.own.fields.level=null")


def test_a_trial_that_reports_has_the_same_result(
    tiny: list[str], silent: tuple[dict[str, Any], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics, folder = silent
    loaded = []
    load = engines.load_engine
    monkeypatch.setattr(engines, "load_engine", lambda *given: loaded.append(given) or load(*given))
    reporting = trial(tiny, tmp_path / "store", tmp_path / "trial", REPORT)
    assert reporting["scores"] == metrics["scores"]
    assert reporting["trial"] == metrics["trial"]
    digests = [
        {name: artifact["digest"] for name, artifact in one["artifacts"].items()}
        for one in (reporting, metrics)
    ]
    assert digests[0] == digests[1]
    assert len(loaded) == 1  # for all three chunks; what they drew was not drawn again

    reports = read_reports(tmp_path / "trial")
    assert list(reports) == list(range(1, 21))
    verdicts = pl.read_parquet(folder / "verdicts.parquet")
    accuracies = verdicts.group_by("problem").agg((pl.col("status") == "correct").mean())["status"]
    assert sorted(reports.values()) == sorted(accuracies)
    assert 0 < statistics.mean(reports.values()) < 1  # neither all right nor all wrong


def test_the_same_problems_stand_in_the_same_places_for_every_model(
    tiny: list[str], silent: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    """Another seed, in chunks of another size; only the problems of a group."""
    store = silent[1].parent / "store"
    trial(tiny, store, tmp_path / "a", "eval.report={score:own/few,every:3}")
    trial(tiny, store, tmp_path / "b", "eval.report={score:own/few,every:10}")
    trial(tiny, store, tmp_path / "c", "eval.report={score:own/few,every:10}", "seed=1")
    one, two, other = (read_reports(tmp_path / name) for name in "abc")
    assert one == two
    assert len(one) == len(other) == 10
    assert {*one} == {*other}


def test_a_report_is_part_of_no_key_and_names_a_benchmark(tiny: list[str]) -> None:
    assert trial_key(compose([*tiny, REPORT])) == trial_key(compose(tiny))
    with pytest.raises(UserError, match="score=mine must be one of own, own/few"):
        compose([*tiny, "eval.report={score:mine,every:10}"])
    with pytest.raises(UserError, match="every=0 be 1 or more"):
        compose([*tiny, "eval.report={score:own,every:0}"])
