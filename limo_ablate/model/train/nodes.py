"""A training on several machines: an `accelerate launch` on each, which the trial's head starts and ends.

The machines share a file system: environment, tokens, base model and weights are at the same paths on all.
"""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from shutil import which

from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import HardwareConfig

SRUN = "srun --nodes=1 --ntasks=1 --overlap --cpu-bind=none --nodelist={host} sh -c"
"""How a command line is started on a machine of the Slurm allocation that the trial runs in."""
FORWARDED = ("HF_", "NCCL_", "GLOO_", "TORCH_", "PYTORCH_", "PYTHONPATH", "LIMO_ABLATE_")
"""Beginnings of the environment variables that all machines get."""


def check_nodes(hardware: HardwareConfig) -> None:
    """Raises UserError when the machines have no names, or nothing here could start them."""
    hosts_of(hardware)
    command = shlex.split(hardware.remote or SRUN)[0]
    if which(command) is None:
        raise UserError(
            f"hardware.remote: there is no `{command}` here, which would start the other machines"
        )


def hosts_of(hardware: HardwareConfig) -> tuple[str, ...]:
    """One name for each of `hardware.nodes`; raises UserError when there are not so many."""
    if hardware.hosts is not None:
        return hardware.hosts
    allocated = os.environ.get("SLURM_JOB_NODELIST")
    if allocated is None:
        raise UserError(
            f"hardware.nodes={hardware.nodes}: this is no Slurm allocation; start it in one (sbatch, "
            "salloc), or set hardware.hosts and hardware.remote"
        )
    if which("scontrol") is None:
        raise UserError(
            f"hardware.nodes={hardware.nodes}: there is no `scontrol` here, which would name the machines of "
            "the Slurm allocation; set hardware.hosts and hardware.remote"
        )
    names = subprocess.run(
        ["scontrol", "show", "hostnames", allocated], capture_output=True, text=True, check=True
    ).stdout.split()
    if len(names) < hardware.nodes:
        raise UserError(f"hardware.nodes={hardware.nodes}: the Slurm allocation has {len(names)}")
    return tuple(names[: hardware.nodes])


def node_commands(hardware: HardwareConfig, job: Path, port: int) -> list[list[str]]:
    """What the head runs for each machine; their ranks meet at `port` of the first."""
    hosts = hosts_of(hardware)
    variables = {key: value for key, value in sorted(os.environ.items()) if key.startswith(FORWARDED)}
    if hardware.device == "cpu":
        variables["ACCELERATE_USE_CPU"] = "true"
    environment = ["env", *(f"{key}={value}" for key, value in variables.items())]
    commands = []
    for number, host in enumerate(hosts):
        python = [sys.executable, "-m", "limo_ablate.model.train.node"]
        launch = accelerate_launch(hardware, job, number, hosts[0], port)
        line = f"cd {shlex.quote(str(Path.cwd()))} && exec {shlex.join([*environment, *python, *launch])}"
        remote = (hardware.remote or SRUN).replace("{host}", host)
        commands.append([*shlex.split(remote), line])
    return commands


def accelerate_launch(hardware: HardwareConfig, job: Path, number: int, main: str, port: int) -> list[str]:
    """Accelerate's launcher on machine `number`; everything is said, so that no user's defaults mix in."""
    # `--cpu` would run one process whatever is asked for: gloo ranks too are started by `--multi_gpu`.
    settings = {
        "num_machines": hardware.nodes,
        "machine_rank": number,
        "num_processes": hardware.processes,
        "main_process_ip": main,
        "main_process_port": port,
        "mixed_precision": hardware.precision,
        "dynamo_backend": "no",
        "gpu_ids": "all",
        "num_cpu_threads_per_process": hardware.threads,
    }
    options = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--same_network"]
    return [*launcher, *options, "-m", "limo_ablate.model.train.worker", str(job)]


def free_port() -> int:
    """A port that is free here; the first host should be this machine."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])
