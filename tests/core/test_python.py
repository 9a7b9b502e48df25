"""Modules of the current folder are never imported: by no verb, and in no process that we start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import limo_ablate
from limo_ablate.cli import VERBS
from limo_ablate.core.python import environment, python
from tests.conftest import ROOT
from tests.planted import plant
from tests.waiting import PATIENCE

PACKAGE = Path(limo_ablate.__file__).parent
INTEGRAL = {"completion": r"\boxed{\int_0^1 2x\,dx}", "gold": "1"}
LINES = {
    "trial": ["trial", "--cfg", "job"],
    "sweep": ["sweep", "nowhere"],
    "join": ["join", "nowhere"],
    "retry": ["retry", "nowhere"],
    "repair": ["repair", "nowhere"],
    "plan": ["plan", "nowhere"],
    "status": ["status", "nowhere"],
    "report": ["report", "nowhere"],
    "view": ["view", "nowhere"],
    "compare": ["compare", "one", "other"],
    "why": ["why", "one", "--study", "nowhere"],
    "freeze": ["freeze", "nowhere"],
    "select": ["select", "data=nowhere"],
    "import": ["import", "logs.yaml"],
    "data": ["data", "inspect", "answers.jsonl"],
    "score": ["score", "answers.jsonl"],
    "verify": ["verify", "answers.jsonl"],
    "export": ["export", "nowhere"],
    "fetch": ["fetch", "all", "nowhere"],
    "gc": ["gc"],
    "ledger": ["ledger", "serve", "nowhere://"],
    "dashboard": ["dashboard", "nowhere"],
    "wandb-sync": ["wandb-sync"],
    "wandb-sweep": ["wandb-sweep", "lr_search"],
    "init": ["init", "project"],
    "completion": ["completion", "bash"],
    "help": ["help", "sweep"],
}
"""A line for each verb that takes no time. What trains or draws is tested where it is, in the same kind of
folder: tests/test_own_project.py, tests/model/train/test_launch.py, tests/report/serve/test_view.py."""
PROGRAM = """
import json, sys
from limo_ablate.cli import main
from limo_ablate.verify import verify
print(verify(r"\\boxed{\\int_0^1 2x\\,dx}", "1").status)
for line in json.loads(sys.argv[1]):
    if main(line) not in (0, 2):
        print("failed:", line)
"""
"""What another program does with this package; `main` with a line changes nothing of its environment."""


@pytest.mark.slow
def test_no_verb_imports_a_module_of_the_current_folder(tmp_path: Path) -> None:
    assert set(LINES) == set(VERBS)
    current = tmp_path / "current"
    planted = plant(current)
    (current / "answers.jsonl").write_text(json.dumps(INTEGRAL) + "\n")
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "program.py"), json.dumps(list(LINES.values()))],
        cwd=current, capture_output=True, text=True, timeout=PATIENCE,
        env={name: value for name, value in environment().items() if name != "PYTHONSAFEPATH"},
    )  # fmt: skip
    assert done.stdout.startswith("correct\n"), done.stderr
    assert "failed:" not in done.stdout
    assert '"rule": "symbolic"' in done.stdout
    assert "Traceback" not in done.stderr
    assert not planted.exists()


def test_every_interpreter_is_started_without_the_current_folder() -> None:
    """`sys.executable` stands in one module, which adds `-P`."""
    files = [file for file in PACKAGE.rglob("*.py") if "sys.executable" in file.read_text()]
    assert files == [PACKAGE / "core/python.py"]
    assert python("-m", "json.tool") == [sys.executable, "-P", "-m", "json.tool"]


def test_a_process_runs_the_code_of_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f":/other:{os.pathsep}")
    made = environment(EXTRA="1")
    assert made["PYTHONPATH"] == f"{ROOT}{os.pathsep}/other"  # no empty name, which is the current folder
    assert (made["PYTHONSAFEPATH"], made["EXTRA"]) == ("1", "1")
