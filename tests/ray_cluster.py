"""A real Ray cluster of two "nodes" on this machine, for tests that run with CI_RAY=1.

The nodes have addresses of their own (127.0.0.2 and .3; Ray rewrites 127.0.0.1), two CPUs and two GPUs that
are none, and a directory each, which `$RAY_TEST_NODE` names there: nothing is shared but what a test's jobs
note. Everything a node starts carries its directory in its environment, by which the node is killed whole.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from limo_ablate.core.marked_processes import find_marked
from tests.waiting import until

ROOT = Path(__file__).parents[1]
ENVIRONMENT = ROOT / ".ray"
"""Where `make ray-env` installs Ray."""
MARK = "RAY_TEST_NODE"
HOSTS = ("127.0.0.2", "127.0.0.3")
OBJECTS = 100 * 2**20
"""Bytes of a node's object store: Ray would take a third of the machine's memory."""
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SCHEDULER_EVENTS": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
}


@dataclass
class RayCluster:
    folder: Path
    """Short, for the paths of sockets are."""
    modules: str
    """PYTHONPATH of the nodes."""
    port: int = field(default_factory=lambda: _free_port())
    client_port: int = field(default_factory=lambda: _free_port())
    nodes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"{HOSTS[0]}:{self.port}"

    @property
    def jobs(self) -> Path:
        """Where jobs on all nodes note what they do, for a test to see."""
        return self.folder / "jobs"

    def directory(self, host: str) -> Path:
        """The node's own."""
        return self.folder / host

    def start_node(self, host: str, *, cpus: int = 2, gpus: int = 2) -> None:
        while not self._starts(host, cpus, gpus):  # a busy machine takes longer than the 30 s that Ray waits
            self.kill_node(host)

    def _starts(self, host: str, cpus: int, gpus: int) -> bool:
        self.directory(host).mkdir(exist_ok=True)
        head = [f"--port={self.port}", f"--ray-client-server-port={self.client_port}"]
        head += ["--head", f"--temp-dir={self.folder}/ray", "--include-dashboard=false"]
        where = head if host == HOSTS[0] else [f"--address={self.address}"]
        own = {MARK: str(self.directory(host)), "STUDY_FOLDER": str(self.jobs), "PYTHONPATH": self.modules}
        command = [
            sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", "--block", *where,
            f"--node-ip-address={host}",
            f"--num-cpus={cpus}", f"--num-gpus={gpus}", f"--object-store-memory={OBJECTS}",
            "--disable-usage-stats",
        ]  # fmt: skip
        started = self.folder / f"{host}.log"
        with started.open("wb") as log:
            self.nodes[host] = subprocess.Popen(
                command, env=os.environ | QUIET | own, stdout=log, stderr=log, start_new_session=True
            )
        until(lambda: "Ray runtime started" in started.read_text() or self.nodes[host].poll() is not None)
        assert self.nodes[host].poll() is None or "timed out during startup" in started.read_text(), (
            started.read_text()
        )
        return self.nodes[host].poll() is None

    def processes(self, host: str) -> list[int]:
        """All that the node has started: Ray's own are in its session, and hide their environment."""
        marked = find_marked(str(self.directory(host)), variable=MARK)
        return [*marked, *(pid for pid in psutil.pids() if _session(pid) == self.nodes[host].pid)]

    def kill_node(self, host: str) -> None:
        """As when the machine is switched off."""
        while found := self.processes(host):
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.nodes[host].wait()
        del self.nodes[host]

    def stop(self) -> None:
        for host in [*self.nodes]:
            self.kill_node(host)


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[RayCluster]:
    if not os.environ.get("CI_RAY"):
        pytest.skip("CI_RAY=1 runs the tests on a Ray cluster")
    if ENVIRONMENT.is_dir():
        sys.path.append(str(ENVIRONMENT))
    if find_spec("ray") is None:
        pytest.skip("Ray is not installed: make ray-env")
    with pytest.MonkeyPatch.context() as patch:
        parts = [os.environ.get("PYTHONPATH"), *([str(ENVIRONMENT)] if ENVIRONMENT.is_dir() else [])]
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, parts)))  # of sweeps and nodes, too
        with started() as cluster:
            yield cluster


@contextmanager
def started(hosts: Sequence[str] = HOSTS, *, cpus: int = 2, gpus: int = 2) -> Iterator[RayCluster]:
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    parts = [str(ROOT), str(ROOT / "tests" / "sweep"), os.environ.get("PYTHONPATH")]
    cluster = RayCluster(folder, os.pathsep.join(filter(None, parts)))
    cluster.jobs.mkdir()
    try:
        for host in hosts:
            cluster.start_node(host, cpus=cpus, gpus=gpus)
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _session(pid: int) -> int | None:
    try:
        return None if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE else os.getsid(pid)
    except (psutil.Error, ProcessLookupError):
        return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOSTS[0], 0))
        return int(probe.getsockname()[1])
