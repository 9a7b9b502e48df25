"""Studies as W&B sweeps: readable by W&B, the same trials; run by the real client and agent."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args
from wandb.sdk.sweeps.scheduler.optuna import search_space_from_sweep_config

from limo_ablate.cli import main
from limo_ablate.core.project import study_names
from limo_ablate.report.wandb.point import overrides
from limo_ablate.report.wandb.sweep_file import FOLDER, wandb_sweeps
from limo_ablate.study.design import load_study
from limo_ablate.study.planned import planned_trials
from limo_ablate.trial.compose import compose_trials
from limo_ablate.trial.identity import trial_key
from tests.trial.track.test_online import logged_in
from tests.waiting import PATIENCE
from tests.wandb_standin import Standin, serve

STUDIES = study_names()
KEYS = {"name", "description", "project", "program", "method", "metric", "metrics", "parameters", "command", "run_cap", "scheduler"}  # noqa: E501 # fmt: skip
"""W&B's schema (package sweeps 0.3.0, which wants numpy < 2), as far as these files go."""
DISTRIBUTIONS = {
    "uniform": {"min", "max"}, "int_uniform": {"min", "max"}, "log_uniform_values": {"min", "max"},
    "q_uniform": {"min", "max", "q"}, "q_log_uniform_values": {"min", "max", "q"},
}  # fmt: skip


def arguments(sweep: Mapping[str, Any], parameters: Mapping[str, Any]) -> list[str]:
    """What the agent puts behind `-m MODULE`, but for where the trial is kept."""
    args = {key: {"value": value} for key, value in parameters.items()}
    given = create_sweep_command_args({"args": args})["args_no_hyphens"]
    fixed = [part for part in sweep["command"][5:-1] if not part.startswith("hydra.")]
    return overrides([*fixed, *given])


@pytest.mark.parametrize("name", STUDIES)
def test_what_is_written_of_a_shipped_study_is_what_wandb_reads(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found, _ = wandb_sweeps(load_study(name))
    assert found or name == "miniature_tuned"
    if found:
        assert main(["wandb-sweep", name, "--write"]) == 0
        assert {path.stem for path in FOLDER.iterdir()} == set(found)
    for file, sweep in found.items():
        text = (FOLDER / f"{file}.yaml").read_text()
        assert text.startswith(f"# Written by `limo-ablate wandb-sweep {name} --write`.\n")
        assert yaml.safe_load(text) == sweep
        check_form(sweep)


def check_form(sweep: Mapping[str, Any]) -> None:
    """Whether W&B reads it."""
    assert sweep.keys() <= KEYS
    assert sweep["method"] in ("grid", "random", "bayes", "custom")
    assert (sweep["method"] == "custom") == ("scheduler" in sweep)
    assert sweep["method"] == "grid" or {"metric", "metrics"} & sweep.keys()
    assert all(isinstance(part, str) for part in sweep["command"])
    for parameter in sweep["parameters"].values():
        if sweep["method"] == "grid" or "values" in parameter:
            assert parameter.keys() == {"values"}
            assert len(set(parameter["values"])) == len(parameter["values"])
        else:
            assert parameter.keys() - {"distribution"} == DISTRIBUTIONS[parameter["distribution"]]
    if "scheduler" in sweep:
        assert search_space_from_sweep_config(sweep["parameters"]).keys() == sweep["parameters"].keys()


@pytest.mark.parametrize("name", ["limo_rq4", "miniature", "miniature_screening", "s1_arms"])
def test_an_agent_runs_the_same_trials(name: str) -> None:
    study = load_study(name)
    server = Standin()
    asked = []
    for sweep in wandb_sweeps(study)[0].values():
        server._UpsertSweep({"config": json.dumps(sweep)})
        asked += [arguments(sweep, point) for point in server.waiting]
    assert {trial_key(config) for config in compose_trials(asked)} == {
        cell.key for cell in planned_trials(study)
    }


def test_levels_of_any_kind_arrive_as_they_are(tmp_path: Path) -> None:
    levels = {"train.betas": [[0.9, 0.95]], "select.size": [None, 8], "train.compile": [True], "model": ["mini_s"], "train.learning_rate": [1e-05]}  # noqa: E501 # fmt: skip
    path = tmp_path / "x.yaml"
    block = {"name": "b", "axes": levels, "overrides": ["select.tokens=500"]}
    path.write_text(yaml.safe_dump({"name": "x", "blocks": [block]}))
    study = load_study(str(path))
    (sweep,) = wandb_sweeps(study)[0].values()
    server = Standin()
    server._UpsertSweep({"config": json.dumps(sweep)})
    asked = [arguments(sweep, point) for point in server.waiting]
    assert [trial_key(config) for config in compose_trials(asked)] == [
        cell.key for cell in planned_trials(study)
    ]


def test_what_wandb_cannot_run_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["wandb-sweep", "miniature_tuned"]) == 2
    assert "tuned within each point" in capsys.readouterr().err
    assert main(["wandb-sweep", "lr_search", "model=mini_s"]) == 0
    said = capsys.readouterr().out
    assert "- model=mini_s\n" in said
    assert "wandb-sweep lr_search model=mini_s --write`" in said


def wandb_cli(*arguments: str, environment: Mapping[str, str], cwd: Path) -> str:
    """The real client's command line; what it printed."""
    command = [sys.executable, "-m", "wandb", *arguments]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        command, env={**environment, "PATH": path}, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_an_agent_runs_two_real_trials_each_as_one_run(tmp_path: Path) -> None:
    sweep = wandb_sweeps(load_study("miniature"))[0]["miniature-size_x_model"]
    sweep["parameters"] = {"model": {"values": ["mini_s"]}, "select.size": {"values": [4]}, "seed": {"values": [0, 1]}}  # noqa: E501 # fmt: skip
    tiny = [f"paths.artifacts={tmp_path}/artifacts", "train.steps=2", "model.pretrain.tokens=20000"]
    sweep["command"][-1:-1] = [*tiny, "eval.benchmarks.mini.miniature.per_level=1", "eval.benchmarks.mini.max_tokens=8"]  # noqa: E501 # fmt: skip
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep, sort_keys=False))
    with serve() as server:
        environment = logged_in(server, tmp_path) | {"OMP_NUM_THREADS": "1"}
        assert "wandb agent me/limo-ablate/sw1" in wandb_cli("sweep", "sweep.yaml", environment=environment, cwd=tmp_path)  # noqa: E501 # fmt: skip
        said = wandb_cli("agent", "me/limo-ablate/sw1", environment=environment, cwd=tmp_path)
    assert set(server.runs) == {"s0", "s1"}, said
    assert "locked" not in said
    for name, run in server.runs.items():
        assert (run.state, run.sweep) == ("finished", "sw1")
        assert run.config["seed"]["value"] == int(name[1:])
        assert (run.config["model"]["value"], run.config["model_name"]["value"]) == ("mini_s", "mini_s")
        assert run.summary["eval/mini/accuracy"] >= 0
        assert (tmp_path / "outputs" / "wandb" / "sw1" / name / "metrics.json").exists()


TRIAL = """
import sys, wandb
given = dict(argument.split("=") for argument in sys.argv[1:] if "=" in argument)
with wandb.init() as run:
    run.log({"eval/mini/accuracy": 1 - abs(float(given["train.learning_rate"]) - 0.01)})
"""


def test_optuna_proposes_through_wandbs_scheduler(tmp_path: Path) -> None:
    """The shipped search, two runs of it, with a trial that only logs the metric."""
    sweep = wandb_sweeps(load_study("lr_search"))[0]["lr_search-optuna"]
    (tmp_path / "trial.py").write_text(TRIAL)
    sweep["command"][2:5] = [str(tmp_path / "trial.py")]
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep, sort_keys=False))
    with serve() as server:
        server.run_cap = 2
        environment = logged_in(server, tmp_path)
        wandb_cli("sweep", "sweep.yaml", environment=environment, cwd=tmp_path)
        arguments = ["sweep-scheduler", "me/limo-ablate/sw1", "--batch-size", "1", "--poll-interval", "0.2"]
        scheduler = subprocess.Popen(
            [sys.executable, "-m", "wandb", *arguments], env=environment, cwd=tmp_path, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        wandb_cli("agent", "me/limo-ablate/sw1", environment=environment, cwd=tmp_path)
        said = scheduler.communicate(timeout=PATIENCE)[0]
    runs = [run for run in server.runs.values() if run.sweep and run.state == "finished"]
    assert len(runs) == 2, said
    for run in runs:
        assert 1e-5 <= run.config["train.learning_rate"]["value"] <= 3e-2
        assert run.config["train.global_batch_size"]["value"] in (4, 8, 16)
        assert run.summary["eval/mini/accuracy"] > 0.9
    assert "Trial 0 finished" in said
