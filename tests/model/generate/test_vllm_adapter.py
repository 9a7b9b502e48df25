"""vLLM decodes an adapter: its replica, a real process, gets the merged model. vLLM is a stand-in."""

import os
import runpy
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from limo_ablate.core.artifacts import Store
from limo_ablate.model.generate.config import EngineConfig
from limo_ablate.model.generate.engine import Engine, Request, Sampling
from limo_ablate.model.generate.engines import load_engine
from limo_ablate.model.generate.replicas import Replicas
from limo_ablate.model.train import managed_process
from limo_ablate.model.train.base import model_path
from limo_ablate.model.train.config import LoraConfig
from limo_ablate.model.train.launch import train
from tests.model.generate import fake_vllm
from tests.quick_ranks import Forked, forked
from tests.tiny_models import CPU, TRAIN, made_base, made_tokens

VLLM = EngineConfig(engine="vllm", batch_size=4)
ADAPTER = LoraConfig(rank=4, alpha=64, dropout=0.0, targets=("q_proj", "down_proj"), save="adapter")
WANTED = [
    Request(f"p{n}", 0, "", [40 + k for k in range(3 + n)], Sampling(0.0, 1.0, 12, 0)) for n in range(5)
]


def _replica(arguments: list[str], log: Path) -> None:
    os.setsid()
    with log.open("wb") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    sys.modules["vllm"] = fake_vllm  # type: ignore[assignment]
    sys.argv = ["replicas", *arguments, str(os.getppid())]
    runpy.run_module("limo_ablate.model.generate.replicas", run_name="__main__")


def texts(engine: Engine) -> dict[str, list[int]]:
    return {done.request.problem: done.ids for done in engine.generate(WANTED)}


def test_vllm_decodes_an_adapter_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def popen(command: list[str], *, stdout: Any, **_: Any) -> Forked:
        return Forked(forked(_replica, command[4:-1], Path(stdout.name)))

    monkeypatch.setattr(managed_process.subprocess, "Popen", popen)
    store = Store(tmp_path / "store")
    base = made_base(store)
    tuned = train(store, made_tokens(store, base), base, replace(TRAIN, lora=ADAPTER, steps=10), CPU)
    scratch_dir = tmp_path / "scratch_dir"
    found = texts(Replicas(model_path(tuned), VLLM, CPU, 1, scratch_dir))
    ours = EngineConfig(engine="transformers", batch_size=4)
    assert found == texts(load_engine(model_path(tuned), ours, CPU))
    assert found != texts(load_engine(model_path(base), ours, CPU)), "the adapter makes a difference"
    assert not scratch_dir.exists()
