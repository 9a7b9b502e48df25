"""grader=code: tests are run in a sandbox that holds whatever an answer does."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.data.grade import sandbox
from limo_ablate.data.grade.code_grader import code
from limo_ablate.data.grade.grader import Answered, Grade, GraderOptions
from limo_ablate.data.grade.graders import Grading, check_grader
from limo_ablate.data.grade.sandbox import Limits, run


def _works() -> bool:
    try:
        sandbox.check_sandbox("here")
    except UserError:
        return False
    return True


needs_sandbox = pytest.mark.skipif(
    not _works(), reason="bubblewrap is missing, or may make no namespaces here"
)
SHORT = Limits(seconds=1, memory=256)
TESTS = "assert double(4) == 8\nassert double(-1) == -2"


def grades(*completions: str, tests: str = TESTS) -> list[Grade]:
    options = GraderOptions(seconds=1, memory=256)
    rows = [Answered(problem="p", completion=text, gold=tests, grading=options) for text in completions]
    return code(rows)


@needs_sandbox
def test_an_answer_s_last_block_has_to_pass_all_tests() -> None:
    found = grades(
        "First:\n```python\nraise\n```\nBetter:\n```python\ndef double(x):\n    return 2 * x\n```",
        "```\ndef double(x): return x + 4\n```",
        "def double(x): return 2 * x",
        "```python\nimport os\nos._exit(0)\n```",
        "```python\nraise SystemExit(0)\n```",
        "<think>def double(x): return 2 * x",
        "```python\ndef double(x):\n```",
        "",
    )
    assert [grade.status for grade in found] == [
        "correct", "incorrect", "correct", *["incorrect"] * 5,
    ]  # fmt: skip
    assert [grade.rule for grade in found[-3:]] == ["unfinished", "code", "no_answer"]
    assert found[1].reason == "AssertionError"
    assert found[3].reason == "ended with exit code 0 before the tests did"
    assert "IndentationError" in (found[6].reason or "")
    assert [found[0].vote, found[2].vote] == [0, 0]


@needs_sandbox
def test_without_tests_it_is_undecided() -> None:
    assert grades("x = 1", tests=" ")[0].status == "undecided"


@needs_sandbox
@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import socket; socket.create_connection(('127.0.0.1', 1), timeout=1)", "Connection refused"),
        ("import socket; socket.socket(2, 2).sendto(b'x', ('8.8.8.8', 53))", "Network is unreachable"),
        ("open('/usr/x', 'w')", "Read-only file system"),
        ("open('/x', 'w')", "Read-only file system"),
        ("open('/task/program.py', 'a')", "Error: [Errno"),
        ("open('/dev/shm/x', 'w')", "Read-only file system"),
        (f"open({__file__!r})", "No such file"),
        ("open('/etc/passwd')", "No such file"),
        ("x = bytearray(1 << 30)", "MemoryError"),
        ("for n in range(9): open(f'/tmp/{n}', 'wb').write(bytes(20 << 20))", "No space left"),
        ("open('/tmp/x', 'wb').write(bytes(100 << 20))", "File too large"),
        ("import os; os.memfd_create('x')", "Operation not permitted"),
        ("import os; os.kill(1, 9); os.setuid(0)", "Operation not permitted"),
        ("import resource as r; r.setrlimit(r.RLIMIT_AS, (-1, -1))", "not allowed to raise"),
    ],
)  # fmt: skip
def test_what_the_kernel_refuses(program: str, said: str) -> None:
    outcome = run(program, SHORT)
    assert outcome.code == 1
    assert said in outcome.output


@needs_sandbox
@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import os, time; os.close(1); os.close(2); time.sleep(60)", "more than 2 s"),
        ("while True: print('x' * 10_000)", "more than 1 MiB of output"),
        ("import os, time\nfor _ in range(8):\n if not os.fork():\n  x = b'x' * (90 << 20)\n  time.sleep(9)\n"
         "time.sleep(9)", "more than 256 MiB"),
    ],
)  # fmt: skip
def test_what_is_watched(program: str, said: str) -> None:
    outcome = run(program, SHORT)
    assert (outcome.code, outcome.stopped) == (None, said)


@needs_sandbox
def test_processor_time_is_limited() -> None:
    outcome = run("while True: pass", SHORT)
    assert outcome.code is None
    assert outcome.stopped in (
        "more than 1 s of processor time",
        "more than 2 s",
    )  # wall time, where it is busy
    deaf = "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"
    assert run(deaf, SHORT).code != 0, "killed a second later"


@needs_sandbox
def test_forks_are_counted_and_daemons_end_with_the_program() -> None:
    few = "import os, time\nfor n in range(200):\n if not os.fork():\n  time.sleep(1)\n  os._exit(0)\n"
    assert "Resource temporarily unavailable" in run(few, replace(SHORT, memory=2048)).output
    daemon = (
        "import os, time\nif not os.fork():\n os.setsid()\n if not os.fork(): time.sleep(9)\n os._exit(0)"
    )
    assert run(f"{daemon}\nprint('done')", SHORT).output == "done\n"
    assert not [one for one in Path("/proc").glob("[0-9]*/cmdline") if b"/task/inside.py" in _read(one)]


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # it has ended
        return b""


def test_without_bubblewrap_it_is_refused_before_anything_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    sandbox.check_sandbox.cache_clear()
    with pytest.raises(UserError, match=r"^eval\.benchmarks\.own\.grader=code runs code in bubblewrap"):
        check_grader(Grading("code"), "eval.benchmarks.own")
    sandbox.check_sandbox.cache_clear()
