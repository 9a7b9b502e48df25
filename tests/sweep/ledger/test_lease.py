import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from limo_ablate.sweep.ledger.lease import RUNNERS, Lease, Watch
from tests.waiting import until

SHORT = 0.3
"""A lease, in seconds, short enough to see it end."""
HOLD = "import sys, pathlib; from limo_ablate.sweep.ledger.lease import Lease\n\
with Lease(pathlib.Path(sys.argv[1]), beat=0.05, lease=0.3) as lease:\n\
    print(lease.id, flush=True)\n\
    for _ in sys.stdin:\n\
        print(lease.lost(), flush=True)\n"


def runner(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """Another process with a lease, and its id; for each line it is sent it says whether it has lost."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    return process, process.stdout.readline().strip()


def elsewhere(folder: Path, name: str = "far-1-abcd") -> Path:
    """The file of a runner on another machine."""
    path = folder / RUNNERS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"host": "far", "machine": "another kernel", "pid": 1}))
    return path


def test_a_lease_says_who_holds_it(tmp_path: Path) -> None:
    with Lease(tmp_path) as lease:
        about = json.loads((tmp_path / RUNNERS / f"{lease.id}.json").read_text())
        assert about["pid"] == os.getpid()
        assert lease.id.startswith(f"{about['host']}-{os.getpid()}-")
        assert Watch(tmp_path).known() == [lease.id]
        assert not Watch(tmp_path).is_dead(lease.id)
        assert not lease.lost()
    assert Watch(tmp_path).known() == []
    assert Watch(tmp_path).is_dead(lease.id)


def test_a_killed_runner_of_this_machine_is_dead_at_once(tmp_path: Path) -> None:
    process, name = runner(tmp_path)
    watch = Watch(tmp_path)
    assert not watch.is_dead(name)
    process.kill()
    process.wait()
    assert watch.is_dead(name)
    assert watch.is_on_this_machine(name)
    watch.remove(name)
    assert watch.known() == []
    assert watch.is_dead(name)


def test_a_suspended_runner_is_not_dead_here_and_knows_that_it_lost(tmp_path: Path) -> None:
    process, name = runner(tmp_path)
    assert process.stdin
    assert process.stdout
    process.send_signal(signal.SIGSTOP)
    time.sleep(2 * SHORT)
    assert not Watch(tmp_path, SHORT).is_dead(name)
    process.send_signal(signal.SIGCONT)
    time.sleep(SHORT)  # it touches its file again, and still has lost
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "True\n"
    process.kill()
    process.wait()


def test_a_runner_whose_file_was_removed_has_lost(tmp_path: Path) -> None:
    with Lease(tmp_path, beat=0.02, lease=60) as lease:
        Watch(tmp_path).remove(lease.id)
        until(lease.lost)


def test_a_runner_of_another_machine_is_dead_when_its_file_stands_still(tmp_path: Path) -> None:
    path, watch = elsewhere(tmp_path), Watch(tmp_path, SHORT)
    assert not watch.is_on_this_machine(path.stem)
    started = time.monotonic()
    touched = started
    while touched - started < 2 * SHORT:
        touched = time.monotonic()
        os.utime(path)
        assert not watch.is_dead(path.stem)
        time.sleep(0.02)
    until(lambda: watch.is_dead(path.stem))
    assert time.monotonic() - touched > SHORT


@pytest.mark.parametrize("shift", [-(10**9), -3600.0, 3600.0, 10**9])
def test_a_jump_of_the_clock_changes_nothing(tmp_path: Path, shift: float) -> None:
    """Neither of the other machine's, nor of this one's: only whether the file's time changes counts."""
    path, watch = elsewhere(tmp_path), Watch(tmp_path, SHORT)
    os.utime(path, times=(0, time.time() + shift))
    assert not watch.is_dead(path.stem)
    time.sleep(2 * SHORT)
    os.utime(path, times=(0, time.time() + 2 * shift))
    assert not watch.is_dead(path.stem)
    time.sleep(2 * SHORT)
    assert watch.is_dead(path.stem)


def test_what_has_not_changed_for_a_lease_is_seen(tmp_path: Path) -> None:
    watch = Watch(tmp_path, SHORT)
    assert not watch.is_unchanged("row", "a")
    time.sleep(2 * SHORT)
    assert not watch.is_unchanged("row", "b")
    assert not watch.is_unchanged("other row", "b")
    time.sleep(2 * SHORT)
    assert watch.is_unchanged("row", "b")
