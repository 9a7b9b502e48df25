"""Two real processes that generate side by side."""

import os
import runpy
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from limo_ablate.core.artifacts import Store
from limo_ablate.core.errors import TrialFailure, UserError
from limo_ablate.model.generate.completions import completions
from limo_ablate.model.generate.config import EngineConfig
from limo_ablate.model.generate.decoding import TransformersEngine
from limo_ablate.model.generate.engine import Completed, Request, Sampling
from limo_ablate.model.generate.engines import load_engine
from limo_ablate.model.generate.oom import BatchSizes
from limo_ablate.model.generate.open import check_engine, open_engine
from limo_ablate.model.generate.replicas import Replicas
from limo_ablate.model.train import managed_process
from tests.conftest import ROOT
from tests.model.generate.test_completions import EVAL, ask, completed
from tests.quick_ranks import Forked, forked
from tests.tiny_models import CPU, TWO_RANKS, made_base
from tests.waiting import gone, until

SETTINGS = EngineConfig(engine="transformers", batch_size=4)
SAMPLING = Sampling(temperature=1.0, top_p=0.9, max_tokens=12, seed=0)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(made_base(Store(tmp_path_factory.mktemp("store"))).path)


@pytest.fixture
def scratch_dir(tmp_path: Path) -> Path:
    return tmp_path / "store" / "drawn" / "key.scratch_dir"


def requests(count: int = 7, max_tokens: int = 12) -> list[Request]:
    sampling = replace(SAMPLING, max_tokens=max_tokens)
    return [Request(f"p{n}", n % 2, "", [40 + k for k in range(3 + n % 30)], sampling) for n in range(count)]


def _replica(arguments: list[str], log: Path) -> None:
    os.setsid()
    with log.open("wb") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    sys.argv = ["replicas", *arguments, str(os.getppid())]
    runpy.run_module("limo_ablate.model.generate.replicas", run_name="__main__")


def _starved_replica(arguments: list[str], log: Path) -> None:
    """A replica that runs out of memory after three completions, unless it decodes one or two at a time."""
    generate = TransformersEngine.generate

    def starved(self: TransformersEngine, requests: Sequence[Request]) -> Iterator[Completed]:
        for count, done in enumerate(generate(self, requests)):
            if self.batch_size > 2 and count == 3:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
            yield done

    TransformersEngine.generate = starved  # type: ignore[method-assign]
    _replica(arguments, log)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Forked]:
    """Replicas are forked with torch imported, and listed."""
    return start_forked(monkeypatch, _replica)


def start_forked(monkeypatch: pytest.MonkeyPatch, replica: Callable[[list[str], Path], None]) -> list[Forked]:
    made: list[Forked] = []

    def popen(command: list[str], *, stdout: Any, **_: Any) -> Forked:
        made.append(Forked(forked(replica, command[4:-1], Path(stdout.name))))
        return made[-1]

    monkeypatch.setattr(managed_process.subprocess, "Popen", popen)
    return made


def children(of: int) -> list[int]:
    """Live replicas that the process started."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == of and b"limo_ablate.model.generate.replicas" in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return found


def test_two_replicas_draw_what_one_process_draws(
    path: str, scratch_dir: Path, started: list[Forked]
) -> None:
    scratch_dir.mkdir(parents=True)
    (scratch_dir / "done0.jsonl").write_text("[0, [1], ")  # of a run that was killed
    engine = open_engine(path, SETTINGS, TWO_RANKS, scratch_dir)
    assert isinstance(engine, Replicas)
    wanted = requests()
    done = {one.request.problem: (one.ids, one.finish) for one in engine.generate(wanted)}
    alone = {
        one.request.problem: (one.ids, one.finish)
        for one in load_engine(path, SETTINGS, CPU).generate(wanted)
    }
    assert done == alone
    assert [replica.poll() for replica in started] == [0, 0]
    assert not scratch_dir.exists()


def test_a_replica_that_is_killed_fails_the_trial(
    path: str, scratch_dir: Path, started: list[Forked]
) -> None:
    found = open_engine(path, SETTINGS, TWO_RANKS, scratch_dir).generate(requests(400, 200))
    next(found)
    os.kill(started[0].pid, signal.SIGKILL)
    with pytest.raises(TrialFailure, match=r"replica \d of 2 was killed by SIGKILL"):
        list(found)
    assert all(replica.poll() == -signal.SIGKILL for replica in started)


def test_a_replica_out_of_memory_halves_the_batch_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (alone,) = completed(Store(tmp_path / "alone"))
    started, store, sizes = start_forked(monkeypatch, _starved_replica), Store(tmp_path), BatchSizes()
    found = completions(store, made_base(store), {"b0": ask(store)}, EVAL, TWO_RANKS, batch_sizes=sizes)
    assert (
        found["b0"].path.joinpath("completions.parquet").read_bytes()
        == (alone.path / "completions.parquet").read_bytes()
    )
    assert len(started) == 4
    assert sizes.used == {"b0": 2}
    assert "out of memory in replica " in caplog.text


@pytest.mark.usefixtures("started")
def test_a_replica_that_fails_says_why(path: str, tmp_path: Path, scratch_dir: Path) -> None:
    engine = open_engine(str(tmp_path / "nowhere"), SETTINGS, TWO_RANKS, scratch_dir)
    with pytest.raises(TrialFailure, match=r"(?s)replica \d of 2 ended with exit code 1.*nowhere"):
        list(engine.generate(requests()))
    assert (
        "nowhere" in (scratch_dir / "replica0.log").read_text() + (scratch_dir / "replica1.log").read_text()
    )
    shutil.copytree(path, tmp_path / "model")
    (tmp_path / "model" / "tokenizer.json").unlink()
    engine = open_engine(str(tmp_path / "model"), SETTINGS, TWO_RANKS, scratch_dir)
    with pytest.raises(UserError, match=r"^\S+/model: no tokenizer.json; save the tokenizer"):
        list(engine.generate(requests()))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends a process with its parent on Linux only")
def test_replicas_die_with_their_parent(path: str, scratch_dir: Path) -> None:
    parent = (
        "import sys; from tests.model.generate.test_replicas import *\n"
        "engine = open_engine(sys.argv[1], SETTINGS, TWO_RANKS, Path(sys.argv[2]))\n"
        "for done in engine.generate(requests(400, 200)):\n"
        "    print(*children(os.getpid()), flush=True)"
    )
    command = [sys.executable, "-c", parent, path, str(scratch_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        replicas = [int(pid) for pid in process.stdout.readline().split()]
        process.kill()
    assert len(replicas) == 2
    until(lambda: gone(*replicas))


def test_gpus_are_dealt_out(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = EngineConfig(engine="vllm", batch_size=4, tensor_parallel=2)
    replicas = Replicas(path, settings, replace(TWO_RANKS, device="cuda", processes=4), 2, Path())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert replicas._devices(1) == {"CUDA_VISIBLE_DEVICES": "2,3"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    assert [replicas._devices(n)["CUDA_VISIBLE_DEVICES"] for n in range(2)] == ["4,5", "6,7"]


def test_copies_that_don_t_fit_the_hardware_are_refused() -> None:
    settings = EngineConfig(engine="vllm", batch_size=4, tensor_parallel=2)
    with pytest.raises(UserError, match="tensor_parallel=2 does not divide the 3 processes"):
        check_engine(settings, replace(TWO_RANKS, processes=3))
    with pytest.raises(UserError, match="engine=transformers holds a whole model on each GPU"):
        EngineConfig(engine="transformers", batch_size=4, tensor_parallel=2)
