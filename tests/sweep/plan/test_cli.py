"""`limo-ablate plan`: what a study would cost and could see, whether it has begun to run or not."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from limo_ablate.cli import main
from limo_ablate.study.design import load_study
from limo_ablate.study.planned import PlannedTrial, planned_trials
from limo_ablate.sweep.ledger.ledger import LEDGER, Ledger
from limo_ablate.sweep.ledger.parameters import space
from limo_ablate.sweep.plan.text import span

STUDY = {
    "name": "small",
    "overrides": ["track=none"],
    "seeds": [0, 1],
    "blocks": [
        {"name": "grid", "axes": {"select.size": [0, 4, 64], "select.quality": ["L1", "L5"]}},
        {"name": "again", "axes": {"select.size": [64, 256]}, "overrides": ["select.quality=L5"]},
    ],
    "contrasts": [
        {"name": "tier", "block": "grid", "factor": "select.quality", "a": "L1", "b": "L5",
         "score": "mini/hard", "effect": 0.01},
    ],
}  # fmt: skip


def _write(folder: Path, **changes: Any) -> Path:
    file = folder / "small.yaml"
    file.write_text(yaml.safe_dump(STUDY | changes, sort_keys=False))
    return file


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture(autouse=True)
def _own_store(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pools and benchmarks that a plan counts are not left in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "artifacts").symlink_to(store)


def _plan(
    capsys: pytest.CaptureFixture[str], file: Path | str, *arguments: str, code: int = 0
) -> dict[str, Any]:
    assert main(["plan", str(file), *arguments, "--json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def _finish(ledger: Ledger, trial: PlannedTrial, folder: Path, right: int) -> None:
    """A finished trial, as the runner leaves it: 40 s of training, 10 s of generation, `right` of 180."""
    row_id = ledger.add(trial, 1, space([], [trial], grows=True))
    assert ledger.claim(row_id, "me")
    where = folder / "trials" / trial.folder
    where.mkdir(parents=True)
    seconds = {"weights": 40.0, "completions": 10.0}
    metrics = {
        "trial": trial.key,
        "scores": {"mini": {"accuracy": right / 180}},
        "artifacts": {},
        "inputs": {"files": {}, "versions": {}},
        "seconds": seconds,
        "total_seconds": 51.0,
        "finished": "2026-01-01T01:00:00+00:00",
    }
    (where / "metrics.json").write_text(json.dumps(metrics))
    (where / "config.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(asdict(trial.config)))))
    numbers = range(180)
    pl.DataFrame({
        "benchmark": "mini", "problem": [str(i) for i in numbers],
        "level": [float(1 + i // 20) for i in numbers],
        "status": ["correct" if (7 * i) % 180 < right else "incorrect" for i in numbers],
    }).write_parquet(where / "verdicts.parquet")  # fmt: skip
    assert ledger.finish(row_id, metrics, where, seconds=52.0, devices=1)


def test_a_study_that_never_ran_is_priced_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    studies = tmp_path / "studies"
    found = _plan(capsys, _write(tmp_path), f"paths.studies={studies}")
    assert not studies.exists()
    assert (found["trials"], found["done"], found["learnt_from"]) == (12, 0, 0)
    assert [(block["name"], block["trials"], block["seeds"]) for block in found["blocks"]] == [
        ("grid", 10, 2),  # the untuned base is one trial under each seed
        ("again", 2, 2),  # the other two are the grid's
    ]
    left = found["device_seconds"]["left"]
    assert left == pytest.approx(sum(block["left_device_seconds"] for block in found["blocks"]))
    assert found["devices"][0]["kind"] == "core"
    assert left / found["devices"][0]["count"] <= found["devices"][0]["seconds"] <= left
    assert [fit["fits"] for fit in found["memory"]] == [True]


def test_finished_trials_are_counted_and_teach(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    studies = f"paths.studies={tmp_path / 'studies'}"
    file, folder = _write(tmp_path), tmp_path / "studies" / "small"
    before = _plan(capsys, file, studies)
    folder.mkdir(parents=True)
    (folder / "study.yaml").write_text("declared")
    ledger = Ledger(folder / LEDGER, "small")
    trained = [
        trial for trial in planned_trials(load_study(str(file), [studies])) if trial.config.select.size
    ]
    for number, trial in enumerate(trained[:8]):
        _finish(ledger, trial, folder, right=40 + 3 * number)
    content = (folder / LEDGER).read_bytes()
    found = _plan(capsys, file, studies)
    assert (folder / LEDGER).read_bytes() == content
    assert (found["done"], found["learnt_from"], found["device_seconds"]["spent"]) == (8, 8, 8 * 52.0)
    assert found["blocks"][0]["longest_seconds"] == pytest.approx(51, rel=0.3)
    assert found["blocks"][0]["factor"] < before["blocks"][0]["factor"]
    assert before["contrasts"][0]["pilots"] == 0 < found["contrasts"][0]["pilots"]


def test_a_contrast_that_cannot_be_seen_is_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = _write(tmp_path)
    (contrast,) = _plan(capsys, file)["contrasts"]
    assert (contrast["problems"], contrast["blind"]) == (60, True)  # levels 7 to 9, 20 of each
    assert contrast["detectable"] > 0.05
    main(["plan", str(file)])
    said = capsys.readouterr().out
    assert "tier: its 1 points CAN'T BE DETECTED with 2 seeds" in said
    assert "WARNING: 1 of 1 primary contrasts can't be detected as planned: tier" in said.splitlines()[1]
    easier = _write(tmp_path, seeds=[0, 1, 2, 3], contrasts=[{**STUDY["contrasts"][0], "effect": 0.5}])  # type: ignore[index]
    assert not _plan(capsys, easier)["contrasts"][0]["blind"]


def test_a_tuned_point_is_an_arm_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tune = {"axes": {"train.learning_rate": [0.001, 0.01]}, "n": 2, "score": "mini/easy"}
    file = _write(tmp_path, blocks=[{**STUDY["blocks"][0], "tune": tune}])  # type: ignore[index]
    found = _plan(capsys, file)
    assert found["trials"] == 6 * 2 * 2
    (contrast,) = found["contrasts"]
    assert (contrast["seeds"], contrast["pilots"]) == (2, 0)


def test_seeds_that_would_do_are_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = _write(tmp_path, contrasts=[{**STUDY["contrasts"][0], "effect": 0.1}])  # type: ignore[index]
    (contrast,) = _plan(capsys, file)["contrasts"]
    needed = contrast["seeds_needed"]
    assert needed > 2
    seeds = f"seeds=[{','.join(map(str, range(needed)))}]"
    assert not _plan(capsys, file, seeds)["contrasts"][0]["blind"]
    assert _plan(capsys, file, seeds.replace(f",{needed - 1}]", "]"))["contrasts"][0]["blind"]


def test_looks_and_what_they_save_are_planned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stop = {"looks": [3, 5], "max_seeds": 5}
    blocks = [{"name": "grid", "axes": {"select.quality": ["L1", "L5"]}, "overrides": ["select.size=4"]}]
    file = _write(tmp_path, seeds=[0, 1, 2], blocks=blocks, stop=stop)
    found = _plan(capsys, file)["sequential"]
    assert (found["spending"], found["max_seeds"]) == ("obrien_fleming", 5)
    assert [look["seeds"] for look in found["looks"]] == [3, 5]
    below = [look["p_below"] for look in found["looks"]]
    assert below == pytest.approx([0.0116, 0.0417], rel=0.06), "levels found by others' simulation"
    none, at_effect, twice = found["expected"]
    assert 5 >= none["seeds"] > at_effect["seeds"] > twice["seeds"] >= 3
    assert all(
        row["trials"] == pytest.approx(2 * row["seeds"]) for row in (*found["expected"], found["fixed"])
    )


def test_what_a_budget_leaves_out_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = _write(tmp_path)
    whole = _plan(capsys, file)["device_seconds"]["left"] / 3600
    found = _plan(capsys, file, f"budget.gpu_hours={whole / 2:.6f}")
    assert 0 < len(found["not_run"]) < 12
    assert found["devices"][0]["trials"] == 12 - len(found["not_run"])
    main(["plan", str(file), f"budget.gpu_hours={whole / 2:.6f}"])
    printed = capsys.readouterr().out
    assert f"{len(found['not_run'])} trials" in printed
    assert f"{found['not_run'][0]}: forecast " in printed
    assert not _plan(capsys, file, f"budget.gpu_hours={whole * 1.01:.6f}")["not_run"]


def test_what_does_not_fit_is_said_with_what_would(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["limo_rq5", "model=qwen2_5_7b", "hardware=gpu1", "seeds=[0]", f"paths.studies={tmp_path}"]
    small, large = (
        _plan(capsys, *asked, "--gpu-memory", size, code=2)["memory"][0] for size in ("80", "192")
    )
    assert not small["fits"]  # code 2: its benchmarks are not here
    assert "train=lora" in small["advice"]
    assert large["fits"]
    assert large["advice"] is None
    assert small["training_bytes"] == pytest.approx(16 * 7.6e9, rel=0.3)
    weights = 7_615_616_512
    assert (small["checkpoint_bytes"], small["saved_bytes"]) == (12 * weights, 2 * weights)


def test_what_trainings_take_on_the_disk_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of 32.8 billion weights: two checkpoints are kept, while a third is written."""
    file = _write(tmp_path, overrides=["experiment=limo_v3", "eval=miniature", "model=qwen2_5_32b"])
    main(["plan", str(file)])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "of weights are kept" in line]
    checkpoints = "a checkpoint 393.2 GB, up to 1179.5 GB while it trains"
    assert line.split("  ") == ["", "qwen2_5_32b", "65.5 GB of weights are kept", checkpoints]


def test_aliases_of_a_fractional_block_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    axes = {"select.size": [4, 64], "select.quality": ["L1", "L5"], "model": ["mini_s", "mini_m"]}
    block = {"name": "half", "design": "fractional", "resolution": 3, "axes": axes}
    file = _write(tmp_path, blocks=[block], contrasts=[])
    assert ["size", "quality × model"] in _plan(capsys, file)["aliases"]["half"]
    main(["plan", str(file)])
    assert "size = quality × model" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["lr_search", "miniature_tuned"])
def test_the_trials_of_a_search_are_counted(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = _plan(capsys, name, f"paths.studies={tmp_path}")
    study = load_study(name)
    block = study.blocks[0]
    assert found["trials"] >= ((block.tune.n if block.tune else block.n) or 0)
    assert found["device_seconds"]["left"] > 0


def test_a_model_of_unknown_size_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unknown = [str(_write(tmp_path)), "model=local", "model.path=a/hub-id"]
    assert main(["plan", *unknown]) == 0
    assert "SIZE UNKNOWN: model local is assumed to be as large as qwen2_5_7b" in capsys.readouterr().out


@pytest.mark.parametrize("given", [["--gpu-memory"], ["--gpu-memory", "much"], ["--gpu-memory", "-1"]])
def test_a_wrong_gpu_memory_is_told(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "miniature", *given]) == 2
    assert "'--gpu-memory'" in capsys.readouterr().err


def test_spans_are_for_people() -> None:
    assert [span(s) for s in (5, 300, 9000, 400000)] == ["5 s", "5.0 min", "2.5 h", "4.6 days"]


def test_ten_thousand_trials_are_planned_in_seconds_and_without_torch(tmp_path: Path) -> None:
    axes = {
        "select.size": [10 * n for n in range(1, 11)],
        "select.order": ["random", "pool", "longest", "shortest", "score"],
        "select.correctness": ["any", "correct"],
        "model": [f"qwen2_5_{size}" for size in ("0_5b", "1_5b", "3b", "7b", "14b")],
    }
    grid = {"name": "grid", "axes": axes}
    file = _write(
        tmp_path,
        overrides=["experiment=limo_v3", "eval=miniature"],
        seeds=list(range(20)),
        blocks=[grid],
        contrasts=[],
    )
    code = (
        "import sys; from limo_ablate.cli import main; code = main(sys.argv[1:]);"
        "sys.exit(code or 10 * ('torch' in sys.modules) or 11 * ('optuna' in sys.modules))"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", code, "plan", str(file), "--json"], capture_output=True, text=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["trials"] == 10_000
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert spent < 15  # 2.8 s on a quiet machine, twice that while others use the cores


def test_money_is_forecast_from_the_price_of_a_device_hour(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = _write(tmp_path)
    assert _plan(capsys, file)["money"] is None
    priced = _plan(capsys, file, "hardware.price=36", "--machines", "3x2")
    assert priced["money"] == {"spent": 0, "left": pytest.approx(priced["device_seconds"]["left"] / 100)}
    assert [(one["count"], one["machines"]) for one in priced["devices"]] == [(6, [2, 2, 2])]
    cap = priced["money"]["left"] / 2
    capped = _plan(capsys, file, "hardware.price=36", f"budget.money={cap}")
    assert 0 < len(capped["not_run"]) < capped["trials"]
    assert main(["plan", str(file), "budget.money=5"]) == 2
    assert "budget.money needs hardware.price" in capsys.readouterr().err
