import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.model.generate.engines import stop_ids
from limo_ablate.model.train import processes
from limo_ablate.model.train.attention import attend_row_wise
from limo_ablate.model.train.base import model_path, parameter_count, read_reference
from limo_ablate.model.train.batch import collate
from limo_ablate.model.train.config import DevConfig, LoraConfig, TrainConfig
from limo_ablate.model.train.launch import train
from limo_ablate.model.train.load import load_model, load_tokenizer
from limo_ablate.model.train.loss import WithLoss
from limo_ablate.model.train.plan import Plan
from limo_ablate.model.train.processes import check_packages
from limo_ablate.model.train.token_rows import read_tokens
from tests.tiny_models import CPU, SCRATCH, TRAIN, TWO_RANKS, WIDER, hub_model, made_base, made_tokens

LORA = LoraConfig(rank=4, alpha=8, dropout=0.0, targets=("q_proj", "down_proj"))
EVERY_MODULE = (
    "embed_tokens", "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head"
)  # fmt: skip
ADAPTER = replace(TRAIN, lora=replace(LORA, save="adapter"), global_batch_size=12)


def trained(store: Store, base: Artifact, config: TrainConfig, hardware: HardwareConfig = CPU) -> Artifact:
    return train(store, made_tokens(store, base), base, config, hardware)


def losses(weights: Artifact) -> list[float]:
    return pl.read_parquet(weights.path / "curve.parquet")["loss"].to_list()


def logits(folder: str | Path) -> Any:
    model = load_model(folder, dtype="float32", attention="sdpa", device="cpu")
    with torch.no_grad():
        return model(torch.arange(20)[None]).logits


def test_lora_changes_its_targets_alone_and_is_merged(store: Store, base: Artifact) -> None:
    config = replace(TRAIN, lora=LORA, global_batch_size=12, steps=10)
    weights = trained(store, base, config)
    before = load_file(Path(model_path(base)) / "model.safetensors")
    after = load_file(weights.path / "model.safetensors")
    assert set(after) == set(before)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {n for n in before if n.endswith(("q_proj.weight", "down_proj.weight"))}
    assert losses(weights)[-1] < losses(weights)[0]
    checkpointed = trained(store, base, replace(config, gradient_checkpointing=True))
    assert losses(checkpointed) == pytest.approx(losses(weights), rel=1e-5)
    with pytest.raises(UserError, match="no module named nonsense"):
        trained(store, base, replace(TRAIN, lora=replace(LORA, targets=("nonsense",))))


def test_an_adapter_is_kept_beside_a_reference_to_its_base(
    store: Store, base: Artifact, tmp_path: Path
) -> None:
    merged = trained(store, base, replace(ADAPTER, lora=LORA))
    weights = trained(store, base, ADAPTER)
    assert not (weights.path / "model.safetensors").exists()
    assert {
        tensor.shape[0] == 4 or tensor.shape[1] == 4
        for tensor in load_file(weights.path / "adapter_model.safetensors").values()
    } == {True}
    assert read_reference(weights).adapter
    torch.testing.assert_close(logits(model_path(weights)), logits(merged.path))
    assert not torch.allclose(logits(model_path(weights)), logits(model_path(base)))
    assert parameter_count(weights) == parameter_count(base)
    assert stop_ids(model_path(weights)) == stop_ids(str(merged.path))
    assert load_tokenizer(weights.path).get_vocab() == load_tokenizer(merged.path).get_vocab()
    again = train(store, made_tokens(store, base), weights, replace(TRAIN, steps=2), CPU)
    assert not torch.allclose(logits(again.path), logits(merged.path)), "it can be trained on, whole"
    elsewhere = Store(tmp_path / "elsewhere")
    assert trained(elsewhere, made_base(elsewhere), ADAPTER).digest == weights.digest, (
        "no path is in its bytes"
    )
    moved = tmp_path / "moved"
    shutil.copytree(store.root, moved)
    torch.testing.assert_close(logits(moved / weights.path.relative_to(store.root)), logits(merged.path))
    shutil.rmtree(moved / "base")
    with pytest.raises(UserError, match=r"the adapter's base model .* no longer exists"):
        logits(moved / weights.path.relative_to(store.root))


def untied(store: Store, dtype: str) -> Artifact:
    """The tiny model with a head of its own."""
    tied = load_model(model_path(made_base(store)), dtype="float32", attention="sdpa", device="cpu")
    tied.config.tie_word_embeddings = False
    torch.manual_seed(0)
    folder = store.root / f"untied {dtype}"
    type(tied)(tied.config).to(getattr(torch, dtype)).save_pretrained(folder)
    load_tokenizer(model_path(made_base(store))).save_pretrained(folder)
    return made_base(store, replace(hub_model(folder), dtype=dtype))


def dev_loss(weights: Artifact, tokens: Artifact, config: TrainConfig, dtype: str) -> float:
    """Of the weights as they are loaded."""
    rows = read_tokens(tokens.path)
    plan = Plan(rows.lengths, rows.responses, config, rows.problems)
    model = load_model(model_path(weights), dtype=dtype, attention="sdpa", device="cpu")
    attend_row_wise(model)
    with torch.no_grad():
        loss, _ = WithLoss(model)(collate(rows, plan.dev, torch.device("cpu")))
    return loss.item() / int(rows.responses[plan.dev].sum())


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_is_loaded_scores_what_was_trained_whatever_is_saved(
    tmp_path: Path, dtype: str, precision: str
) -> None:
    """All modules that can be adapted; each has its share in the loss, and its weights are looked at."""
    store = Store(tmp_path)
    base = untied(store, dtype)
    everything = replace(LORA, targets=EVERY_MODULE)
    config = replace(TRAIN, steps=12, lora=everything, dev=DevConfig(rows=4, every=99, keep="last"))
    tokens, hardware = made_tokens(store, base), replace(CPU, precision=precision)
    merged, adapter = (
        train(store, tokens, base, replace(config, lora=replace(everything, save=save)), hardware)
        for save in ("merged", "adapter")
    )
    assert losses(merged) == losses(adapter)
    seen = pl.read_parquet(merged.path / "curve.parquet")["dev_loss"].to_list()[-1]
    before = dev_loss(base, tokens, config, "float32")
    assert before > seen + 0.5
    rounded = "bf16" in precision or dtype == "bfloat16"
    for kind in ("float32", "bfloat16"):
        found = [dev_loss(weights, tokens, config, kind) for weights in (merged, adapter)]
        assert found[0] == found[1]
        assert found[0] == pytest.approx(seen, rel=2e-3 if rounded or kind == "bfloat16" else 1e-5)
        states = [
            load_model(model_path(weights), dtype=kind, attention="sdpa", device="cpu").state_dict()
            for weights in (merged, adapter, base)
        ]
        for name, value in states[0].items():
            assert torch.equal(states[1][name], value), name
            changed = name.split(".")[-2] in EVERY_MODULE and name.endswith("weight")
            assert changed != torch.equal(states[2][name], value), name


def test_tied_weights_are_not_adapted(store: Store, base: Artifact, tmp_path: Path) -> None:
    for name in ("embed_tokens", "lm_head"):
        asked = replace(TRAIN, lora=replace(LORA, targets=("q_proj", name)))
        with pytest.raises(UserError, match=rf"^train\.lora\.targets: {name}: .* share their weights"):
            trained(store, base, asked)
    adapter = tmp_path / "adapter"
    shutil.copytree(trained(store, base, ADAPTER).path, adapter)
    settings = json.loads((adapter / "adapter_config.json").read_text())
    settings["target_modules"].append("model.embed_tokens")
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    (adapter / "reference.json").write_text(
        json.dumps({**asdict(read_reference(base)), "adapter": True, "folder": model_path(base)})
    )
    with pytest.raises(UserError, match=r"adapter: target_modules: embed_tokens: .* share their weights"):
        logits(adapter)


def test_modules_that_can_not_be_adapted_are_named(store: Store, base: Artifact) -> None:
    with pytest.raises(UserError, match=r"^train\.lora\.targets: Target module Qwen2RMSNorm.*not supported"):
        trained(store, base, replace(TRAIN, lora=replace(LORA, targets=("norm",))))


def test_four_bit_weights_are_trained_upon(store: Store) -> None:
    """QLoRA: the base's own weights are what the adapter is merged into, not their four-bit copies."""
    pytest.importorskip("bitsandbytes")
    base = made_base(store, replace(SCRATCH, architecture=WIDER))
    lora = replace(LORA, quantize="nf4", targets=("q_proj", "v_proj", "down_proj"))
    config = replace(TRAIN, global_batch_size=12, steps=15)
    merged, adapter, plain = (
        trained(store, base, replace(config, lora=variant))
        for variant in (lora, replace(lora, save="adapter"), replace(lora, quantize="none"))
    )
    assert losses(merged)[-1] < losses(merged)[0] - 0.2
    assert losses(merged) == losses(adapter) != losses(plain)
    assert losses(merged) == pytest.approx(losses(plain), rel=0.05)
    before, after = (load_file(a.path / "model.safetensors") for a in (base, merged))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {n for n in before if n.split(".")[-2] in lora.targets and n.endswith("weight")}
    torch.testing.assert_close(logits(merged.path), logits(adapter.path))


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "find_spec", lambda _: None)
    quantized = replace(TRAIN, lora=replace(LORA, quantize="nf4"))
    with pytest.raises(UserError, match=r"quantize=nf4 needs bitsandbytes: pip install .*\[qlora\]"):
        check_packages(quantized, CPU)
    liger = replace(TRAIN, loss="liger")
    with pytest.raises(UserError, match=r"train\.loss=liger: Liger's kernels need a GPU"):
        check_packages(liger, CPU)
    with pytest.raises(UserError, match=r"pip install 'limo-ablate\[liger\]'"):
        check_packages(liger, replace(CPU, device="cuda"))
    monkeypatch.setattr(processes, "find_spec", lambda name: name)
    check_packages(quantized, TWO_RANKS)
    check_packages(liger, replace(CPU, device="cuda"))
    with pytest.raises(UserError, match=r"does not work with hardware\.strategy=fsdp2"):
        check_packages(quantized, replace(TWO_RANKS, strategy="fsdp2"))
