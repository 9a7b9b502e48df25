"""Runs code of others apart from this machine: by bubblewrap, without network, in an empty folder.

The code sees the system's and Python's files, read-only, and a temporary folder in memory; it has namespaces
of its own for processes, users and the network. Of each process, processor time, memory, and the size of
files are limited by the kernel. This process watches all of them together: their number, memory, output and
wall time. When the program ends or is over a limit, all its processes are ended, daemons too, since they end
with the first process of their namespace.

It does not protect against faults of the kernel. Docker and Ubuntu 24.04 may forbid namespaces:
`check_sandbox` tries a program before anything is trained.
"""

from __future__ import annotations

import os
import platform
import secrets
import selectors
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from limo_ablate.core.errors import UserError
from limo_ablate.core.python import python

FIRST_USER = 1_000_000_000
OWN = 8
"""More than bubblewrap's own processes."""
PROCESSES = 64
"""Largest number of processes and threads of a program."""
OUTPUT = 1 << 20
"""Bytes that it may print."""
FILES = 64 << 20
"""Bytes of its folder."""
STEP = 0.02
"""Seconds between two looks at its processes."""
UNSEEN = {
    "x86_64": (0xC000003E, (319, 447, 29, 425)),
    "aarch64": (0xC00000B7, (279, 447, 194, 425)),
}
"""Machine -> its number, and those of memfd_create, memfd_secret, shmget and io_uring_setup, which take
memory that belongs to no process."""
X32, ALLOW, REFUSE, KILL = 0x40000000, 0x7FFF0000, 0x00050001, 0x80000000
INSTALL = "apt install bubblewrap"
INSIDE_FOLDER = "/tmp"  # noqa: S108  the sandbox's own, in memory
INSIDE = """\
import os, resource, runpy, sys
user = int(sys.argv[1])
if os.getuid() == 0:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
for name, limit in zip(("NPROC", "CPU", "AS", "FSIZE", "NOFILE", "CORE"), map(int, sys.argv[2:])):
    resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (limit, limit + (name == "CPU")))
sys.argv = ["program.py"]
sys.path[:] = [*(path for path in sys.path if path), "/tmp"]
runpy.run_path("/task/program.py", run_name="__main__")
"""
"""Runs first inside, and gives up what is left of root, whose processes the kernel does not count. Limits
can't be raised again, as no capability is left."""


@dataclass(frozen=True, slots=True)
class Limits:
    seconds: float = 10.0
    """Processor time of each process; wall time is twice as much."""
    memory: int = 1024
    """MiB of all processes together."""


@dataclass(frozen=True, slots=True)
class Outcome:
    code: int | None
    """Exit code; None where a limit ended it."""
    output: str
    stopped: str = ""
    """The limit that ended it."""


def run(program: str, limits: Limits) -> Outcome:
    """Runs a Python program to its end, or to a limit."""
    with tempfile.TemporaryDirectory(prefix="limo-ablate-") as folder:
        task = Path(folder)
        task.chmod(0o755)
        (task / "program.py").write_text(program, encoding="utf-8", errors="replace")
        (task / "inside.py").write_text(INSIDE)
        (task / "filter").write_bytes(_filter())
        with (task / "filter").open("rb") as filtered:
            process = subprocess.Popen(
                _command(task, limits, filtered.fileno()), pass_fds=[filtered.fileno()],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            return _watched(process, limits)
        finally:
            _end(process)


@cache
def check_sandbox(where: str) -> None:
    """Raises UserError where bubblewrap is missing, or may not do its work here."""
    if platform.machine() not in UNSEEN:
        raise UserError(f"{where}.grader=code: there is no sandbox for {platform.machine()}")
    if shutil.which("bwrap") is None:
        raise UserError(f"{where}.grader=code runs code in bubblewrap, which is missing: {INSTALL}")
    outcome = run("print('runs')", Limits())
    if outcome.code != 0 or outcome.output.strip() != "runs":
        said = (outcome.output or outcome.stopped).strip().replace("\n", "; ")[:300]
        raise UserError(
            f"{where}.grader=code: bubblewrap can't make a sandbox here ({said}); allow unprivileged user "
            "namespaces (in Docker: --security-opt seccomp=unconfined, systempaths=unconfined), or "
            "grade on another machine"
        )


def _command(task: Path, limits: Limits, filtered: int) -> list[str]:
    prefixes = dict.fromkeys(os.path.realpath(path) for path in (sys.base_prefix, sys.prefix))
    shown = [path for path in prefixes if not path.startswith("/usr/") and path != "/usr"]
    links = [name for name in ("bin", "lib", "lib64", "sbin") if Path("/", name).exists()]
    memory = limits.memory << 20
    # an unused id for each program, since the limit on processes counts all of a user's
    user = FIRST_USER + secrets.randbelow(FIRST_USER)
    if os.getuid() == 0:
        apart = ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        apart = ["--unshare-user", *_no_more_namespaces(), "--uid", str(user), "--gid", str(user)]
    own = [user, PROCESSES, max(1, round(limits.seconds)), memory, FILES, 64, 0]
    return [
        "bwrap", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
        *apart, "--seccomp", str(filtered), "--die-with-parent", "--new-session", "--hostname", "sandbox",
        "--clearenv", "--setenv", "PATH", "/usr/bin:/bin", "--setenv", "HOME", INSIDE_FOLDER,
        "--setenv", "LANG", "C.UTF-8", "--setenv", "OMP_NUM_THREADS", "1",
        "--setenv", "OPENBLAS_NUM_THREADS", "1", "--setenv", "PYTHONDONTWRITEBYTECODE", "1",
        "--perms", "1777", "--size", str(FILES), "--tmpfs", INSIDE_FOLDER, "--ro-bind", "/usr", "/usr",
        *(word for name in links for word in _linked(name)),
        "--dir", "/etc", "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache",
        "--ro-bind-try", "/etc/alternatives", "/etc/alternatives",
        *(word for path in shown for word in _bound(path)),
        "--proc", "/proc", "--dev", "/dev", "--ro-bind", str(task), "/task",
        "--remount-ro", "/", "--remount-ro", "/dev", "--chdir", INSIDE_FOLDER,
        "--", _python(), "-I", "/task/inside.py", *map(str, own),
    ]  # fmt: skip


def _filter() -> bytes:
    """A seccomp program that refuses `UNSEEN` and calls by the numbers of other architectures."""
    arch, numbers = UNSEEN[platform.machine()]
    load, equal, above, leave = 0x20, 0x15, 0x35, 0x06
    last = len(numbers) + 2
    program = [
        (load, 0, 0, 4), (equal, 1, 0, arch), (leave, 0, 0, KILL), (load, 0, 0, 0),
        (above, last - 1, 0, X32),
        *((equal, last - 2 - place, 0, number) for place, number in enumerate(numbers)),
        (leave, 0, 0, ALLOW), (leave, 0, 0, REFUSE),
    ]  # fmt: skip
    return b"".join(struct.pack("HBBI", *one) for one in program)


def _bound(path: str) -> list[str]:
    """With parents that every user may pass, as those that bubblewrap makes are not."""
    parents = [word for parent in [*Path(path).parents][-2::-1] for word in ("--dir", str(parent))]
    return [*parents, "--ro-bind", path, path]


def _linked(name: str) -> tuple[str, ...]:
    path = Path("/", name)
    if path.is_symlink():
        return ("--symlink", str(path.readlink()), str(path))
    return ("--ro-bind", str(path), str(path))


def _python() -> str:
    """The interpreter of this environment, with its packages."""
    return str(Path(os.path.realpath(sys.prefix)) / "bin" / Path(python()[0]).name)


@cache
def _no_more_namespaces() -> tuple[str, ...]:
    """Of bubblewrap 0.8 and later."""
    shown = subprocess.run(["bwrap", "--help"], capture_output=True, text=True, check=False)
    return ("--disable-userns",) if "--disable-userns" in shown.stdout + shown.stderr else ()


def _watched(process: subprocess.Popen[bytes], limits: Limits) -> Outcome:
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    until, output = time.monotonic() + 2 * limits.seconds, bytearray()

    def outcome(stopped: str = "") -> Outcome:
        code = None if stopped else process.wait()
        if code == 128 + signal.SIGXCPU:
            code, stopped = None, f"more than {max(1, round(limits.seconds))} s of processor time"
        return Outcome(code, output.decode("utf-8", "replace"), stopped)

    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if selector.select(STEP):
                part = os.read(process.stdout.fileno(), 1 << 16)
                output += part
                if not part and process.poll() is not None:
                    return outcome()
                if not part:
                    time.sleep(STEP)  # it closed its output, and runs on
            if len(output) > OUTPUT:
                return outcome(f"more than {OUTPUT >> 20} MiB of output")
            if time.monotonic() > until:
                return outcome(f"more than {2 * limits.seconds:g} s")
            if stopped := _over(process.pid, limits):
                return outcome(stopped)


def _over(pid: int, limits: Limits) -> str:
    """The limit that the processes below `pid` are over together."""
    found, pages, threads = [pid], 0, 0
    for one in found:
        with suppress(OSError, ValueError, IndexError):  # it has ended meanwhile
            base = Path("/proc", str(one))
            pages += int((base / "statm").read_text().split()[1])
            threads += sum(1 for _ in (base / "task").iterdir())
            found += _children(one)
        if threads > PROCESSES + OWN:
            return f"more than {PROCESSES} processes"
    return (
        f"more than {limits.memory} MiB" if pages * os.sysconf("SC_PAGE_SIZE") > limits.memory << 20 else ""
    )


def _children(pid: int) -> list[int]:
    lists = [(task / "children").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return [int(child) for children in lists for child in children.split()]


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kills the first process of the namespace, and with it all others; and bubblewrap."""
    if process.poll() is None:
        for child in _children(process.pid):
            with suppress(OSError):
                os.kill(child, signal.SIGKILL)
    process.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()
