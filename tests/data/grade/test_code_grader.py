"""grader=code: tests are run in a sandbox that holds whatever an answer does."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from limo_ablate.core.artifacts import json_default
from limo_ablate.core.errors import UserError
from limo_ablate.data.grade import confined, sandbox
from limo_ablate.data.grade.code_grader import _last_block, code
from limo_ablate.data.grade.grader import Answered, Grade, GraderOptions, SandboxKind
from limo_ablate.data.grade.graders import Grading, check_grader, key_inputs
from limo_ablate.data.grade.sandbox import Limits, run


def works(kind: SandboxKind) -> bool:
    try:
        sandbox.check_sandbox("here", kind)
    except UserError:
        return False
    return True


KINDS: list[SandboxKind] = ["bubblewrap", "landlock"]
SHORT = Limits(seconds=1, memory=256)
TESTS = "assert double(4) == 8\nassert double(-1) == -2"


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> SandboxKind:
    found: SandboxKind = request.param
    if not works(found):
        pytest.skip(f"{found} is missing, or not allowed here")
    return found


def grades(kind: SandboxKind, *completions: str, tests: str = TESTS) -> list[Grade]:
    options = GraderOptions(seconds=1, memory=256, sandbox=kind)
    rows = [Answered(problem="p", completion=text, gold=tests, grading=options) for text in completions]
    return code(rows)


def test_an_answer_s_last_block_has_to_pass_all_tests(kind: SandboxKind) -> None:
    found = grades(
        kind,
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


@pytest.mark.parametrize(
    ("text", "block"),
    [
        ("```python3\nx = 1\n```", "x = 1\n"),
        ("```bash\npip install y\n```\nThen\n```python\nx = 1\n```\nIt prints\n```\n3\n```", "x = 1\n"),
        ("1. So:\n   ```py\n   if x:\n       y\n   ```", "if x:\n    y\n"),
        ("~~~python\nx = 1\n~~~", "x = 1\n"),
        ("```Python\nx = 1```", "x = 1"),
        ("```\nx = 1\n```\n```\nx = 2\n```", "x = 2\n"),
        ("```python\nx = 1\n```\n```py\nx = 2\n```\n```python\nx = 3", "x = 3"),
        ("Use ```x``` here:\nx = 1", "Use ```x``` here:\nx = 1"),
        ('```python\nf = """Fence: ```"""\nx = 1\n```', 'f = """Fence: ```"""\nx = 1\n'),
    ],
)  # fmt: skip
def test_which_block_is_the_program(text: str, block: str) -> None:
    assert _last_block(text) == block


def test_without_tests_it_is_undecided(kind: SandboxKind) -> None:
    assert grades(kind, "x = 1", tests=" ")[0].status == "undecided"


NOT_PERMITTED, NOT_TO_READ = "Operation not permitted", "Permission denied"


@pytest.mark.parametrize(
    ("program", "said", "by_landlock"),
    [
        ("import socket; socket.create_connection(('127.0.0.1', 1), timeout=1)", "Connection refused",
         NOT_PERMITTED),
        ("import socket; socket.socket(2, 2).sendto(b'x', ('8.8.8.8', 53))", "Network is unreachable",
         NOT_PERMITTED),
        ("import socket; socket.socket(1).connect('/run/x')", "No such file", NOT_PERMITTED),
        ("open('/usr/x', 'w')", "Read-only file system", NOT_TO_READ),
        ("open('/x', 'w')", "Read-only file system", NOT_TO_READ),
        ("open(__file__, 'a')", "Error: [Errno", NOT_TO_READ),
        ("open('/dev/shm/x', 'w')", "Read-only file system", NOT_TO_READ),
        (f"open({__file__!r})", "No such file", NOT_TO_READ),
        ("open('/etc/passwd')", "No such file", NOT_TO_READ),
        ("open('/proc/1/environ')", "Error: [Errno", NOT_TO_READ),
        ("import os; os.truncate('/usr/bin/env', 0)", "Error: [Errno", NOT_TO_READ),
        ("import os; os.chmod('/usr/bin/env', 0)", "Read-only file system", NOT_PERMITTED),
        ("import os; os.utime('/usr/bin/env', (0, 0))", "Error: [Errno", NOT_PERMITTED),
        ("x = bytearray(1 << 30)", "MemoryError", "MemoryError"),
        ("open('x', 'wb').write(bytes(100 << 20))", "File too large", "File too large"),
        ("import os; os.memfd_create('x')", NOT_PERMITTED, NOT_PERMITTED),
        ("import os; os.kill(1, 9); os.setuid(0)", NOT_PERMITTED, NOT_PERMITTED),
        ("import resource as r; r.setrlimit(r.RLIMIT_AS, (-1, -1))", "not allowed to raise",
         "not allowed to raise"),
    ],
)  # fmt: skip
def test_what_the_kernel_refuses(kind: SandboxKind, program: str, said: str, by_landlock: str) -> None:
    outcome = run(program, SHORT, kind)
    assert outcome.code == 1
    assert (by_landlock if kind == "landlock" else said) in outcome.output


FULL = "for n in range(9):\n f = open(f'{n}', 'wb', 0)\n f.write(bytes(20 << 20))\n"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import os, time; os.close(1); os.close(2); time.sleep(60)", "more than 2 s"),
        ("while True: print('x' * 10_000)", "more than 1 MiB of output"),
    ],
)  # fmt: skip
def test_what_is_watched(kind: SandboxKind, program: str, said: str) -> None:
    outcome = run(program, SHORT, kind)
    assert (outcome.code, outcome.stopped) == (None, said)


def test_a_folder_has_an_end(kind: SandboxKind) -> None:
    """In memory by bubblewrap; by Landlock watched, with what is removed but open, and nested too deep."""
    full = run(f"{FULL}import time; time.sleep(1)", SHORT, kind)
    if kind == "bubblewrap":
        assert "No space left" in full.output
        return
    hidden = f"import os, time\nheld = []\n{FULL} os.remove(f'{{n}}')\n held.append(f)\ntime.sleep(1)"
    nested = "import os\nwhile True:\n os.mkdir('d' * 200)\n os.chdir('d' * 200)"
    before = {*Path(tempfile.gettempdir()).glob("limo-ablate-*/work")}
    for outcome in (full, run(hidden, SHORT, kind), run(nested, SHORT, kind)):
        assert outcome.stopped == "more than 64 MiB or 10,000 files"
    assert {*Path(tempfile.gettempdir()).glob("limo-ablate-*/work")} <= before, "they are removed"


def test_processor_time_is_limited(kind: SandboxKind) -> None:
    outcome = run("while True: pass", SHORT, kind)
    assert outcome.code is None
    assert outcome.stopped in (
        "more than 1 s of processor time",
        "more than 2 s",
    )  # wall time, where it is busy
    deaf = "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"
    assert run(deaf, SHORT, kind).code != 0, "killed a second later"


DAEMON = "import os, time\nif not os.fork():\n os.setsid()\n if not os.fork(): time.sleep(9)\n os._exit(0)"
FORKS = "import os, time\nfor n in range(200):\n if not os.fork():\n  time.sleep(1)\n  os._exit(0)\n"
MEMORY = (
    "import os, time\nfor _ in range(8):\n if not os.fork():\n  x = b'x' * (90 << 20)\n  time.sleep(9)\n"
    "time.sleep(9)"
)


def test_forks_are_counted_and_daemons_end_with_the_program() -> None:
    if not works("bubblewrap"):
        pytest.skip("bubblewrap is missing, or not allowed here")
    assert "Resource temporarily unavailable" in run(FORKS, replace(SHORT, memory=2048)).output
    assert run(MEMORY, replace(SHORT, seconds=5)).stopped == "more than 256 MiB"
    assert run(f"{DAEMON}\nprint('done')", SHORT).output == "done\n"
    assert not [one for one in Path("/proc").glob("[0-9]*/cmdline") if b"/task/inside.py" in _read(one)]


def test_by_landlock_there_is_one_process_and_threads() -> None:
    if not works("landlock"):
        pytest.skip("Landlock is missing here")
    for program in (FORKS, MEMORY, DAEMON, "import subprocess; subprocess.run(['true'])"):
        assert NOT_PERMITTED in run(program, SHORT, "landlock").output
    usual = (
        "import asyncio, os, tempfile, threading\n"
        "one = threading.Thread(target=print, args=(asyncio.run(asyncio.sleep(0, 'loop')),))\n"
        "one.start(); one.join()\n"
        "tempfile.TemporaryFile().write(b'x'); os.mkdir('d'); open('d/x', 'w'); os.rename('d/x', 'y')\n"
        "print(sorted(os.listdir()))"
    )
    assert run(usual, SHORT, "landlock").output == "loop\n['d', 'y']\n"
    threads = (
        "import threading, time\nfor _ in range(99): threading.Thread(target=time.sleep, args=(1,)).start()"
    )
    assert run(threads, replace(SHORT, memory=2048), "landlock").stopped == "more than 64 processes"


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # it has ended
        return b""


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (
            "bubblewrap",
            "code in bubblewrap, which is missing: apt install bubblewrap; or .*sandbox=landlock",
        ),
        ("landlock", "this kernel has no Landlock 3 or later; it takes x86_64 and Linux 6.2"),
    ],
)
def test_without_its_sandbox_it_is_refused_before_anything_runs(
    kind: SandboxKind, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing takes the place of the other in silence."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(confined, "landlock_version", lambda: 0)
    sandbox.check_sandbox.cache_clear()
    with pytest.raises(UserError, match=rf"^eval\.benchmarks\.own\.grader=code.*{said}"):
        check_grader(Grading("code", GraderOptions(sandbox=kind)), "eval.benchmarks.own")
    sandbox.check_sandbox.cache_clear()


def test_the_sandbox_is_in_the_key_where_it_is_not_the_default() -> None:
    assert "grader_options" not in key_inputs(Grading("code"))
    chosen = json_default(key_inputs(Grading("code", GraderOptions(sandbox="landlock")))["grader_options"])
    assert chosen["sandbox"] == "landlock"
    assert "sandbox" not in json_default(GraderOptions(memory=64))
