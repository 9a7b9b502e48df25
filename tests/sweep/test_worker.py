"""Jobs in real forks of a real fork server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait
from pathlib import Path

import pytest

from limo_ablate.core.errors import EXIT_USER_ERROR
from limo_ablate.core.marked_processes import RUNNER_MARK, find_marked
from limo_ablate.sweep.worker import BROKEN, FAILED, Call, Worker, end_workers, fork_server
from tests.waiting import PATIENCE, gone, until

ENVIRONMENT = {"OMP_NUM_THREADS": "1"}


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fork server finds this folder's jobs by PYTHONPATH."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@pytest.fixture
def server() -> Iterator[None]:
    with fork_server(["worker_jobs"], "worker-test", threads=1):
        yield


@pytest.fixture
def start(server: None, tmp_path: Path) -> Callable[..., Worker]:
    def job(name: str, *arguments: object, **environment: str) -> Worker:
        call = Call(f"worker_jobs:{name}", arguments)
        return Worker(call, ENVIRONMENT | environment, tmp_path / "logs" / "trial.log")

    return job


def test_all_that_a_job_says_is_in_its_log(start: Callable[..., Worker], tmp_path: Path) -> None:
    assert start("speak", "one", "two").result() == (0, None)
    assert start("speak", "three").result() == (0, None)
    said = (tmp_path / "logs" / "trial.log").read_text().splitlines()
    assert sorted(said) == sorted(["one two", "three", *["from a child", "to the error stream"] * 2])


def test_a_failure_gives_its_reason_and_leaves_its_traceback(
    start: Callable[..., Worker], tmp_path: Path
) -> None:
    assert start("fail", "loss is nan").result() == (FAILED, "ValueError: loss is nan")
    assert "Traceback" in (tmp_path / "logs" / "trial.log").read_text()
    code, reason = start("fail", "no answer of https://me:pa55word@proxy.example").result()
    assert (code, reason) == (FAILED, "ValueError: no answer of https://me:***@proxy.example")
    assert "pa55word" not in (tmp_path / "logs" / "trial.log").read_text()


def test_a_reason_of_any_length_is_told(start: Callable[..., Worker]) -> None:
    code, reason = start("fail", "x" * 1_000_000).result()
    assert code == FAILED
    assert reason is not None
    assert reason.startswith("ValueError: xxx")


def test_a_killed_job_is_told_as_such(start: Callable[..., Worker]) -> None:
    assert start("die", signal.SIGKILL).result() == (-9, "killed by SIGKILL")


def test_a_users_error_has_its_own_code(server: None, tmp_path: Path) -> None:
    job = Call("limo_ablate.trial.compose:compose", (["select.siz=4"],))
    code, reason = Worker(job, ENVIRONMENT, tmp_path / "log").result()
    assert code == EXIT_USER_ERROR
    assert reason is not None
    assert "did you mean" in reason


def test_a_job_has_the_environment_of_its_slot_and_the_mark(
    start: Callable[..., Worker], tmp_path: Path
) -> None:
    names = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", RUNNER_MARK)
    start("note_environment", tmp_path / "env", *names, CUDA_VISIBLE_DEVICES="3,4").result()
    assert (tmp_path / "env").read_text() == "3,4 1 worker-test"


def test_the_server_has_imported_the_stack(tmp_path: Path) -> None:
    with fork_server(["worker_jobs", "wave"], "worker-test", threads=1):
        Worker(
            Call("worker_jobs:imported", (tmp_path / "wave", "wave")), ENVIRONMENT, tmp_path / "log"
        ).result()
    assert (tmp_path / "wave").read_text() == "True"
    assert RUNNER_MARK not in os.environ


def test_a_stack_that_can_not_be_imported_is_noticed(tmp_path: Path) -> None:
    with fork_server(["json", "no_such_module"], "worker-test", threads=1):
        code, reason = Worker(Call("worker_jobs:speak", ()), ENVIRONMENT, tmp_path / "log").result()
    assert code == BROKEN
    assert reason == "no_such_module can't be imported: ModuleNotFoundError: No module named 'no_such_module'"


def test_an_optional_module_may_be_missing(tmp_path: Path) -> None:
    with fork_server(["?no_such_module", "worker_jobs", "wave"], "worker-test", threads=1):
        job = Call("worker_jobs:imported", (tmp_path / "wave", "wave"))
        assert Worker(job, ENVIRONMENT, tmp_path / "log").result() == (0, None)
    assert (tmp_path / "wave").read_text() == "True"


def test_what_a_job_leaves_running_ends_with_it(start: Callable[..., Worker], tmp_path: Path) -> None:
    assert start("leave_children", tmp_path / "pid").result()[0] == 0
    until(lambda: gone(int((tmp_path / "pid").read_text())))


def test_jobs_are_ended_with_their_children_also_the_stubborn(
    start: Callable[..., Worker], tmp_path: Path
) -> None:
    workers = [start("hang", tmp_path / "a"), start("ignore_sigterm", tmp_path / "b")]
    until(lambda: (tmp_path / "a").exists() and (tmp_path / "b").exists())
    end_workers(workers, grace=0.2)
    assert not any(worker.running for worker in workers)
    pids = [int(pid) for pid in (tmp_path / "a").read_text().split()]
    until(lambda: gone(*pids))


def test_a_sentinel_tells_the_end(start: Callable[..., Worker]) -> None:
    worker = start("speak", "x")
    assert wait([worker.sentinel], timeout=PATIENCE) == [worker.sentinel]
    assert not worker.running


def test_jobs_die_with_their_runner(tmp_path: Path) -> None:
    runner = (
        "import os, pathlib, time\n"
        "from limo_ablate.sweep.worker import *\n"
        "if __name__ == '__main__':\n"
        f"    file = pathlib.Path({str(tmp_path / 'pids')!r})\n"
        "    with fork_server(['worker_jobs'], 'orphan-test', 1):\n"
        "        Worker(Call('worker_jobs:hang', (file,)), {'OMP_NUM_THREADS': '1'}, file.with_name('log'))\n"
        "        while not file.exists(): time.sleep(.02)\n"
        "        os.kill(os.getpid(), 9)\n"
    )
    script = tmp_path / "runner.py"
    script.write_text(runner)
    assert subprocess.run([sys.executable, str(script)], check=False).returncode == -9
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    until(lambda: gone(*pids) and not find_marked("orphan-test"))
