"""What is asked of Slurm, without one: scripts as they are written, how many jobs, mistakes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limo_ablate.core.errors import UserError
from limo_ablate.sweep.launchers.slurm import ARRAY, tasks_needed
from limo_ablate.sweep.launchers.slurm_jobs import SlurmJob, check_slurm, job_lines
from limo_ablate.sweep.launchers.slurm_script import Batch, job_name, join_command, parameters
from limo_ablate.trial.compose import compose

FOLDER = Path("/studies/grid")


def batch(*overrides: str) -> Batch:
    config = compose(["launch=slurm", *overrides])
    assert config.launch.slurm is not None
    return Batch(
        folder=FOLDER,
        launch=config.launch,
        hardware=(config.hardware,),
        command=join_command(FOLDER, config.launch.slurm),
    )


def script(asked: Batch, tasks: int, throttle: int) -> str:
    """As submitit writes it, which is no public function."""
    from submitit.slurm.slurm import _make_sbatch_string

    return _make_sbatch_string(
        " ".join(asked.command), asked.logs, **parameters(asked), map_count=tasks, array_parallelism=throttle
    )


GOLDEN = """\
#!/bin/bash

# Parameters
#SBATCH --account=lab
#SBATCH --array=0-11%4
#SBATCH --cpus-per-task=32
#SBATCH --gpus-per-node=8
#SBATCH --job-name={name}
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output=/studies/grid/slurm/%A_%a_0_log.out
#SBATCH --partition=a100
#SBATCH --requeue
#SBATCH --signal=TERM@90
#SBATCH --time=600

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output /studies/grid/slurm/%A_%a_%t_log.out --nodes=1 --ntasks=1 --overlap \
--cpu-bind=none {python} -P -m limo_ablate join /studies/grid --trials 1


# teardown
code=$?
job=${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID  # SLURM_JOB_ID of one of the tasks means all of them
state=$(squeue --noheader --jobs=$job --format=%T)
# interrupted (143: before it could react) by a signal, not by the end of the job: wait for resources again
case $code-$state in 130-RUNNING|143-RUNNING) exec scontrol requeue $job;; esac
exit $code"""


def test_a_trial_on_two_machines_is_one_job_on_both() -> None:
    """The runner is on the first; `limo_ablate.model.train.nodes` starts Accelerate on both, by srun."""
    asked = batch(
        "hardware=fsdp2_nodes",
        "launch.slurm.partition=a100",
        "launch.slurm.time_minutes=600",
        "launch.slurm.extra={account: lab}",
    )
    assert script(asked, 12, 4) == GOLDEN.format(name=job_name(FOLDER), python=sys.executable)


def test_a_worker_has_a_machine_of_its_own() -> None:
    lines = script(batch("launch.slurm.jobs=worker"), 2, 2).splitlines()
    assert {"#SBATCH --exclusive", "#SBATCH --mem=0", "#SBATCH --array=0-1%2"} <= set(lines)
    assert not any("cpus-per-task" in line for line in lines)
    assert any(line.endswith(f"join {FOLDER}") for line in lines)


def test_a_share_of_a_machine_can_be_asked_for() -> None:
    overrides = [
        "launch.slurm.jobs=worker",
        "launch.slurm.cpus_per_task=6",
        "launch.slurm.memory_gb=20",
        "launch.grace_seconds=7.5",
        "launch.slurm.extra={requeue: false, no-requeue: true}",
    ]
    lines = script(batch(*overrides), 1, 1).splitlines()
    assert {"#SBATCH --cpus-per-task=6", "#SBATCH --mem=20G", "#SBATCH --signal=TERM@38"} <= set(lines)
    assert "#SBATCH --no-requeue" in lines
    assert not any(line.startswith(("#SBATCH --exclusive", "#SBATCH --requeue")) for line in lines)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["launch.slurm.gpus_per_node=4", "hardware=fsdp2"], "=4: hardware=fsdp2 needs 8 GPUs of a machine"),
        (["launch.slurm.jobs=worker", "hardware=gpu1"], "set the number of GPUs of a machine"),
    ],
)
def test_too_few_gpus_are_told_before_anything_is_submitted(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parameters(batch(*overrides))


@pytest.mark.parametrize("key", ["workers", "time_minutes", "cpus_per_task", "memory_gb"])
def test_nothing_can_be_asked_for_zero_times(key: str) -> None:
    with pytest.raises(UserError, match=f"launch.slurm.{key}=0 must be at least 1"):
        batch(f"launch.slurm.{key}=0")


def test_no_slurm_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=r"there is no `sbatch` here; .* or use launch=local"):
        check_slurm("limo-grid")


def test_no_submitit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("sbatch", "squeue", "srun"):
        (tmp_path / name).touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"needs submitit: pip install 'limo-ablate\[slurm\]'"):
        check_slurm("limo-grid")


def test_a_slurm_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("sbatch", "squeue", "srun"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'squeue: error: Unable to contact' >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="Slurm does not answer here: squeue: error: Unable to contact"):
        check_slurm("limo-grid")


def test_a_study_that_never_was_in_slurm_has_nothing_to_say_of_it(tmp_path: Path) -> None:
    assert job_lines(tmp_path) == []


def test_two_folders_of_one_name_have_different_jobs(tmp_path: Path) -> None:
    assert job_name(tmp_path / "a" / "grid") != job_name(tmp_path / "b" / "grid")
    assert job_name(tmp_path / "a" / "grid").startswith("limo-grid-")


def live(running: int, pending: int) -> list[SlurmJob]:
    states = ["RUNNING"] * running + ["PENDING"] * pending
    return [SlurmJob(f"1_{i}", state, "None", "") for i, state in enumerate(states)]


@pytest.mark.parametrize(
    ("jobs", "waiting", "running", "jobs_there", "expected"),
    [
        ("trial", 12, 0, live(0, 0), 12),  # all trials, of which `workers` at a time
        ("trial", 5000, 0, live(0, 0), ARRAY),
        ("trial", 8, 4, live(4, 8), 0),  # the array holds them already
        ("trial", 2, 1, live(2, 0), 1),  # one task has not taken its trial yet
        ("trial", 1, 3, live(2, 0), 1),  # somebody else runs some too
        ("worker", 12, 0, live(0, 0), 4),
        ("worker", 2, 0, live(0, 0), 2),
        ("worker", 9, 3, live(3, 0), 1),  # one has vanished
        ("worker", 2, 3, live(2, 2), 0),  # those that wait will take them
        ("worker", 0, 3, live(1, 0), 0),
    ],
)
def test_as_many_jobs_as_there_is_work_for(
    jobs: str, waiting: int, running: int, jobs_there: list[SlurmJob], expected: int
) -> None:
    assert tasks_needed(jobs, 4, waiting, running, jobs_there) == expected


@given(st.sampled_from(["trial", "worker"]), *[st.integers(0, 20)] * 5)
def test_never_more_than_workers_at_a_time(
    jobs: str, workers: int, waiting: int, running: int, active: int, pending: int
) -> None:
    there = live(active, pending)
    tasks = tasks_needed(jobs, workers + 1, waiting, running, there)
    assert tasks <= waiting
    if tasks:  # `run_slurm` throttles a new array to what is free
        assert len(there) < workers + 1
        assert jobs == "trial" or len(there) + tasks <= workers + 1


def test_a_job_is_as_wide_as_the_widest_trial() -> None:
    asked = batch("hardware=fsdp2_nodes")
    narrow = compose(["hardware=gpu1"]).hardware
    both = Batch(
        folder=FOLDER, launch=asked.launch, hardware=(narrow, *asked.hardware), command=asked.command
    )
    assert parameters(both)["nodes"] == 2
    assert parameters(both)["gpus_per_node"] == 8
