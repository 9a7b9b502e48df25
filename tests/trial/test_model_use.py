"""What a model can't be used for is told before anything is loaded or trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from limo_ablate.core.artifacts import Store
from limo_ablate.core.errors import UserError
from limo_ablate.model.train.model_config import known_folder
from limo_ablate.sweep.plan.preflight import check_trials
from limo_ablate.trial.compose import compose
from limo_ablate.trial.model_use import check_use, model_uses
from tests.tiny_models import made_base

FITTING = ("train.max_length=256", "eval.benchmarks.mini.max_tokens=200")
"""The context of the model has 256 tokens."""
GEMMA_2 = {
    "model_type": "gemma2", "architectures": ["Gemma2ForCausalLM"], "vocab_size": 270, "hidden_size": 32,
    "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16,
    "intermediate_size": 96, "max_position_embeddings": 256, "final_logit_softcapping": None,
}  # fmt: skip
WINDOWS = {"use_sliding_window": True, "sliding_window": 8, "layer_types": ["sliding_attention"] * 2}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_base(Store(tmp_path_factory.mktemp("store"))).path


@pytest.fixture
def folder(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base, tmp_path / "model"))


def use(folder: Path, *overrides: str) -> str | None:
    model = ("model=local", f"model.path={folder}", "model.dtype=float32")
    config = compose([*model, *FITTING, "track=none", "select.contamination.policy=none", *overrides])
    return check_use(next(model_uses(config)), known_folder(config.model))


def change(folder: Path, **keys: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | keys))


def test_quantized_weights_are_not_trained(folder: Path) -> None:
    change(folder, quantization_config={"quant_method": "gguf"})
    assert use(folder, "select.size=0") is None
    with pytest.raises(UserError, match=r"quantized weights can't be trained, .* \(gguf\); take"):
        use(folder)


def test_rows_and_answers_beyond_the_context_are_refused(folder: Path) -> None:
    assert use(folder) is None
    with pytest.raises(UserError, match=r"train\.max_length=257: the context of model=local has 256 "):
        use(folder, "train.max_length=257")
    assert use(folder, "train.max_length=257", "select.size=0") is None
    with pytest.raises(UserError, match=r"eval\.benchmarks\.mini\.max_tokens=300: .* has 256 tokens, for"):
        use(folder, "eval.benchmarks.mini.max_tokens=300")
    assert "answers have 256 tokens less those" in (use(folder, "eval.benchmarks.mini.max_tokens=256") or "")
    built = ("model=mini_s", "model.path=null")
    assert use(folder, *built, "train.max_length=513") is None, "told once its rows are tokenised"
    with pytest.raises(UserError, match=r"max_tokens=513: the context of model=mini_s has 512"):
        use(folder, *built, "eval.benchmarks.mini.max_tokens=513")


def test_modules_that_the_model_does_not_have_are_no_targets(folder: Path) -> None:
    assert use(folder, "train=lora", "train.max_length=256") is None
    with pytest.raises(UserError, match=r"^train\.lora\.targets: the model has no module named qproj$"):
        use(folder, "train=lora", "train.max_length=256", "train.lora.targets=[qproj, v_proj]")


def test_sliding_windows_are_refused_by_the_engine_that_has_none(folder: Path) -> None:
    change(folder, **WINDOWS)
    with pytest.raises(UserError, match=r"model=local: engine=transformers supports full attention only"):
        use(folder)
    assert use(folder, "eval.engine=paged") is None


def test_logits_that_are_changed_after_the_head_are_refused_in_training(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(GEMMA_2 | {"final_logit_softcapping": 30.0}))
    with pytest.raises(UserError, match=r"gemma2 changes its logits .*\(final_logit_softcapping=30\.0\)"):
        use(folder)
    with pytest.raises(UserError, match=r"use eval\.engine=vllm"):
        use(folder, "select.size=0")


def test_an_attention_that_a_model_has_not_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(GEMMA_2))
    with pytest.raises(UserError, match=r"model\.attention=sdpa: transformers has none for gemma2 .*=eager"):
        use(folder)
    with pytest.raises(UserError, match=r"model=local: engine=transformers and paged .* eval\.engine=vllm"):
        use(folder, "model.attention=eager")
    assert use(folder, "model.attention=eager", "eval.engine=vllm") is None


def test_a_chat_template_that_can_not_have_what_it_gets_is_refused(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    )
    assert use(folder) is None
    for key in ("train.system_prompt", "eval.system_prompt"):
        with pytest.raises(UserError, match=r"takes no system prompt \(TemplateError: no system\)"):
            use(folder, f"{key}=Think.")
    with pytest.raises(UserError, match=r"model\.template\.enable_thinking: .* has no such argument"):
        use(folder, "model.template.enable_thinking=true")


def test_a_study_tells_it_before_it_starts(folder: Path) -> None:
    change(folder, **WINDOWS)
    model = (
        "model=local",
        f"model.path={folder}",
        "track=none",
        f"paths.artifacts={folder.parent / 'store'}",
    )
    studied = [
        (str(n), compose([*model, "select.contamination.policy=none", *FITTING, f"seed={n}"]))
        for n in range(2)
    ]
    found = check_trials(studied)
    assert found.broken == {}
    assert [(reason.partition(":")[0], names) for reason, names in found.problems.items()] == [
        ("model=local", ["0", "1"])
    ]
