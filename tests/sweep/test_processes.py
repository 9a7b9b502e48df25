import os
import subprocess
import sys
from pathlib import Path

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.core.marked_processes import RUNNER_MARK, end_marked, find_marked
from limo_ablate.sweep.ledger.flock import coordinator, coordinator_of

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are found in /proc")

ORPHAN = """
import os, signal, subprocess, sys
if sys.argv[1] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
signal.pause()
"""


def orphan(mark: str, kind: str = "meek") -> None:
    """A process of another session whose parent is gone."""
    start = (
        "import subprocess, sys;"
        "options = dict(start_new_session=True, stdout=subprocess.PIPE);"
        "subprocess.Popen([sys.executable, '-c', *sys.argv[1:]], **options).stdout.readline()"
    )
    command = [sys.executable, "-c", start, ORPHAN, kind]
    subprocess.run(command, env={**os.environ, RUNNER_MARK: mark}, check=True)


def test_orphans_are_found_by_their_mark_and_ended() -> None:
    orphan("test-a")
    orphan("test-a")
    orphan("test-b")
    assert len(find_marked("test-a")) == 2
    assert end_marked("test-a") == 2
    assert find_marked("test-a") == []
    assert len(find_marked("test-b")) == 1
    assert end_marked("test-b") == 1


def test_who_ignores_sigterm_is_killed() -> None:
    orphan("test-c", "stubborn")
    assert end_marked("test-c", grace=0.2) == 1
    assert find_marked("test-c") == []


def test_a_second_coordinator_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    assert coordinator_of(tmp_path) is None
    with coordinator(tmp_path):
        assert coordinator_of(tmp_path) == f"pid {os.getpid()}"
        with (
            pytest.raises(UserError, match=f"already running here .pid {os.getpid()}"),
            coordinator(tmp_path),
        ):
            pass
    assert coordinator_of(tmp_path) is None
    with coordinator(tmp_path):
        pass


def test_the_lock_of_a_killed_coordinator_is_free(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys\nfrom limo_ablate.sweep.ledger.flock import coordinator\n"
        "with coordinator(pathlib.Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -9
    with coordinator(tmp_path):
        pass
