"""A training on several machines: the trial's main process starts an `accelerate launch` on each of them.

The machines share a file system: environment, tokens, base model and weights have the same paths on all.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
from pathlib import Path
from shutil import which

from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.core.python import environment, python

SRUN = "srun --nodes=1 --ntasks=1 --overlap --cpu-bind=none --nodelist={host} sh -c"
"""Starts a shell command line on a machine of the Slurm allocation that the trial runs in."""
FORWARDED = ("HF_", "NCCL_", "GLOO_", "TORCH_", "PYTORCH_", "PYTHONPATH", "PYTHONSAFEPATH", "LIMO_ABLATE_")
"""Beginnings of the names of environment variables that all machines get."""


def check_nodes(hardware: HardwareConfig) -> None:
    """Raises UserError if the machines' names are unknown, or the command that starts them is missing."""
    hosts_of(hardware)
    command = shlex.split(hardware.remote or SRUN)[0]
    if which(command) is None:
        raise UserError(
            f"hardware.remote: `{command}`, which starts the processes on other machines, is not installed"
        )


def hosts_of(hardware: HardwareConfig) -> tuple[str, ...]:
    """The names of the `hardware.nodes` machines; raises UserError if they can't be found out."""
    if hardware.hosts is not None:
        return hardware.hosts
    allocated = os.environ.get("SLURM_JOB_NODELIST")
    if allocated is None:
        raise UserError(
            f"hardware.nodes={hardware.nodes}: not inside a Slurm allocation; start the trial in one "
            "(sbatch, salloc), or set hardware.hosts and hardware.remote"
        )
    if which("scontrol") is None:
        raise UserError(
            f"hardware.nodes={hardware.nodes}: `scontrol`, which names the machines of the Slurm allocation, "
            "is not installed here; set hardware.hosts and hardware.remote"
        )
    names = subprocess.run(
        ["scontrol", "show", "hostnames", allocated], capture_output=True, text=True, check=True
    ).stdout.split()
    if len(names) < hardware.nodes:
        raise UserError(
            f"hardware.nodes={hardware.nodes}: the Slurm allocation has only {len(names)} machines"
        )
    return tuple(names[: hardware.nodes])


def node_commands(hardware: HardwareConfig, job_file: Path, port: int) -> list[list[str]]:
    """The command for each machine that starts its ranks; all ranks connect to `port` of the first."""
    hosts = hosts_of(hardware)
    own = ["env", f"PYTHONPATH={environment()['PYTHONPATH']}"]
    commands = []
    for number, host in enumerate(hosts):
        node = python("-m", "limo_ablate.model.train.node")
        launch = accelerate_launch(hardware, job_file, number, hosts[0], port)
        line = f"cd {shlex.quote(str(Path.cwd()))} && exec {shlex.join([*own, *node, *launch])}"
        remote = (hardware.remote or SRUN).replace("{host}", host)
        commands.append([*shlex.split(remote), line])
    return commands


def node_environment(hardware: HardwareConfig) -> bytes:
    """The variables that all machines get, as a line for the standard input of each command: HF_TOKEN is
    among them, and a command line can be read by everyone on its machine."""
    variables = {key: value for key, value in sorted(environment().items()) if key.startswith(FORWARDED)}
    variables |= device_variables(hardware)
    return json.dumps(variables).encode() + b"\n"


def device_variables(hardware: HardwareConfig) -> dict[str, str]:
    """Environment variables from which Accelerate and DeepSpeed know a rank's device."""
    if hardware.device == "cuda":
        return {"ACCELERATE_USE_CPU": "false"}
    # With "true", Accelerate would ignore DeepSpeed's plugin and train with DDP.
    return {"ACCELERATE_USE_CPU": str(hardware.strategy != "zero3").lower(), "DS_ACCELERATOR": "cpu"}


def accelerate_launch(
    hardware: HardwareConfig, job_file: Path, number: int, main_host: str, port: int
) -> list[str]:
    """Accelerate's launcher for machine `number`, with every option set, so that no user's defaults apply."""
    # `--cpu` would run one process whatever `--num_processes` says: gloo ranks too need `--multi_gpu`.
    settings = {
        "num_machines": hardware.nodes,
        "machine_rank": number,
        "num_processes": hardware.processes,
        "main_process_ip": main_host,
        "main_process_port": port,
        "mixed_precision": hardware.precision,
        "dynamo_backend": "no",
        "gpu_ids": "all",
        "num_cpu_threads_per_process": hardware.threads,
    }
    options = [word for key, value in settings.items() for word in (f"--{key}", str(value))]
    launcher = python("-m", "accelerate.commands.launch", "--multi_gpu", "--same_network")
    return [*launcher, *options, "-m", "limo_ablate.model.train.worker", str(job_file)]


def free_port() -> int:
    """A free port of this machine, which should be the first host."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])
