"""Where the contract of a launcher is tested: what a study's user, and the machines' owner, do there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from limo_ablate.core.marked_processes import RUNNER_MARK
from limo_ablate.sweep.launchers.slurm_script import job_name
from limo_ablate.sweep.ledger.lease import RUNNERS
from tests.forked import Process
from tests.ray_cluster import HOSTS, RayCluster
from tests.slurm_cluster import Cluster
from tests.sweep.sweeping import Sweeping
from tests.waiting import until

HERE = Path(__file__).parent


@dataclass
class Place(Sweeping):
    """This machine, where one sweep runs the trials."""

    follows = False
    """Whether the sweep goes on when the owner wants the trials' machines."""
    survives = False
    """Whether it goes on when these are gone."""
    lines = re.compile("by ")
    """What `status` says of the machines."""

    def interrupt(self, runner: Process) -> None:
        """The user ends the study: by Ctrl-C, and by the command that this names for what goes on."""
        runner.send_signal(signal.SIGINT)

    def preempt(self, runner: Process) -> None:
        """The owner wants the machines back, and asks for that."""
        runner.terminate()

    def lose(self, runner: Process) -> None:
        """The machine that trials run on is gone."""
        runner.kill()

    def marks(self) -> set[str]:
        """What is in the environment of all that runners have started."""
        return {path.stem for path in (self.folder / RUNNERS).glob("*.json")}

    def settled(self) -> Counter[str]:
        """The states of rows, once nothing runs any more."""
        return Counter(row.state.name for row in self.rows())

    def close(self) -> None:
        """What was lost is there again, and nothing runs."""


@dataclass
class OnSlurm(Place):
    """A job for each trial."""

    cluster: Cluster | None = None
    follows = survives = True
    lines = re.compile(r"  job \d+_0 RUNNING on \S+  log: ")

    def _drive(self, *arguments: str) -> Process:
        command = [sys.executable, str(HERE / "slurm_drive.py"), "sweep", *arguments, "launch=slurm"]
        settings = ["launch.slurm.workers=2", "launch.slurm.cpus_per_task=1", "launch.grace_seconds=5"]
        own = {"PYTHONPATH": f"{HERE.parent}:{HERE.parents[2]}", "JOBS": "sweep_jobs"}
        self.runners.append(Subprocess([*command, *settings], os.environ | own, self.root / "output"))
        return self.runners[-1]

    def interrupt(self, runner: Process) -> None:
        runner.send_signal(signal.SIGINT)
        runner.wait()
        ending = f"scancel --name={job_name(self.folder)}"
        assert ending in runner.output()
        subprocess.run(ending.split(), check=True)

    def settled(self) -> Counter[str]:
        """A job that was cancelled gives its trial back before it ends."""
        until(lambda: not self._jobs())
        return super().settled()

    def preempt(self, runner: Process) -> None:
        for job in self._jobs():
            subprocess.run(["scontrol", "requeue", job], check=True)

    def lose(self, runner: Process) -> None:
        for job in self._jobs():
            subprocess.run(["scancel", "--full", "--signal=KILL", job], check=True)

    def _jobs(self) -> list[str]:
        assert self.cluster is not None
        return [job for job, state in map(str.split, self.cluster.jobs()) if state == "RUNNING"]

    def close(self) -> None:
        assert self.cluster is not None
        self.cluster.clear()


class Subprocess(Process):
    """An interpreter of its own, which Slurm's jobs can be started from again."""

    def __init__(self, command: list[str], environment: dict[str, str], output: Path) -> None:
        self._output = output
        with output.open("wb") as file:
            self._process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    def output(self) -> str:
        return self._output.read_text()


@dataclass
class OnRay(Place):
    """Two nodes, with a directory each; the sweep is on neither."""

    cluster: RayCluster | None = None
    survives = True
    lines = re.compile(r"  node 127\.0\.0\.[23] \(\w{8}, 2 CPU, 2 GPU\): L1-size1-s0\n")

    def start(self, *extra: str) -> Process:
        assert self.cluster is not None
        where = (f"launch.ray.address='{self.cluster.address}'", "launch.ray.folder='$RAY_TEST_NODE'")
        return super().start("launch=ray", *where, "launch.slots=null", *extra)

    @property
    def notes(self) -> Path:
        assert self.cluster is not None
        return self.cluster.jobs

    def lose(self, runner: Process) -> None:
        assert self.cluster is not None
        self.cluster.kill_node(HOSTS[1])

    def close(self) -> None:
        assert self.cluster is not None
        for path in self.cluster.jobs.iterdir():
            path.unlink()
        for host in HOSTS:
            if host not in self.cluster.nodes:
                self.cluster.start_node(host)


def marked(marks: set[str]) -> list[int]:
    """The live processes that runners with these marks have started, on whatever machine."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(RUNNER_MARK) in marks and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def all_gone(marks: set[str]) -> None:
    until(lambda: not marked(marks))
