"""A whole trial, in process: the miniature with a base model of a few thousand tokens."""

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import yaml

from limo_ablate.core.errors import UserError
from limo_ablate.model.config import TemplateConfig
from limo_ablate.trial.compose import compose
from limo_ablate.trial.identity import TrialLabels, trial_key
from limo_ablate.trial.run import run_trial

TINY = [
    "model=mini_s", "model.pretrain.tokens=20000", "track=none", "select.size=8", "train.steps=3",
    "data.miniature.per_level=20", "eval.benchmarks.mini.miniature.per_level=2",
]  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


def trial(store: Path, folder: Path, *overrides: str) -> dict:
    config = compose([*TINY, f"paths.artifacts={store}", *overrides])
    return run_trial(config, folder, TrialLabels(study="test", cell={"select.size": 8}, name="cell"))


def test_the_record_is_whole(store: Path, tmp_path: Path) -> None:
    metrics = trial(store, tmp_path / "a", "seed=5")
    folder = tmp_path / "a"
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert (folder / "overrides.txt").read_text() == "select.size=8\n"
    saved = yaml.safe_load((folder / "config.yaml").read_text())
    assert saved["select"]["seed"] == 5
    facts = json.loads((folder / "provenance.json").read_text())
    assert facts["seeds"] == {"seed": 5, "select": 5, "train": 5, "eval": 5, "pretrain": 0}
    assert facts["versions"]["torch"]
    completions = pl.read_parquet(folder / "completions.parquet")
    verdicts = pl.read_parquet(folder / "verdicts.parquet")
    assert completions.height == verdicts.height == metrics["scores"]["mini"]["problems"] == 18
    curve = pl.read_parquet(folder / "curve.parquet")
    assert curve["step"].to_list() == list(range(1, metrics["train"]["steps"] + 1))
    assert metrics["factors"]["train_size"] == 8
    assert metrics["factors"]["parameters"] > 10_000
    assert metrics["pool"]["rejected"] == 0
    assert metrics["pool"]["problems"] > 0


def test_the_same_config_gives_the_same_result_and_costs_nothing_the_second_time(
    store: Path, tmp_path: Path
) -> None:
    first = trial(store, tmp_path / "a")
    again = trial(store, tmp_path / "b")
    elsewhere = trial(tmp_path / "other", tmp_path / "c")
    assert first["artifacts"] == again["artifacts"]
    made = {stage: artifact["made"] for stage, artifact in first["artifacts"].items()}
    assert first["artifacts"] == {
        stage: artifact | {"made": made[stage]} for stage, artifact in elsewhere["artifacts"].items()
    }
    assert first["scores"] == elsewhere["scores"]
    assert again["seconds"]["weights"] < 0.1


def test_another_seed_is_another_trial(store: Path, tmp_path: Path) -> None:
    one, two = trial(store, tmp_path / "a", "seed=0"), trial(store, tmp_path / "b", "seed=1")
    assert one["artifacts"]["weights"] != two["artifacts"]["weights"]
    assert one["artifacts"]["base"] == two["artifacts"]["base"]


def test_size_zero_is_the_untuned_base(store: Path, tmp_path: Path) -> None:
    metrics = trial(store, tmp_path / "a", "select.size=0")
    assert "weights" not in metrics["artifacts"]
    assert metrics["train"] == {}
    assert metrics["scores"]["mini"]["problems"] == 18


def test_a_training_is_scored_on_its_way(store: Path, tmp_path: Path) -> None:
    plain = trial(store, tmp_path / "a")
    metrics = trial(store, tmp_path / "b", "eval.at={steps: [1, 2, last]}")
    points = metrics["trajectory"]["points"]
    assert [point["step"] for point in points] == [1, 2, 3]
    assert [point["epoch"] for point in points] == [1.0, 2.0, 3.0]
    assert points[-1]["scores"] == metrics["scores"] == plain["scores"]
    for stage in ("completions/mini", "verdicts/mini"):
        assert metrics["artifacts"][stage]["made"] == plain["artifacts"][stage]["made"], "not made again"
    assert "trajectory" not in plain
    verdicts = pl.read_parquet(tmp_path / "b/trajectory.parquet")
    assert verdicts.filter(step=3).drop("step").equals(pl.read_parquet(tmp_path / "b/verdicts.parquet"))
    assert verdicts.group_by("step").len()["len"].to_list() == [18, 18, 18]


def test_an_untuned_base_has_no_points(store: Path, tmp_path: Path) -> None:
    at = "eval.at={epochs: [1, last]}"
    untuned = [compose([*TINY, "select.size=0", *extra]) for extra in ([], [at])]
    assert trial_key(untuned[0]) == trial_key(untuned[1])
    trained = [compose([*TINY, *extra]) for extra in ([], [at])]
    assert trial_key(trained[0]) != trial_key(trained[1])
    assert "trajectory" not in trial(store, tmp_path / "a", "select.size=0", at)


def test_points_past_the_end_are_refused_before_anything_starts() -> None:
    with pytest.raises(UserError, match=r"eval.at.steps: 4 is past the end, train.steps=3"):
        compose([*TINY, "eval.at={steps: [2, 4]}"])
    with pytest.raises(UserError, match=r"eval.at with train.dev.keep=best"):
        compose([*TINY, "eval.at={steps: [2]}", "train.dev={rows: 2, every: 1, keep: best}"])
    with pytest.raises(UserError, match=r"eval.at.steps\[1\]"):
        compose([*TINY, "eval.at={steps: [2, end]}"])


def test_what_does_not_change_the_result_is_not_in_the_key() -> None:
    config = compose(TINY)
    assert trial_key(config) == trial_key(replace(config, launch=replace(config.launch, slots=7)))
    rarely = replace(config.train, checkpoint_seconds=1e9, checkpoint_steps=7)
    assert trial_key(config) == trial_key(replace(config, train=rarely))
    assert trial_key(config) != trial_key(replace(config, seed=9))
    threads = [replace(config, hardware=replace(config.hardware, threads=number)) for number in (1, 2)]
    assert len({trial_key(each) for each in threads}) == 2, "they change how sums are rounded"
    beside_a_gpu = [replace(each, hardware=replace(each.hardware, device="cuda")) for each in threads]
    assert len({trial_key(each) for each in beside_a_gpu}) == 1


@pytest.mark.parametrize("size", [0, 8])
def test_what_a_chat_template_gets_is_in_the_key(size: int) -> None:
    plain = [*TINY, f"select.size={size}"]
    other = ["date=2025-01-01", "enable_thinking=false", "arguments={effort: low}"]
    configs = [compose([*plain, *([f"model.template.{text}"] if text else [])]) for text in ("", *other)]
    assert len({trial_key(config) for config in configs}) == 4
    assert configs[0].model.template == TemplateConfig()
    turn = compose([*plain, "train.response=turn"])
    assert (trial_key(turn) == trial_key(configs[0])) == (size == 0)


def test_the_untuned_base_is_one_trial_for_all_cells() -> None:
    base = [trial_key(compose(["select.size=0", f"select.quality={tier}"])) for tier in ("L1", "L5")]
    assert base[0] == base[1] != trial_key(compose(["select.size=0", "model=mini_s"]))


def test_real_text_passes_through_the_whole_chain(store: Path, tmp_path: Path, shared: Path) -> None:
    """Past AIME solutions, MATH-500, a scratch model: it scores about 0; rows over the limit are counted."""
    pool, math500 = shared / "pools/aime_1983_2023.json", shared / "limo-eval/math/test.jsonl"
    overrides = [
        "data=jsonl", f"data.path={pool}", "data.fields.level=difficulty",
        "model=scratch", "train=limo", "train.max_length=512", "train.epochs=null", "train.steps=2",
        "train.global_batch_size=8", "select.quality=any", "select.size=64",
        "eval=math500", "eval/set@eval.benchmarks.math500=math", f"eval.benchmarks.math500.path={math500}",
        "eval.benchmarks.math500.limit=6", "eval.benchmarks.math500.max_tokens=16", "track=none",
        f"paths.artifacts={store}",
    ]  # fmt: skip
    metrics = run_trial(compose(overrides), tmp_path / "a", TrialLabels(None, {}, "real"))
    assert metrics["train"]["rows"] + metrics["train"]["rows_over_length"] == 64
    assert metrics["train"]["rows_over_length"] > 0
    assert metrics["scores"]["math500"]["problems"] == 6
    assert metrics["scores"]["math500"]["truncated"] > 0.5


def test_of_two_ranks_only_the_trial_itself_talks_to_wandb(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    metrics = trial(store, tmp_path / "a", "hardware=cpu2", "track=wandb", "track.mode=offline")
    assert metrics["train"]["steps"] == 3
    assert len(list(tmp_path.rglob("run-*.wandb"))) == 1
