"""`limo-ablate why` on a store that a real trial has filled."""

import json
from pathlib import Path

import pytest
import yaml

from limo_ablate.cli import main
from limo_ablate.core.artifacts import NotInStore, Store, find_only
from limo_ablate.report.compare.differences import differences
from limo_ablate.report.compare.why import key_content
from limo_ablate.study.design import load_study
from limo_ablate.study.planned import planned_trials
from limo_ablate.trial.compose import compose
from limo_ablate.trial.identity import trial_key
from limo_ablate.trial.run import run_trial

TINY = [
    "data=miniature", "eval=miniature", "train=mini", "model=mini_s", "model.pretrain.tokens=20000",
    "track=none", "train.steps=3", "data.miniature.per_level=20",
    "eval.benchmarks.mini.miniature.per_level=2",
]  # fmt: skip
STAGES = ["benchmark/mini", "pool", "base", "features", "selection", "tokens", "weights", "completions/mini", "verdicts/mini"]  # noqa: E501 # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cells, of which the first has run."""
    root = tmp_path_factory.mktemp("why")
    shared = [f"paths.studies={root / 'studies'}", f"paths.artifacts={root / 'store'}"]
    block = {"name": "b", "axes": {"select.size": [8, 12]}}
    declared = {"name": "two", "overrides": [*TINY, *shared], "blocks": [block]}
    path = root / "two.yaml"
    path.write_text(yaml.safe_dump(declared))
    first, second = planned_trials(load_study(str(path)))
    folder = root / "studies" / "two"
    run_trial(first.config, folder / "trials" / first.folder, first.labels("two"))
    rows = [
        {"name": c.name, "key": c.key, "folder": c.folder, "seed": c.seed, "blocks": ["b"], "overrides": {}}
        for c in (first, second)
    ]
    (folder / "cells.json").write_text(json.dumps(rows))
    return path


def states(study: Path, capsys: pytest.CaptureFixture[str], *asked: str) -> tuple[dict, dict]:
    assert main(["why", *asked, "--study", str(study), "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    return told, {stage["stage"]: stage["state"] for stage in told["stages"]}


def test_what_has_finished_is_not_run_again(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why", "size8", "--study", str(study)]) == 0
    assert "size8-s0: nothing changed, already finished: " in capsys.readouterr().out


def test_a_new_level_makes_the_stages_from_the_selection_on(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told, found = states(study, capsys, "size12-s0")
    assert list(found) == STAGES
    assert [name for name, state in found.items() if state == "found"] == STAGES[:4]
    assert found["selection"] == "new"
    assert {found[name] for name in STAGES[5:]} == {"waits"}
    assert told["compared_with"] == "size8-s0"
    assert [(one["key"], one["a"], one["b"]) for one in told["changed"]] == [("select.size", "8", "12")]
    (selection,) = [stage for stage in told["stages"] if stage["stage"] == "selection"]
    assert [one["key"] for one in selection["inputs"]] == ["select.size"]


@pytest.mark.parametrize(
    ("override", "stage", "inputs"),
    [
        ("train.learning_rate=0.1", "weights", ["train.learning_rate"]),
        ("train.max_length=400", "tokens", ["max_length"]),
        ("eval.benchmarks.mini.max_tokens=99", "completions/mini", ["sampling.max_tokens"]),
        ("eval.benchmarks.mini.limit=5", "benchmark/mini", ["benchmark.limit"]),
        ("data.miniature.per_level=19", "pool", ["sources.0.1.miniature.per_level"]),
    ],
)
def test_the_stage_whose_input_is_new_is_named_with_it(
    study: Path, capsys: pytest.CaptureFixture[str], override: str, stage: str, inputs: list[str]
) -> None:
    told, _ = states(study, capsys, "size8-s0", override)
    new = [one for one in told["stages"] if one["state"] == "new"]
    assert new[0]["stage"] == stage
    assert [one["key"] for one in new[0]["inputs"]] == inputs
    assert [one["key"] for one in told["changed"]] == [override.partition("=")[0]]


def test_nothing_is_made(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = study.parent / "store"
    before = sorted(store.rglob("*"))
    assert main(["why", "size12-s0", "--study", str(study), "train.steps=4"]) == 0
    assert sorted(store.rglob("*")) == before
    said = capsys.readouterr().out
    assert "selection            would be made, because of" in said
    assert "would be made, unless selection comes out unchanged" in said


def test_an_artifact_that_is_gone_is_told(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (gone,) = (study.parent / "store" / "tokens").glob("*/")
    gone.rename(study.parent / "gone")
    assert main(["why", "size8-s0", "--study", str(study), "train.learning_rate=0.1"]) == 0
    (study.parent / "gone").rename(gone)
    said = capsys.readouterr().out
    assert "tokens               would be made; the finished trial's artifact is not in the store" in said
    assert "weights              would be made, unless tokens comes out unchanged" in said


def test_a_name_that_is_none_or_several_is_refused(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["why", "size99", "--study", str(study)]) == 2
    assert "size99: no trial or cell of two; did you mean size" in capsys.readouterr().err
    assert main(["why", "size", "--study", str(study)]) == 2
    assert "size matches 2 names: two/size12, two/size8" in capsys.readouterr().err


def test_looking_makes_nothing_and_ends(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with find_only(), pytest.raises(NotInStore) as gap:
        store.build("stage", {"a": tmp_path}, lambda folder: None)
    assert (gap.value.stage, gap.value.version, gap.value.inputs) == ("stage", 1, {"a": str(tmp_path)})
    assert not list(tmp_path.iterdir())
    assert store.build("stage", {}, lambda folder: None).path.is_dir()
    with find_only():
        assert store.build("stage", {}, lambda folder: None).stage == "stage"


@pytest.mark.parametrize("more", [["model.source=scratch"], ["select/contamination=report"]])
def test_what_is_told_to_differ_is_what_decides_the_key(more: list[str]) -> None:
    base = [*TINY, "select.size=0", *more]
    for change, differs in (("data.miniature.per_level=60", True), ("launch.slots=3", False)):
        before, after = (compose([*base, *extra]) for extra in ((), (change,)))
        assert (trial_key(before) != trial_key(after)) is differs
        assert bool(differences([key_content(before)], [key_content(after)])) is differs
