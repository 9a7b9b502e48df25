import os
from dataclasses import replace
from functools import partial

import polars as pl
import pytest
import torch

from limo_ablate.core.artifacts import Store
from limo_ablate.model.train.launch import train
from tests.tiny_models import CPU, TRAIN, made_base, made_tokens


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled_layers_have_the_same_losses(
    backend: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches differ in length and in their rows, and one graph serves all."""
    if backend == "inductor" and not os.environ.get("TEST_INDUCTOR"):
        pytest.skip("gcc takes a minute for Inductor's kernels: set TEST_INDUCTOR=1")
    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    monkeypatch.setattr(torch._dynamo.config, "error_on_recompile", True)
    store = Store(tmp_path_factory.mktemp("store"))
    base = made_base(store)
    tokens = made_tokens(store, base)
    plain, compiled = (
        pl.read_parquet(train(store, tokens, base, config, CPU).path / "curve.parquet")
        for config in (replace(TRAIN, steps=5), replace(TRAIN, steps=5, compile=True))
    )
    for column in ("loss", "grad_norm"):
        assert compiled[column].to_list() == pytest.approx(plain[column].to_list(), rel=1e-4)
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert 0 < graphs < 10, "few graphs, and none of a shape of its own"
