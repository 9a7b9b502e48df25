"""Runs code of others apart from this machine: by bubblewrap, or by Landlock where that is asked for.

**bubblewrap.** The code sees the system's and Python's files, read-only, and a temporary folder in memory; it
has namespaces of its own for processes, users and the network. Of each process, processor time, memory, and
the size of files are limited by the kernel. This process watches all of them together: their number, memory,
output and wall time. When the program ends or is over a limit, all its processes are ended, daemons too,
since they end with the first process of their namespace.

**Landlock** (`confined.py`) needs no namespaces, which Docker and Ubuntu 24.04 may forbid. The code is one
process under our user, without sockets: the kernel refuses it a second one. It sees the names and sizes of
files outside, not their content. Nothing takes its place, or that of bubblewrap: verdicts of one study come
from one kind of sandbox.

Neither protects against faults of the kernel. `check_sandbox` tries a program before anything is trained.
"""

from __future__ import annotations

import os
import platform
import secrets
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from limo_ablate.core.errors import UserError
from limo_ablate.core.python import python
from limo_ablate.data.grade import confined
from limo_ablate.data.grade.grader import SandboxKind

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
INSTALL = "apt install bubblewrap"
OTHERWISE = "choose Landlock: grader_options.sandbox=landlock (one process, no sockets)"
VARIABLES = {
    "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}  # fmt: skip
"""The environment of a program."""
WORK = "work"
"""Landlock's folder to write to."""
ENTRIES = 10_000
"""Files and folders in it."""
BLOCK = 512
"""Bytes of a unit of `st_blocks`."""
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


def run(
    program: str, limits: Limits, kind: SandboxKind = "bubblewrap", given: tuple[int, ...] = ()
) -> Outcome:
    """Runs a Python program to its end, or to a limit. `given`: open files that it may read."""
    with _folder() as task:
        (task / "program.py").write_text(program, encoding="utf-8", errors="replace")
        start = _by_landlock if kind == "landlock" else _by_bubblewrap
        process = start(task, limits, given)
        try:
            return _watched(process, limits, task / WORK if kind == "landlock" else None)
        finally:
            _end(process)


@cache
def check_sandbox(where: str, kind: SandboxKind = "bubblewrap") -> None:
    """Raises UserError where this sandbox is missing, or may not do its work here."""
    what = f"{where}.grader=code"
    if platform.machine() not in UNSEEN:
        raise UserError(f"{what}: there is no sandbox for {platform.machine()}")
    if kind == "landlock":
        advice = "it takes x86_64 and Linux 6.2 or later with landlock in lsm=; grade on such a machine"
        if platform.machine() != "x86_64" or confined.landlock_version() < confined.OLDEST:
            raise UserError(f"{what}: this kernel has no Landlock {confined.OLDEST} or later; {advice}")
    else:
        advice = (
            "allow unprivileged user namespaces (in Docker: --security-opt seccomp=unconfined, "
            f"systempaths=unconfined), grade on another machine, or {OTHERWISE}"
        )
        if shutil.which("bwrap") is None:
            raise UserError(f"{what} runs code in bubblewrap, which is missing: {INSTALL}; or {OTHERWISE}")
    outcome = run("print('runs')", Limits(), kind)
    if outcome.code != 0 or outcome.output.strip() != "runs":
        said = (outcome.output or outcome.stopped).strip().replace("\n", "; ")[-300:]
        raise UserError(f"{what}: {kind} can't make a sandbox here ({said}); {advice}")


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="limo-ablate-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        try:
            shutil.rmtree(folder)
        except (OSError, RecursionError):  # a program may nest deeper than Python goes, and lock folders
            for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
                subprocess.run([*command, "--", folder], check=False, stderr=subprocess.DEVNULL)


def _by_bubblewrap(task: Path, limits: Limits, given: tuple[int, ...]) -> subprocess.Popen[bytes]:
    (task / "inside.py").write_text(INSIDE)
    (task / "filter").write_bytes(confined.filter_program(*UNSEEN[platform.machine()]))
    with (task / "filter").open("rb") as filtered:
        command = _command(task, limits, filtered.fileno())
        return _started(command, pass_fds=[filtered.fileno(), *given])


def _by_landlock(task: Path, limits: Limits, given: tuple[int, ...]) -> subprocess.Popen[bytes]:
    work = task / WORK
    work.mkdir()
    own = [max(1, round(limits.seconds)), limits.memory << 20, FILES]
    command = [
        _python(), "-I", confined.__file__, str(task / "program.py"), str(work), *map(str, own),
        *("/usr", "/bin", "/lib", "/lib64", "/sbin", "/etc/ld.so.cache", "/etc/alternatives"), *_prefixes(),
    ]  # fmt: skip
    own_variables = VARIABLES | {"HOME": str(work), "TMPDIR": str(work)}
    return _started(command, cwd=work, env=own_variables, pass_fds=given)


def _started(command: list[str], **more: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True, **more,
    )  # fmt: skip


def _command(task: Path, limits: Limits, filtered: int) -> list[str]:
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
        "--clearenv", "--setenv", "HOME", INSIDE_FOLDER,
        *(word for name, value in VARIABLES.items() for word in ("--setenv", name, value)),
        "--perms", "1777", "--size", str(FILES), "--tmpfs", INSIDE_FOLDER, "--ro-bind", "/usr", "/usr",
        *(word for name in links for word in _linked(name)),
        "--dir", "/etc", "--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache",
        "--ro-bind-try", "/etc/alternatives", "/etc/alternatives",
        *(word for path in _prefixes() for word in _bound(path)),
        "--proc", "/proc", "--dev", "/dev", "--ro-bind", str(task), "/task",
        "--remount-ro", "/", "--remount-ro", "/dev", "--chdir", INSIDE_FOLDER,
        "--", _python(), "-I", "/task/inside.py", *map(str, own),
    ]  # fmt: skip


def _prefixes() -> list[str]:
    """Folders of this environment's Python and packages outside /usr."""
    prefixes = dict.fromkeys(os.path.realpath(path) for path in (sys.base_prefix, sys.prefix))
    return [path for path in prefixes if not path.startswith("/usr/") and path != "/usr"]


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


def _watched(process: subprocess.Popen[bytes], limits: Limits, work: Path | None) -> Outcome:
    """`work`: the folder, where the kernel does not bound it."""
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    until, output = time.monotonic() + 2 * limits.seconds, bytearray()

    def outcome(stopped: str = "") -> Outcome:
        code = None if stopped else process.wait()
        if code in (128 + signal.SIGXCPU, -signal.SIGXCPU):
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
            if stopped := _over(process.pid, limits) or (_too_full(process.pid, work) if work else ""):
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


def _too_full(pid: int, work: Path) -> str:
    """What no quota of the kernel holds: the folder's files, and those that are open but removed from it."""
    unread: list[OSError] = []
    entries = size = 0
    for base, folders, files in os.walk(work, onerror=unread.append):
        entries += len(folders) + len(files)
        for name in files:
            with suppress(OSError):  # it is gone
                size += os.lstat(Path(base, name)).st_blocks * BLOCK
        if entries > ENTRIES:
            break
    with suppress(OSError):  # it has ended
        for one in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found = one.stat()
                size += found.st_blocks * BLOCK if found.st_nlink == 0 else 0
    hidden = any(not isinstance(error, FileNotFoundError) for error in unread)
    if entries > ENTRIES or size > FILES or hidden:
        return f"more than {FILES >> 20} MiB or {ENTRIES:,} files"
    return ""


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
