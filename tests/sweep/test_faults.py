"""What goes wrong in a week of trials, made to happen: real runners, real signals, small jobs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from limo_ablate.core.marked_processes import find_marked
from limo_ablate.sweep.retry import retry_trials
from tests.sweep.sweeping import Sweeping, ended
from tests.waiting import until


@pytest.fixture
def sweep(tmp_path: Path) -> Sweeping:
    return Sweeping(tmp_path)


def last_pid(sweep: Sweeping) -> int:
    """Of the trial that started last."""
    return int(sweep.events("start")[-1][3])


def test_a_trial_that_is_asked_to_end_leaves_a_checkpoint_and_is_no_failure(sweep: Sweeping) -> None:
    """SIGTERM to one trial, as of a scheduler that wants its GPU back."""
    sweep.declare("launch.attempts=1", quality=("L2",), size=(3000,))
    runner = sweep.start()
    sweep.until(lambda: bool(sweep.steps()))
    os.kill(last_pid(sweep), signal.SIGTERM)
    code, said = ended(runner)
    assert code == 0, said
    assert "L2-size3000-s0  waits again: Preempted: asked to end after step" in said
    assert "FAILED" not in said
    ((_, _, steps),) = sweep.events("trained")
    assert 0 < int(steps) < 150, "the second attempt went on where the first had ended"
    assert Counter(row.state.name for row in sweep.rows()) == {"COMPLETE": 1}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_runner_that_is_asked_to_end_lets_its_trials_write_checkpoints(
    sweep: Sweeping, number: signal.Signals
) -> None:
    sweep.declare("launch.attempts=1", quality=("L2",), size=(3000, 3020))
    runner = sweep.start()
    sweep.until(lambda: len(sweep.steps()) == 2)
    runner.send_signal(number)
    code, said = ended(runner)
    assert code == 130, said
    assert len(list(sweep.folder.glob("trials/*/checkpoint"))) == 2
    assert Counter(row.state.name for row in sweep.rows()) == {"WAITING": 2}
    code, said = sweep.run()
    assert code == 0, said
    assert all(0 < int(steps) < 150 for _, _, steps in sweep.events("trained"))


def test_slurm_signals_every_process_at_once_and_that_is_no_failure(sweep: Sweeping) -> None:
    sweep.declare("launch.attempts=1", quality=("L1", "L2"), size=(5000,))
    runner = sweep.start()
    sweep.until(lambda: len(sweep.steps()) == 2)
    for pid in [*sweep.orphans(), runner.pid]:
        os.kill(pid, signal.SIGTERM)
    code, said = ended(runner)
    assert code == 130, said
    assert Counter(row.state.name for row in sweep.rows()) == {"WAITING": 2}


def test_a_failed_trial_waits_before_it_is_tried_again(sweep: Sweeping) -> None:
    sweep.declare("launch.attempts=3", "launch.backoff_seconds=0.4", quality=("shuffled",))
    assert sweep.run()[0] == 3
    first, second, third = (float(at) for _, _, at, _ in sweep.events("start"))
    assert second - first >= 0.4
    assert third - second >= 0.8


def test_a_quarantined_trial_gets_new_attempts_when_asked(
    sweep: Sweeping, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep.declare("launch.attempts=2", quality=("skipped", "L5"))
    code, said = sweep.run()
    assert code == 3
    assert "new attempts: limo-ablate retry small [TRIAL ...]" in said
    retry_trials(str(sweep.folder), ["skipped-s0", "L5-s0"])
    told = capsys.readouterr().out
    assert "skipped-s0: waits again" in told
    assert "L5-s0: was not given up" in told
    assert sweep.run()[0] == 3
    assert sweep.starts() == {"skipped-s0": 4, "L5-s0": 1}


def test_several_runners_share_a_study(sweep: Sweeping) -> None:
    sweep.declare("launch.slots=1", quality=("L4",), size=tuple(range(20)))
    first = sweep.start()
    sweep.until(lambda: len(sweep.starts()) == 1)
    joined = sweep.join()
    sweep.until(lambda: len(sweep.starts()) == 2)  # each has one
    sweep.go()
    code, said = ended(joined)
    assert code == 0, said
    assert "small: joined as " in said
    code, said = ended(first)
    assert code == 0, said
    assert sweep.finished() == sweep.starts() == sweep.ends() == {f"L4-size{n}-s0": 1 for n in range(20)}
    assert len({row.user_attrs["runner"] for row in sweep.rows()}) == 2


def test_a_joined_runner_leaves_after_as_many_trials_as_it_was_told(sweep: Sweeping) -> None:
    sweep.declare(quality=("L4",), size=(1, 2, 3, 4))
    first = sweep.start("launch.slots=1")
    sweep.until(lambda: len(sweep.events("start")) == 1)
    first.kill()
    ended(first)
    until(lambda: not sweep.orphans())
    sweep.go()
    code, said = ended(sweep.join("--trials=1", "launch.slots=1"))
    assert code == 0, said
    assert said.count("50.0 ±") == 1
    assert len(sweep.events("end")) == 1
    code, said = ended(sweep.join())
    assert code == 0, said
    assert set(sweep.finished().values()) == {1}
    assert len(sweep.finished()) == 4


def test_the_trials_of_a_killed_runner_are_taken_up_by_another(sweep: Sweeping) -> None:
    sweep.declare("launch.slots=1", "launch.attempts=1", quality=("L4",), size=(1, 2, 3))
    first = sweep.start()
    sweep.until(lambda: len(sweep.events("start")) == 1)
    joined = sweep.join()
    sweep.until(lambda: len(sweep.events("start")) == 2)
    joined.kill()
    ended(joined)
    sweep.go()
    code, said = ended(first)
    assert code == 0, said
    assert set(sweep.finished().values()) == {1}
    assert len(sweep.finished()) == 3


def test_another_study_of_the_same_name_is_refused(sweep: Sweeping) -> None:
    sweep.declare(size=(1, 2))
    assert sweep.run()[0] == 0
    code, said = sweep.run("select.size=2,3")
    assert code == 2
    (line,) = [line for line in said.splitlines() if line.startswith("limo-ablate: ")]
    assert "1 of the 2 trials" in line
    assert "--extend" in line
    assert sweep.run("select.size=2,3", "--extend")[0] == 0
    assert sweep.finished() == {"size1-s0": 1, "size2-s0": 1, "size3-s0": 1}


def test_a_full_disk_is_one_line_and_nothing_is_lost(sweep: Sweeping) -> None:
    sweep.declare("launch.attempts=1", quality=("L5", "L3"), size=(100,))
    sweep.largest_file = 500_000
    code, said = sweep.run()
    assert code == 2
    assert "Traceback" not in said
    assert "File too large" in said
    sweep.largest_file = None
    code, said = sweep.run()
    assert code == 0, said
    assert sweep.finished() == {"L5-size100-s0": 1, "L3-size100-s0": 1}


def test_a_ledger_that_can_not_grow_is_one_line_and_nothing_is_lost(sweep: Sweeping) -> None:
    sweep.declare("launch.attempts=1", size=tuple(range(1, 13)))
    sweep.largest_file = 13_000
    code, said = sweep.run()
    assert code == 2, said
    assert "Traceback" not in said
    assert "nothing is lost: free some" in said
    sweep.largest_file = None
    code, said = sweep.run()
    assert code == 0, said
    assert sweep.finished() == {f"size{n}-s0": 1 for n in range(1, 13)}


def test_a_locked_ledger_is_waited_for(sweep: Sweeping) -> None:
    sweep.declare(quality=("L4",), size=tuple(range(10)))
    runner = sweep.start()
    sweep.until(lambda: len(sweep.events("start")) == 2)
    with (sweep.folder / "ledger.log").open("r+b") as ledger:
        fcntl.flock(ledger, fcntl.LOCK_EX)
        sweep.go()
        sweep.until(lambda: len(sweep.events("end")) == 2)
        time.sleep(2)
        assert len(sweep.events("start")) == 2, "what runs ends, nothing new can start"
    code, said = ended(runner)
    assert code == 0, said
    assert set(sweep.starts().values()) == {1}


@pytest.mark.parametrize("busy", ["at work", "at its start"])
def test_an_interrupt_ends_the_waiting_for_a_ledger(sweep: Sweeping, busy: str) -> None:
    """Rows that could not be given back are found by the next runner."""
    sweep.declare("launch.attempts=1", quality=("L4",), size=tuple(range(10)))
    if busy == "at its start":
        sweep.folder.mkdir(parents=True)
        sweep.go()
        assert sweep.run("select.size=1")[0] == 0
    before = len(sweep.events("end"))
    ledger = sweep.folder / "ledger.log"
    with contextlib.ExitStack() as held:
        if busy == "at its start":
            fcntl.flock(held.enter_context(ledger.open("r+b")), fcntl.LOCK_EX)
        runner = sweep.start()
        if busy == "at work":
            sweep.until(lambda: len(sweep.events("start")) == 2)
            fcntl.flock(held.enter_context(ledger.open("r+b")), fcntl.LOCK_EX)
            sweep.go()
            sweep.until(lambda: len(sweep.events("end")) == 2)
        sweep.until(lambda: opened(runner.pid, ledger))
        time.sleep(1)  # it waits, for 120 s if nothing ends that, and would then exit with 2
        runner.send_signal(signal.SIGINT)
        code, said = ended(runner)
    assert code == 130, said
    assert "Traceback" not in said
    assert len(sweep.events("end")) <= before + 2
    assert not sweep.orphans()
    assert sweep.run()[0] == 0
    assert sweep.finished() == {f"L4-size{n}-s0": 1 for n in range(10)}


def opened(process: int, path: Path) -> bool:
    """Whether a process has a file open."""
    with contextlib.suppress(OSError):
        return any(file.samefile(path) for file in Path(f"/proc/{process}/fd").iterdir())
    return False


def test_an_interrupt_before_the_first_trial_runs_gives_its_trial_back(sweep: Sweeping) -> None:
    """It waits for the fork server's imports then, which take seconds; this base model need not be made."""
    sweep.declare("model=qwen2_5_0_5b", "data=miniature", size=(1, 2))
    sweep.import_seconds = 20
    runner = sweep.start()
    sweep.until(lambda: sweep.folder.exists() and (sweep.folder / "ledger.log").exists())
    sweep.until(lambda: "RUNNING" in [row.state.name for row in sweep.rows()])
    time.sleep(0.3)
    runner.send_signal(signal.SIGINT)
    code, said = ended(runner)
    assert code == 130, said
    assert Counter(row.state.name for row in sweep.rows()) == {"WAITING": 2}
    assert not sweep.events("start")


def test_a_runner_that_lost_its_lease_ends_all_it_has_started(sweep: Sweeping) -> None:
    """Others may have its trials by then, and what it started would write into their folders."""
    sweep.declare(quality=("L1",), size=(1,))
    runner = sweep.start()
    sweep.until(lambda: len(sweep.events("start")) == 1)
    (lease,) = (sweep.folder / "runners").glob("*.json")
    sweep.until(lambda: any("sleep" in commanded(pid) for pid in find_marked(lease.stem)))
    lease.unlink()  # as one who took it for dead does
    code, said = ended(runner)
    assert code == 130, said
    assert "others may have taken its trials" in said
    until(lambda: not find_marked(lease.stem))


def commanded(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_a_trial_that_is_killed_again_and_again_counts_as_failing(sweep: Sweeping) -> None:
    """By SIGTERM, as an out-of-memory daemon does; a few times it may be an operator."""
    sweep.declare("launch.attempts=2", quality=("shuffled",), size=(15,))
    code, said = sweep.run()
    assert code == 3, said
    assert said.count("waits again: killed by SIGTERM") == 3
    assert "FAILED, attempt 1 of 2, retrying: killed by SIGTERM" in said
    assert "FAILED, attempt 2 of 2, given up: same reason as before" in said
    assert len(sweep.events("start")) == 5


def test_a_budget_is_kept_and_what_it_left_is_listed(sweep: Sweeping) -> None:
    sweep.declare("launch.slots=1", size=(300, 301, 302, 303))
    code, said = sweep.run("budget.gpu_hours=1e-9")
    assert code == 0, said
    assert "4 trials not run, to stay within the budget of" in said
    assert "  size300-s0" in said
    assert not sweep.events("start")
    assert sweep.run()[0] == 0
    assert len(sweep.finished()) == 4
