"""Whole sweeps in processes of their own: real forks, a real ledger, real kill -9; small jobs."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from limo_ablate.core.errors import UserError
from limo_ablate.sweep.status import print_status, study_statuses
from tests.sweep.sweeping import HERE, Sweeping, ended
from tests.waiting import PATIENCE, until


@pytest.fixture
def sweep(tmp_path: Path) -> Sweeping:
    return Sweeping(tmp_path)


def test_every_trial_is_run_once_and_a_second_sweep_has_nothing_to_do(sweep: Sweeping) -> None:
    sweep.declare(size=(1, 2, 3), quality=("any", "L5"), seeds=(0, 1))
    code, said = sweep.run()
    assert code == 0, said
    assert "[12/12]" in said
    assert "50.0 ± 10.0" in said
    assert set(sweep.finished().values()) == {1}
    assert len(sweep.finished()) == len(sweep.events("end")) == 12
    assert next(name for _, name, *_ in sweep.events("start")).endswith("s0")
    code, said = sweep.run()
    assert code == 0
    assert "12 of 12 trials (6 cells) finished, nothing left to do" in said
    assert "not forked" in said
    assert "no torch" in said
    assert len(sweep.events("start")) == 12
    assert len(sweep.events("report")) == 1
    for failed in ("undrawable", "report/errors.log"):  # parts of the report could not be drawn
        (sweep.folder / failed).touch()
    code, said = sweep.run()
    assert code == 3
    assert "could not draw Methods: TypeError: no" in said
    assert len(sweep.finished()) == 12
    assert len(sweep.events("report")) == 2


def test_trials_run_side_by_side_but_no_more_than_there_are_slots(sweep: Sweeping) -> None:
    sweep.declare(quality=("L4",), size=(1, 2, 3, 4, 5, 6))
    runner = sweep.start()
    sweep.until(lambda: len(sweep.events("start")) == 2)
    time.sleep(0.5)
    sweep.go()
    assert ended(runner)[0] == 0
    times = [(float(t), +1) for _, _, t, *_ in sweep.events("start")] + [
        (float(t), -1) for _, _, t in sweep.events("end")
    ]
    running = most = 0
    for _, change in sorted(times):
        running += change
        most = max(most, running)
    assert most == 2


def test_a_failing_trial_is_tried_again_then_left_alone_with_its_reason(sweep: Sweeping) -> None:
    sweep.declare("launch.attempts=2", quality=("L5", "skipped", "shuffled"))
    code, said = sweep.run()
    assert code == 3
    assert sweep.starts() == {"L5-s0": 1, "skipped-s0": 2, "shuffled-s0": 2}
    assert "skipped-s0  FAILED, attempt 2 of 2, given up: same reason as before" in said
    assert "shuffled-s0  FAILED, attempt 1 of 2, retrying: killed by SIGKILL" in said
    folder = sweep.trial("skipped-s0")
    failure = json.loads((folder / "failed.json").read_text())
    assert failure["reason"] == "RuntimeError: the loss is not a number"
    assert failure["command"].startswith("limo-ablate track=none")
    assert failure["command"].endswith("select.quality=skipped seed=0")
    assert "RuntimeError: the loss is not a number" in Path(failure["log"]).read_text()
    code, said = sweep.run()
    assert code == 3
    assert "2 of 3 trials failed" in said
    assert len(sweep.events("start")) == 5
    assert sweep.run("launch.attempts=3")[0] == 3
    assert len(sweep.events("start")) == 7


def test_a_users_error_is_not_tried_again_in_the_same_sweep(sweep: Sweeping) -> None:
    sweep.declare(quality=("padded",))
    code, said = sweep.run()
    assert code == 3
    once = "FAILED, attempt 1 of 3, not retried by this sweep, but by the next: UserError: select.size: too"
    assert once in said
    assert "1 of them would fail again for the same reason; the next sweep retries them" in said
    assert "new attempts: " not in said
    assert len(sweep.events("start")) == 1
    code, said = sweep.run()
    assert code == 3
    assert "FAILED, attempt 2 of 3, not retried" in said
    code, said = sweep.run()
    assert "FAILED, attempt 3 of 3, given up: UserError" in said
    assert "new attempts: limo-ablate retry small" in said
    assert len(sweep.events("start")) == 3


def test_without_its_base_model_a_trial_fails_and_the_others_run(sweep: Sweeping) -> None:
    sweep.declare("launch.attempts=1", model=("mini_l", "mini_s"), size=(1, 2))
    code, said = sweep.run()
    assert code == 3
    assert set(sweep.finished()) == {"mini_s-size1-s0", "mini_s-size2-s0"}
    assert "mini_l-size1-s0  FAILED" in said
    assert "its base model could not be made: RuntimeError: no room on the disk" in said


def test_a_killed_runner_loses_and_repeats_nothing(sweep: Sweeping) -> None:
    """Kill -9 at random moments, again and again, then one run in peace."""
    sweep.declare(size=tuple(range(300, 316)))
    moments = random.Random(0)
    for kill in range(4):
        done = len(sweep.events("end"))
        runner = sweep.start()
        sweep.until(lambda done=done: len(sweep.events("end")) > done)  # type: ignore[misc]
        time.sleep(moments.random() * 0.3)
        runner.kill()
        runner.communicate()
        assert len(sweep.events("end")) < 16, f"kill {kill} came too late to test anything"
    code, said = sweep.run()
    assert code == 0, said
    assert sweep.finished() == Counter({f"size{size}-s0": 1 for size in range(300, 316)})
    assert sweep.ends() == sweep.finished()
    assert not any(row.state.name in ("RUNNING", "WAITING") for row in sweep.rows())


def test_trials_die_with_a_killed_runner_and_their_trials_run_again(sweep: Sweeping) -> None:
    sweep.declare("launch.attempts=1", quality=("L1", "L5"))
    runner = sweep.start()
    sweep.until(lambda: len(sweep.events("start")) == 2)
    runner.kill()
    runner.communicate()
    until(lambda: not sweep.orphans())
    again = sweep.start()
    sweep.until(lambda: sweep.starts()["L1-s0"] == 2)
    again.terminate()
    again.communicate()


def test_a_killed_trial_is_run_again(sweep: Sweeping) -> None:
    sweep.declare(quality=("L1",))
    runner = sweep.start()
    sweep.until(lambda: len(sweep.events("start")) == 1)
    os.kill(int(sweep.events("start")[0][3]), signal.SIGKILL)
    sweep.until(lambda: len(sweep.events("start")) == 2)
    runner.terminate()
    assert "attempt 1 of 3, retrying: killed by SIGKILL" in runner.communicate()[0]


def test_a_killed_fork_server_is_replaced(sweep: Sweeping) -> None:
    """As the kernel does when memory runs out; with it and its trials goes everything but the runner."""
    sweep.declare(quality=("L1",))
    runner = sweep.start()
    sweep.until(lambda: len(sweep.events("start")) == 1)
    for pid in sweep.orphans():
        with suppress(ProcessLookupError):  # ended with the server
            os.kill(pid, signal.SIGKILL)
    sweep.until(lambda: len(sweep.events("start")) == 2)
    runner.terminate()
    said, _ = runner.communicate()
    assert "L1-s0  waits again: its fork server died" in said
    assert "FAILED" not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_sweep_ends_all_and_gives_its_trials_back(
    sweep: Sweeping, number: signal.Signals
) -> None:
    sweep.declare("launch.attempts=1", quality=("L1", "L2", "L5"))
    runner = sweep.start()
    sweep.until(lambda: len(sweep.events("end")) == 2)
    runner.send_signal(number)
    said, _ = runner.communicate()
    assert runner.returncode == 130, said
    assert "interrupted" in said
    assert "Traceback" not in said
    assert not sweep.orphans()
    assert Counter(row.state.name for row in sweep.rows()) == {"COMPLETE": 2, "WAITING": 1}
    (waiting,) = (row for row in sweep.rows() if row.state.name == "WAITING")
    assert waiting.user_attrs["spent"][0] > 0, "what it took counts against a budget"


def test_a_second_coordinator_is_refused(sweep: Sweeping) -> None:
    sweep.declare(quality=("L1",))
    runner = sweep.start()
    sweep.until(lambda: len(sweep.events("start")) == 1)
    code, said = sweep.run()
    assert code == 2
    assert f"already running here (pid {runner.pid})" in said
    assert len(sweep.events("start")) == 1
    runner.terminate()
    runner.communicate()


def test_a_grid_grows(sweep: Sweeping) -> None:
    sweep.declare(size=(1, 2))
    assert sweep.run()[0] == 0
    code, said = sweep.run("select.size=1,2,3", "seeds=[0,1]")
    assert code == 0
    assert "6 trials (3 cells), 2 finished, 4 to do" in said
    assert len(sweep.events("start")) == len(sweep.finished()) == 6
    assert [trial["name"] for trial in json.loads((sweep.folder / "cells.json").read_text())][:3] == [
        "size1-s0", "size2-s0", "size3-s0",
    ]  # fmt: skip
    assert len(sweep.events("report")) == 2


def test_a_broken_installation_stops_the_sweep_at_once(sweep: Sweeping) -> None:
    sweep.declare(size=(1, 2, 3))
    broken = sweep.root / "broken"
    broken.mkdir()
    (broken / "sweep_jobs.py").write_text("import no_such_library")
    process = subprocess.run(
        [sys.executable, str(HERE / "drive.py"), str(sweep.root / "small.yaml")],
        env={**os.environ, "PYTHONPATH": str(broken), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert process.returncode == 2, process.stderr
    assert "no trial can run here: sweep_jobs can't be imported: ModuleNotFoundError" in process.stderr
    assert sweep.run()[0] == 0
    assert not any("reason" in row.user_attrs for row in sweep.rows() if row.state.name == "COMPLETE")


def test_a_typo_stops_a_sweep_before_it_leaves_anything(sweep: Sweeping) -> None:
    sweep.declare(size=(1, 2), quality=("L4", "L9"))
    code, said = sweep.run()
    assert code == 2
    assert "select.quality=L9: not a choice" in said
    assert not sweep.folder.exists()


def test_what_can_not_run_here_stops_a_sweep_before_it_leaves_anything(sweep: Sweeping) -> None:
    sweep.declare(hardware=("cpu", "fsdp2"))
    code, said = sweep.run()
    assert code == 2
    assert "hardware=fsdp2 needs 8 GPUs for a trial" in said
    assert not sweep.folder.exists()
    sweep.declare(hardware=("cpu",))
    assert sweep.run()[0] == 0
    before = (sweep.folder / "ledger.log").read_bytes()
    sweep.declare(hardware=("cpu", "fsdp2"))
    assert sweep.run()[0] == 2
    assert (sweep.folder / "ledger.log").read_bytes() == before


def test_a_study_without_a_slurm_for_it_leaves_nothing(sweep: Sweeping) -> None:
    sweep.declare(size=(1,))
    code, said = sweep.run("launch=slurm", "launch.slurm.jobs=worker", "hardware=gpu1")
    assert code == 2
    assert "launch.slurm.gpus_per_node: set the number" in said
    assert not sweep.folder.exists()


def test_what_is_finished_can_be_looked_at_where_it_could_not_run(sweep: Sweeping) -> None:
    sweep.declare(size=(1,))
    assert sweep.run()[0] == 0
    code, said = sweep.run("launch=slurm", "launch.slurm.jobs=worker", "launch.slurm.gpus_per_node=1")
    assert code == 0, said
    assert "nothing left to do" in said


def test_a_database_serves_as_well(sweep: Sweeping) -> None:
    sweep.declare(size=(1, 2, 3))
    url = f"sqlite:///{sweep.root}/ledger.db"
    assert sweep.run(f"ledger='{url}'")[0] == 0
    assert len(sweep.events("end")) == 3
    assert "nothing left" in sweep.run(f"ledger='{url}'")[1]
    assert not (sweep.folder / "ledger.log").exists()


def test_the_state_of_a_study_is_told(sweep: Sweeping, capsys: pytest.CaptureFixture[str]) -> None:
    sweep.declare("launch.attempts=1", quality=("L5", "skipped", "L1"), seeds=(0,))
    runner = sweep.start()
    sweep.until(lambda: len(sweep.events("start")) == 3)
    sweep.until(
        lambda: [state.state for state in study_statuses(sweep.folder)] == ["finished", "failed", "running"]
    )
    sweep.until(lambda: "L1-s0" in sweep.steps())
    where = f"paths.studies={sweep.folder.parent}"
    print_status(None, [where], as_json=False)
    print_status("small", [where], as_json=False)
    short, *long = capsys.readouterr().out.splitlines()
    assert short == long[0]
    assert short.startswith("small: 3 trials: 1 finished, 1 running, 1 failed; 0.00 device-hours; runners: ")
    assert short.rpartition("-")[0].endswith(f"-{runner.pid}")
    assert "  failed: skipped-s0  RuntimeError: the loss is not a number" in long
    assert any(line.startswith("  running: L1-s0  asleep at 1 of 10") for line in long)
    assert any("training L1-s0" in line for line in long), "the last line of its log"
    assert f"  new attempts: limo-ablate retry {sweep.folder}" in long
    print_status("small", [where], as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["finished"], told["running"], told["failed"]) == (1, 1, 1)
    assert [(trial["trial"], trial["state"], trial["failures"]) for trial in told["each"]][1] == (
        "skipped-s0", "failed", 1,
    )  # fmt: skip
    runner.kill()
    runner.communicate()
    assert [state.state for state in study_statuses(sweep.folder)] == ["finished", "failed", "waiting"]
    with pytest.raises(UserError, match=r"smal: no such study .* did you mean small"):
        print_status("smal", [where], as_json=False)


def test_a_search_of_quick_trials_is_run_to_its_end(sweep: Sweeping) -> None:
    """The last of what was proposed may end before the runner looks at the queue again."""
    sweep.declare("launch.slots=1", size=(1,))
    study = yaml.safe_load((sweep.root / "small.yaml").read_text())
    study["blocks"] = [{
        "name": "b", "design": "optuna", "sampler": "random", "n": 7,
        "axes": {"select.size": {"low": 1, "high": 40}},
        "objectives": [{"score": "mini", "direction": "maximize"}],
    }]  # fmt: skip
    (sweep.root / "small.yaml").write_text(yaml.safe_dump(study))
    code, said = sweep.run()
    assert code == 0, said
    assert len(sweep.finished()) == len(sweep.events("end")) == 7
