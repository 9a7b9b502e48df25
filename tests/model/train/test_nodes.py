import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from limo_ablate.core.artifacts import Store
from limo_ablate.core.errors import TrialFailure, UserError
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.train.launch import train
from limo_ablate.model.train.nodes import check_nodes, hosts_of, node_commands, node_environment
from tests.conftest import ROOT
from tests.model.train.test_launch import ranks_of, workers_of
from tests.model.train.test_sharding import FSDP2, assert_same, trained
from tests.quick_ranks import quick_ranks
from tests.tiny_models import CPU, TRAIN, TWO_RANKS, made_base, made_tokens
from tests.waiting import until

HERE_TWICE = replace(
    FSDP2, nodes=2, hosts=("127.0.0.1", "127.0.0.1"), remote="env GLOO_SOCKET_IFNAME=lo sh -c"
)
"""Two machines that are both this one."""
GPUS = replace(TWO_RANKS, device="cuda", processes=16, strategy="fsdp2", precision="bf16", threads=4, nodes=2)
LAUNCH = (
    "PYTHON -P -m limo_ablate.model.train.node PYTHON -P -m accelerate.commands.launch --multi_gpu "
    "--same_network "
    "--num_machines 2 --machine_rank 1 --num_processes 16 --main_process_ip a1 --main_process_port 4321 "
    "--mixed_precision bf16 --dynamo_backend no --gpu_ids all --num_cpu_threads_per_process 4 "
    "-m limo_ablate.model.train.worker 'the job.json'"
)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """No variable of this process is passed on; the beginning of the command line."""
    for name in [*os.environ]:
        if name.startswith(("HF_", "NCCL_", "GLOO_", "TORCH_", "PYTORCH_", "PYTHONPATH", "LIMO_ABLATE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NCCL_DEBUG", "WARN")
    monkeypatch.setenv("HF_TOKEN", "hf_of_this_user")
    monkeypatch.chdir(tmp_path)
    return f"cd {tmp_path} && exec env PYTHONPATH={ROOT} "


def commands(hardware: HardwareConfig) -> list[list[str]]:
    made = node_commands(hardware, Path("the job.json"), 4321)
    return [[word.replace(sys.executable, "PYTHON") for word in command] for command in made]


def test_over_ssh_the_command_is_one_shell_line(plain: str) -> None:
    hardware = replace(GPUS, hosts=("a1", "a2"), remote="ssh -o BatchMode=yes {host}")
    first, second = commands(hardware)
    assert second == ["ssh", "-o", "BatchMode=yes", "a2", plain + LAUNCH]
    assert first[:4] == ["ssh", "-o", "BatchMode=yes", "a1"]
    assert first[4] == (plain + LAUNCH).replace("--machine_rank 1", "--machine_rank 0")


def test_variables_come_by_standard_input_and_are_on_no_command_line(plain: str, tmp_path: Path) -> None:
    """Every user of a machine can read its command lines."""
    hardware = replace(GPUS, hosts=("a1", "a2"), remote="ssh {host}")
    sent = node_environment(hardware)
    own = {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1", "ACCELERATE_USE_CPU": "false"}
    assert json.loads(sent) == {"NCCL_DEBUG": "WARN", "HF_TOKEN": "hf_of_this_user", **own}
    code = "import os; print(os.environ['HF_TOKEN'], os.environ['NCCL_DEBUG'])"
    command = [sys.executable, "-m", "limo_ablate.model.train.node", sys.executable, "-c", code]
    bare = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen(command, env=bare, stdin=-1, stdout=-1) as node:
        assert node.stdin
        assert node.stdout
        node.stdin.write(sent)
        node.stdin.flush()
        assert node.stdout.read() == b"hf_of_this_user WARN\n"
    with subprocess.Popen(command, env=bare, stdin=subprocess.DEVNULL) as orphan:
        assert orphan.wait() == 1


def test_in_a_slurm_allocation_srun_starts_it(
    plain: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scontrol = tmp_path / "scontrol"
    scontrol.write_text('#!/bin/sh\n[ "$*" = "show hostnames a[1-3]" ] && printf "a1\\na2\\na3\\n"\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("SLURM_JOB_NODELIST", "a[1-3]")
    assert commands(GPUS)[1] == [
        "srun", "--nodes=1", "--ntasks=1", "--overlap", "--cpu-bind=none", "--nodelist=a2", "sh", "-c",
        plain + LAUNCH,
    ]  # fmt: skip
    with pytest.raises(UserError, match=r"hardware.nodes=4: the Slurm allocation has only 3 machines"):
        hosts_of(replace(GPUS, nodes=4))


def test_machines_that_nobody_named_are_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_NODELIST", raising=False)
    with pytest.raises(UserError, match=r"hardware.nodes=2: not inside a Slurm allocation"):
        check_nodes(GPUS)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("SLURM_JOB_NODELIST", "a[1-3]")
    with pytest.raises(UserError, match=r"`scontrol`, .* is not installed here"):
        check_nodes(GPUS)
    with pytest.raises(UserError, match=r"hardware.remote: `shh`, .* is not installed"):
        check_nodes(replace(GPUS, hosts=("a1", "a2"), remote="shh {host}"))
    with pytest.raises(UserError, match=r"hardware.hosts names 1 machines, but hardware.nodes=2"):
        replace(GPUS, hosts=("a1",), remote="ssh {host}")
    with pytest.raises(UserError, match=r"hardware.hosts needs hardware.remote"):
        replace(GPUS, hosts=("a1", "a2"))


@pytest.mark.skipif(sys.platform != "linux", reason="the ranks are looked for in /proc")
def test_two_machines_have_the_curve_of_one_process_and_one_that_dies_ends_all(tmp_path: Path) -> None:
    """What they have done, ranks of one machine go on with."""
    store = Store(tmp_path)
    base = made_base(store)
    config = replace(TRAIN, steps=30, checkpoint_seconds=0.0, learning_rate=1e-4)

    def kill(row: dict[str, Any]) -> None:
        if row["step"] == 8:
            os.kill(node_of(ranks_of(tmp_path)[1]), signal.SIGKILL)

    with pytest.raises(TrialFailure, match="node 1 of 2"):
        train(store, made_tokens(store, base), base, config, HERE_TWICE, kill)
    until(lambda: workers_of(tmp_path) == {})  # they end with what started them, one by one
    steps: list[int] = []
    with quick_ranks():
        tokens = made_tokens(store, base)
        weights = train(store, tokens, base, config, FSDP2, lambda row: steps.append(row["step"]))
    assert steps[0] > 6, "it goes on from its checkpoint"
    assert_same(trained(store, CPU, config).path, weights.path)


def node_of(rank: int) -> int:
    """The process that holds all of a rank's machine."""
    launcher = int(Path(f"/proc/{rank}/stat").read_text().split()[3])
    return int(Path(f"/proc/{launcher}/stat").read_text().split()[3])
