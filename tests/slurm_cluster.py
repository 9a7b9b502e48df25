"""A real Slurm of two "machines" on this one, from Debian's slurm-wlm and munge; for tests marked `slurm`.

All of it lies in a temporary folder, munge's key and socket too, on ports of its own, and is found by
SLURM_CONF: a Slurm that runs on the machine already is left alone. Each machine has two CPUs and two GPUs
that are none, so that Slurm deals out CUDA_VISIBLE_DEVICES. Jobs of the partition `main` are preempted by
those of `urgent`, with ten seconds of grace.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.waiting import PATIENCE, until

HOST = socket.gethostname().partition(".")[0]
NODES = (HOST, "localhost")
"""Names that mean this machine, for ranks on both "machines" meet at the first."""
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
CONFIGURATION = """\
ClusterName=limo
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
# cred_expire, at least 5 s, is also how long a requeued job waits before it may start again
AuthInfo=socket={folder}/munge.sock,cred_expire=5
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdSpoolDir={folder}/spool-%n
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/{proctrack}
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobcomp.txt
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
KillWait=10
GresTypes=gpu
PartitionName=main Nodes=ALL Default=YES State=UP PriorityTier=1 GraceTime=10
PartitionName=urgent Nodes=ALL State=UP PriorityTier=10 PreemptMode=OFF
"""
NODE = (
    "NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=1000 Gres=gpu:2\n"
)


@dataclass(frozen=True, slots=True)
class Cluster:
    folder: Path

    def run(self, *command: str) -> str:
        """A client of Slurm's; its output."""
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE).stdout

    def jobs(self, form: str = "%i %T") -> list[str]:
        """What waits or runs, a line for each task."""
        return self.run("squeue", "--noheader", "--array", f"--format={form}").splitlines()

    def history(self) -> list[dict[str, str]]:
        """Jobs that ended, as jobcomp/filetxt has them; one that was requeued has a line for each run."""
        path = self.folder / "jobcomp.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        return [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]

    def clear(self) -> None:
        """Cancels whatever is left."""
        subprocess.run(["scancel", "--me"], check=True)
        until(lambda: not self.jobs())


@pytest.fixture(scope="session")
def slurm_cluster() -> Iterator[Cluster]:
    """One in which every process of a job is signalled, as proctrack/linuxproc does."""
    with started("linuxproc") as cluster:
        yield cluster


@contextmanager
def started(proctrack: str) -> Iterator[Cluster]:
    """Skips where Slurm and munge are not installed, or their daemons may not be started."""
    missing = [name for name in PROGRAMS if _which(name) is None]
    if missing:
        pytest.skip(f"no {missing[0]} here: apt-get install slurm-wlm munge")
    if os.geteuid() != 0:
        pytest.skip("Slurm's daemons are started as root")
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # a socket's path is short
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    try:
        _configure(folder, proctrack)
        _start(folder)
        yield Cluster(folder)
        subprocess.run(["scancel", "--me", "--signal=KILL"], check=False)
    finally:
        _stop(folder)
        os.environ.pop("SLURM_CONF")
        if before is not None:
            os.environ["SLURM_CONF"] = before
        shutil.rmtree(folder, ignore_errors=True)


def _which(program: str) -> str | None:
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _configure(folder: Path, proctrack: str) -> None:
    text = CONFIGURATION.format(folder=folder, host=HOST, port=_free_port(), proctrack=proctrack)
    text += "".join(NODE.format(node=node, host=HOST, port=_free_port()) for node in NODES)
    (folder / "slurm.conf").write_text(text)
    (folder / "gres.conf").write_text("Name=gpu File=/dev/tty[0-1]\n")
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o600)
    for name in ("state", *(f"spool-{node}" for node in NODES)):
        (folder / name).mkdir()


def _start(folder: Path) -> None:
    files = {"key-file": "munge.key", "pid-file": "munged.pid", "log-file": "munged.log", "seed-file": "seed"}
    options = [f"--{option}={folder / name}" for option, name in files.items()]
    _daemon("munged", "--force", f"--socket={folder / 'munge.sock'}", *options)
    _daemon("slurmctld")
    for node in NODES:
        _daemon("slurmd", "-N", node)
    until(lambda: _idle() == len(NODES))


def _daemon(program: str, *options: str) -> None:
    path = _which(program)
    assert path is not None
    subprocess.run([path, *options], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _idle() -> int:
    form = ["sinfo", "--noheader", "--Node", "--partition=main", "--format=%T"]
    return subprocess.run(form, check=False, capture_output=True, text=True).stdout.split().count("idle")


def _stop(folder: Path) -> None:
    """Ends the daemons by their pid files: those of jobs first."""
    found = [*folder.glob("slurmd-*.pid"), folder / "slurmctld.pid", folder / "munged.pid"]
    pids = [int(path.read_text()) for path in found if path.exists()]
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    for pid in _steps(folder):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)


def _steps(folder: Path) -> list[int]:
    """What slurmd started for the steps of jobs, and the jobs' own processes: they outlive slurmd where a
    step never ended."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            name = (process / "comm").read_text()
            opened = [str(file.readlink()) for file in (process / "fd").iterdir()]
            step = name.startswith("slurmstepd") and any(o.startswith(str(folder)) for o in opened)
            environment = (process / "environ").read_bytes()
            job = b"SLURM_JOB_ID=" in environment and str(folder).encode() in environment
            if step or job:
                found.append(int(process.name))
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
