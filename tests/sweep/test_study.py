"""A small real study through the command line, from pre-training to report; killed and resumed."""

import json
from pathlib import Path

import pytest

from tests.forked import limo_ablate, start
from tests.waiting import until

STUDY = """
name: small
question: Does the study survive?
overrides:
  - model=mini_s
  - model.pretrain.tokens=20000
  - train.steps=4
  - eval.benchmarks.mini.miniature.per_level=2
seeds: [0, 1]
blocks:
  - name: size
    design: factorial
    axes: {select.size: [0, 4], select.quality: [L1, L5]}
figures:
  - {title: Accuracy by size, block: size, x: select.size, line: select.quality, score: mini}
"""


def finished(folder: Path) -> dict[str, str]:
    """Trial -> its metrics.json."""
    found = (folder / "outputs/studies/small/trials").glob("*/metrics.json")
    return {file.parent.name: file.read_text() for file in found}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study after kill -9 in the middle and a second start."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "small.yaml").write_text(STUDY)
    runner = start(folder / "first", "limo_ablate", "sweep", "small.yaml", cwd=folder)
    until(lambda: len(finished(folder)) >= 2 or runner.returncode is not None)
    assert runner.returncode is None, runner.output()
    runner.kill()
    runner.wait()
    before = finished(folder)
    assert 2 <= len(before) < 6
    (folder / "before.json").write_text(json.dumps(before))
    done = limo_ablate("sweep", "small.yaml", cwd=folder, report="whole")
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "second").write_text(done.stdout)
    return folder


def test_every_trial_is_finished_and_none_was_done_twice(study: Path) -> None:
    before, after = json.loads((study / "before.json").read_text()), finished(study)
    assert len(after) == 6  # the untuned base is one trial for both tiers
    assert {trial: after[trial] for trial in before} == before


def test_the_report_is_drawn(study: Path) -> None:
    report = study / "outputs/studies/small/report"
    assert "Does the study survive?" in (report / "index.html").read_text()
    assert [png.stat().st_size > 5000 for png in report.glob("*.png")]
    assert "/outputs/studies/small/report/index.html" in (study / "second").read_text()


def test_every_trial_is_a_wandb_run(study: Path) -> None:
    trials = study / "outputs/studies/small/trials"
    for trial in trials.iterdir():
        assert list(trial.glob("wandb/**/run-*.wandb")), trial.name


def test_again_there_is_nothing_to_do(study: Path) -> None:
    before = finished(study)
    done = limo_ablate("sweep", "small.yaml", cwd=study, report="none")
    assert done.returncode == 0
    assert "nothing left to do" in done.stdout
    assert finished(study) == before


def test_no_process_is_left(study: Path) -> None:
    assert [pid for pid in Path("/proc").iterdir() if pid.name.isdigit() and _works_in(pid, study)] == []


def _works_in(process: Path, folder: Path) -> bool:
    try:
        return process.joinpath("cwd").readlink() == folder
    except OSError:  # gone, or not ours
        return False
