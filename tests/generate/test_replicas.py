"""Two real processes that generate side by side."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from limo_ablate.artifacts import Store
from limo_ablate.config import EngineConfig
from limo_ablate.errors import TrialFailure, UserError
from limo_ablate.generate.engine import Request, Sampling
from limo_ablate.generate.open import load_engine, open_engine
from limo_ablate.generate.replicas import Replicas
from tests.conftest import ROOT
from tests.tiny_models import CPU, TWO_RANKS, made_base

SETTINGS = EngineConfig(engine="transformers", batch_size=4)
SAMPLING = Sampling(temperature=1.0, top_p=0.9, max_tokens=12, seed=0)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(made_base(Store(tmp_path_factory.mktemp("store"))).path)


def requests(count: int = 7, max_tokens: int = 12) -> list[Request]:
    sampling = replace(SAMPLING, max_tokens=max_tokens)
    return [Request(f"p{n}", n % 2, "", [40 + k for k in range(3 + n % 30)], sampling) for n in range(count)]


def children(of: int) -> list[int]:
    """Live replicas that the process started."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == of and b"limo_ablate.generate.replicas" in (process / "cmdline").read_bytes():
                found.append(int(process.name))
    return found


def test_two_replicas_draw_what_one_process_draws(path: str) -> None:
    engine = open_engine(path, SETTINGS, TWO_RANKS)
    assert isinstance(engine, Replicas)
    wanted = requests()
    done = {one.request.problem: (one.ids, one.finish) for one in engine.generate(wanted)}
    alone = {
        one.request.problem: (one.ids, one.finish)
        for one in load_engine(path, SETTINGS, CPU).generate(wanted)
    }
    assert done == alone
    assert children(os.getpid()) == []


def test_a_replica_that_is_killed_fails_the_trial(path: str) -> None:
    found = open_engine(path, SETTINGS, TWO_RANKS).generate(requests(400, 200))
    next(found)
    victim, *_ = children(os.getpid())
    os.kill(victim, signal.SIGKILL)
    with pytest.raises(TrialFailure, match=r"replica \d of 2 was killed by SIGKILL"):
        list(found)
    assert children(os.getpid()) == []


def test_a_replica_that_fails_says_why(tmp_path: Path) -> None:
    engine = open_engine(str(tmp_path / "nowhere"), SETTINGS, TWO_RANKS)
    with pytest.raises(TrialFailure, match=r"(?s)replica \d of 2 ended with exit code 1.*nowhere"):
        list(engine.generate(requests()))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends a process with its parent on Linux only")
def test_replicas_die_with_their_parent(path: str) -> None:
    parent = (
        "import sys; from tests.generate.test_replicas import *\n"
        "for done in open_engine(sys.argv[1], SETTINGS, TWO_RANKS).generate(requests(400, 200)):\n"
        "    print(*children(os.getpid()), flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", parent, path], stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        replicas = [int(pid) for pid in process.stdout.readline().split()]
        process.kill()
    assert len(replicas) == 2
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in replicas):
        assert time.monotonic() < deadline, "a replica outlives its parent"
        time.sleep(0.05)


def test_gpus_are_dealt_out(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = EngineConfig(engine="vllm", batch_size=4, tensor_parallel=2)
    replicas = Replicas(path, settings, replace(TWO_RANKS, device="cuda", processes=4), 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert replicas._devices(1) == {"CUDA_VISIBLE_DEVICES": "2,3"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    assert [replicas._devices(n)["CUDA_VISIBLE_DEVICES"] for n in range(2)] == ["4,5", "6,7"]


def test_copies_that_don_t_fit_the_hardware_are_refused(path: str) -> None:
    settings = EngineConfig(engine="vllm", batch_size=4, tensor_parallel=2)
    with pytest.raises(UserError, match="tensor_parallel=2 does not divide the 3 processes"):
        open_engine(path, settings, replace(TWO_RANKS, processes=3))
    with pytest.raises(UserError, match="engine=transformers holds a whole model on each GPU"):
        EngineConfig(engine="transformers", batch_size=4, tensor_parallel=2)
