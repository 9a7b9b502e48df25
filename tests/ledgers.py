"""Places where a ledger can be, each of which can go away for a while; shared by the tests of the sweep."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Timer

from limo_ablate.study.design import Block, Study
from limo_ablate.study.planned import PlannedTrial, planned_trials
from limo_ablate.sweep.ledger.ledger import Ledger
from limo_ablate.sweep.ledger.parameters import space
from tests.postgres import Postgres

JOBS = Path(__file__).parent / "sweep" / "ledger" / "ledger_jobs.py"
METRICS = {
    "scores": {"mini": {"accuracy": 0.25, "stderr": 0.05}, "mini/hard": {"accuracy": 0.0}},
    "total_seconds": 12.5,
    "artifacts": {"weights": {"key": "w1", "digest": "d1"}},
    "inputs": {"files": {}, "versions": {}},
    "finished": "2026-01-01T00:00:00+00:00",
}
AWAY = 2.0
"""Seconds for which a storage is away; the patience is longer."""
NAMES = count()


@dataclass(frozen=True)
class Place:
    """Where a ledger is; a test has a study of its own there."""

    url: str | Path
    name: str
    away: Callable[[], object]
    """Takes the storage away, for AWAY seconds."""

    def open(self, patience: float = 60.0) -> Ledger:
        """Anew each time, as another process would."""
        return Ledger(self.url, self.name, patience)

    def process(self, runner: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(JOBS), str(self.url), self.name, runner]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, **pipes)  # type: ignore[call-overload, no-any-return]


class Proxy:
    """`limo-ablate ledger serve`, which can go away."""

    def __init__(self, url: str) -> None:
        self.served = url
        self.port = 20000 + os.getpid() % 20000
        self.url = f"grpc://localhost:{self.port}"
        self.start()

    def start(self) -> None:
        words = ("ledger", "serve", self.served, "--port", str(self.port))
        self.process = subprocess.Popen([sys.executable, "-m", "limo_ablate", *words])

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def lock_journal(path: Path) -> None:
    """Another process holds the journal; it is killed."""
    Timer(AWAY, hold(path).kill).start()


def hold(path: Path) -> subprocess.Popen[bytes]:
    """A process that holds the journal until it is killed."""
    code = f"import fcntl; f = open({str(path)!r}, 'r+b'); fcntl.flock(f, 2); print(flush=True); input()"
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout
    holder.stdout.readline()
    return holder


def lock_sqlite(path: Path) -> None:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("BEGIN EXCLUSIVE")
    Timer(AWAY, connection.close).start()


def restart(server: Postgres | Proxy) -> None:
    server.stop()
    Timer(AWAY, server.start).start()


def grid(**axes: tuple[object, ...]) -> list[PlannedTrial]:
    named = {f"select.{axis}": levels for axis, levels in axes.items()}
    return planned_trials(Study(name="s", blocks=(Block(name="b", axes=named),), overrides=("track=none",)))


def add(ledger: Ledger, found: list[PlannedTrial], attempt: int = 1) -> list[int]:
    levels = space(ledger.rows(), found, grows=ledger.grows)
    with ledger.transaction():
        return [ledger.add(trial, attempt, levels) for trial in found]
