"""Studies over a real Slurm: both modes, preemption, jobs that are lost, an interrupted submitter."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import optuna
import pytest
import yaml
from optuna.storages.journal import JournalFileBackend, JournalStorage

from limo_ablate.core.errors import UserError
from limo_ablate.sweep.launchers.slurm_jobs import job_lines, log_of, read_submitted, submit
from limo_ablate.sweep.launchers.slurm_script import Batch, job_name
from limo_ablate.trial.compose import compose
from tests.slurm_cluster import NODES, Cluster, slurm_cluster, until
from tests.waiting import PATIENCE

__all__ = ["slurm_cluster"]

pytestmark = pytest.mark.slurm
HERE = Path(__file__).parent


@dataclass
class Sweeping:
    cluster: Cluster
    root: Path

    @property
    def folder(self) -> Path:
        return self.root / "studies" / "counting"

    def declare(self, *overrides: str, **axes: list[object]) -> None:
        shared = ["track=none", "hardware=gpu1", f"paths.studies={self.root / 'studies'}", "launch=slurm"]
        shared += ["launch.backoff_seconds=0", "launch.grace_seconds=5", "launch.slurm.cpus_per_task=1"]
        levels = {f"select.{axis}": levels for axis, levels in axes.items()}
        block = {"name": "b", "axes": levels}
        study = {"name": "counting", "overrides": [*shared, *overrides], "blocks": [block]}
        (self.root / "counting.yaml").write_text(yaml.safe_dump(study))

    def start(self, *extra: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(HERE / "slurm_drive.py"), "sweep", str(self.root / "counting.yaml"), *extra],
            env={**os.environ, "PYTHONPATH": str(HERE.parent)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *extra: str) -> tuple[int, str]:
        return self.end(self.start(*extra))

    def end(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        said, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, said

    def events(self) -> list[tuple[str, int, str, str, str]]:
        """(trial, count, Slurm job `12_3`, machine, GPUs)"""
        path = self.folder / "events"
        rows = [line.split(" ") for line in path.read_text().splitlines()] if path.exists() else []
        counts = [row for row in rows if row != ["report"]]
        return [(trial, int(count), job, node, gpus) for trial, count, job, node, gpus in counts]

    def finished(self) -> Counter[str]:
        storage = JournalStorage(JournalFileBackend(str(self.folder / "ledger.log")))
        rows = optuna.load_study(study_name="counting", storage=storage).trials
        assert not any(row.state.name in ("RUNNING", "WAITING") for row in rows)
        return Counter(row.user_attrs["cell"] for row in rows if row.state.name == "COMPLETE")

    def history(self) -> list[dict[str, str]]:
        """Ends of this study's jobs."""
        return [job for job in self.cluster.history() if job["Name"] == job_name(self.folder)]

    def assert_finished(self, trials: int) -> None:
        assert list(self.finished().values()) == [1] * trials

    def assert_counted_once(self, trials: int, to: int) -> None:
        """Every trial is finished once, and every count of it was done once: nothing was lost at a signal."""
        self.assert_finished(trials)
        counts = Counter((trial, count) for trial, count, *_ in self.events())
        assert len(counts) == trials * to
        assert set(counts.values()) == {1}


@pytest.fixture
def sweeping(slurm_cluster: Cluster, tmp_path: Path) -> Iterator[Sweeping]:
    yield Sweeping(slurm_cluster, tmp_path)
    slurm_cluster.clear()


def test_an_array_of_trials_each_with_the_gpu_it_was_given(sweeping: Sweeping) -> None:
    sweeping.declare("launch.slurm.workers=3", size=[5, 6, 7, 8])
    code, said = sweeping.run()
    assert code == 0, said
    sweeping.assert_finished(4)
    events = sweeping.events()
    assert len({job for _, _, job, _, _ in events}) == 4
    assert {node for _, _, _, node, _ in events} == set(NODES)
    assert {gpus for _, _, _, _, gpus in events} == {"0", "1"}
    submitted = read_submitted(sweeping.folder)
    assert [batch.tasks for batch in submitted] == [4]
    log = log_of(sweeping.folder, f"{submitted[0].job}_3")
    assert "counting: joined as" in log.read_text()
    assert str(log.parent) in said
    assert re.search(r"\[4/4\] 0 running, 0 waiting; jobs: ", said)
    code, said = sweeping.run()
    assert (code, len(read_submitted(sweeping.folder))) == (0, 1), said
    assert [job["JobState"] for job in sweeping.history()] == ["COMPLETED"] * 4


def test_workers_take_one_trial_after_the_other_on_all_they_have(sweeping: Sweeping) -> None:
    overrides = ["jobs=worker", "workers=2", "cpus_per_task=2", "gpus_per_node=2"]
    sweeping.declare(*(f"launch.slurm.{key}" for key in overrides), size=list(range(5, 13)))
    code, said = sweeping.run()
    assert code == 0, said
    sweeping.assert_finished(8)
    assert {(node, gpus) for *_, node, gpus in sweeping.events()} == {
        (node, gpu) for node in NODES for gpu in "01"
    }
    assert len({job for _, _, job, _, _ in sweeping.events()}) == 2
    assert [batch.tasks for batch in read_submitted(sweeping.folder)] == [2]


def test_preempted_requeued_and_signalled_jobs_go_on_where_they_were(sweeping: Sweeping) -> None:
    orders = ["random", "longest", "shortest", "pool"]
    sweeping.declare("launch.slurm.workers=4", size=[40], order=orders)
    process = sweeping.start()
    until(lambda: len({trial for trial, *_ in sweeping.events()}) == 4)
    there = [line.split() for line in sweeping.cluster.jobs("%i %N")]
    signalled, requeued = (job for job, node in there if node == NODES[0])
    sweeping.cluster.run("scancel", "--signal=TERM", signalled)
    sweeping.cluster.run("scontrol", "requeue", requeued)
    urgent = ["--partition=urgent", f"--nodelist={NODES[1]}", "--cpus-per-task=2", "--output=/dev/null"]
    sweeping.cluster.run("sbatch", *urgent, "--wrap=sleep 1")
    code, said = sweeping.end(process)
    assert code == 0, said
    sweeping.assert_counted_once(4, 40)
    assert len(read_submitted(sweeping.folder)) == 1, said  # the same jobs, that Slurm started again
    # each run of a job is in the history, as PENDING when it was requeued
    until(
        lambda: sorted(job["JobState"] for job in sweeping.history()) == ["COMPLETED"] * 4 + ["PENDING"] * 4
    )


def test_a_killed_jobs_trial_is_taken_up_by_a_new_job(sweeping: Sweeping) -> None:
    sweeping.declare("launch.slurm.workers=2", size=[40, 41])
    process = sweeping.start()
    until(sweeping.events)
    sweeping.cluster.run("scancel", "--signal=KILL", sweeping.events()[0][2])
    code, said = sweeping.end(process)
    assert code == 0, said
    sweeping.assert_finished(2)
    assert [batch.tasks for batch in read_submitted(sweeping.folder)] == [2, 1]


def test_an_interrupted_submitter_leaves_the_jobs_and_finds_them_again(sweeping: Sweeping) -> None:
    sweeping.declare("launch.slurm.workers=2", size=[40, 41, 42])
    process = sweeping.start()
    until(lambda: len({trial for trial, *_ in sweeping.events()}) == 2)
    first, name = read_submitted(sweeping.folder)[0].job, job_name(sweeping.folder)
    process.send_signal(signal.SIGINT)
    code, said = sweeping.end(process)
    assert code == 130
    assert f"to end them: scancel --name={name}" in said
    lines = job_lines(sweeping.folder)
    running = rf"  job {first}_0 RUNNING on \S+  log: {log_of(sweeping.folder, f'{first}_0')}"
    assert re.fullmatch(running, lines[0])
    assert lines[2:] == [f"  job {first} PENDING (JobArrayTaskLimit): 1 tasks"]
    (sweeping.folder / "slurm.json").unlink()  # as if it was killed before it could write it
    code, said = sweeping.run()
    assert code == 0, said
    assert "submitted" not in said  # Slurm itself knows whose jobs they are
    sweeping.assert_finished(3)


def test_failed_trials_get_new_jobs_for_their_attempts_and_are_named(sweeping: Sweeping) -> None:
    sweeping.declare("launch.slurm.workers=2", "launch.attempts=2", size=[2], quality=["skipped", "any"])
    code, said = sweeping.run()
    assert code == 3, said
    assert "skipped" in said
    assert "FAILED, given up: RuntimeError: the loss is not a number" in said
    assert sum(batch.tasks for batch in read_submitted(sweeping.folder)) == 3


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("partition=nowhere", "invalid partition specified: nowhere"),
        ("extra={nodelist: nowhere9}", "Invalid node name specified"),
        ("extra={no-such-option: 1}", "unrecognized option '--no-such-option=1'"),
    ],
)
def test_what_slurm_refuses_is_one_line(
    slurm_cluster: Cluster, tmp_path: Path, override: str, complaint: str
) -> None:
    config = compose(["launch=slurm", f"launch.slurm.{override}"])
    batch = Batch(folder=tmp_path, launch=config.launch, hardware=(config.hardware,), command=("true",))
    with pytest.raises(UserError, match=f"^Slurm refused the job: .*{complaint}.*launch.slurm requests .*$"):
        submit(batch, 1, 1)


def test_jobs_that_come_to_nothing_are_told_with_their_log(sweeping: Sweeping) -> None:
    sweeping.declare("launch.slurm.extra={export: NONE}", size=[2])  # so the jobs can't find their trials
    code, said = sweeping.run()
    assert code == 2
    assert re.search(
        r"3 submissions to Slurm ended without settling a trial; the last job's log, .*_0_log.out",
        said,
    )
