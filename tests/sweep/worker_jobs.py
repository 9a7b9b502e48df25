"""What the tests of the fork server run in its children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def speak(*words: str) -> None:
    print(*words)
    print("to the error stream", file=sys.stderr)
    subprocess.run(["echo", "from a child"], check=True)


def fail(reason: str) -> None:
    raise ValueError(reason)


def die(number: int) -> None:
    os.kill(os.getpid(), number)


def note_environment(file: Path, *names: str) -> None:
    file.write_text(" ".join(os.environ[name] for name in names))


def imported(file: Path, module: str) -> None:
    file.write_text(str(module in sys.modules))


def leave_children(file: Path) -> None:
    """Returns while something it started goes on; its id is in `file`."""
    child = subprocess.Popen(["sleep", "1000"])
    file.write_text(str(child.pid))


def ignore_sigterm(file: Path) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    file.write_text("ready")
    time.sleep(1000)


def hang(file: Path) -> None:
    """Waits with a child for ever; both ids are in `file`."""
    child = subprocess.Popen(["sleep", "1000"])
    partial = file.with_suffix(".partial")
    partial.write_text(f"{os.getpid()} {child.pid}")
    partial.rename(file)
    time.sleep(1000)
