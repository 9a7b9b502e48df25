"""Whether a trial's models can be used as its configuration says: context, attention, chat template.

Known from a model's folder, once it is on this machine: checked before a study starts, and again by the
trial that downloads it, before anything is trained. Of models that are built here, rows beyond the context
are refused once they are tokenised: their settings are often those of larger models, and their rows short.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from limo_ablate.core.errors import UserError
from limo_ablate.model.config import ModelConfig
from limo_ablate.model.generate.config import ENGINES, EngineConfig
from limo_ablate.model.train.config import TrainConfig
from limo_ablate.trial.config import TrialConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUse:
    """A model that a trial generates with, and may train first."""

    model: ModelConfig
    engine: EngineConfig
    system_prompts: dict[str, str | None]
    """Key -> the system prompt that it sets."""
    new_tokens: dict[str, int]
    """Key -> most new tokens of a completion."""
    train: TrainConfig | None = None
    train_key: str = "train"


def model_uses(config: TrialConfig) -> Iterator[ModelUse]:
    """The trial's own model first."""
    evaluation, tuned = config.eval, config.select.size != 0
    tokens = {f"eval.benchmarks.{name}.max_tokens": b.max_tokens for name, b in evaluation.benchmarks.items()}
    if evaluation.probe:
        tokens["eval.probe.max_tokens"] = evaluation.probe.max_tokens
    yield ModelUse(
        model=config.model,
        engine=evaluation,
        system_prompts={"eval.system_prompt": evaluation.system_prompt},
        new_tokens=tokens,
        train=config.train if tuned else None,
    )
    if judge := evaluation.judge:
        yield ModelUse(
            model=judge.model,
            engine=evaluation,
            system_prompts={"eval.judge.system_prompt": judge.system_prompt},
            new_tokens={"eval.judge.max_tokens": judge.max_tokens},
        )
    if (teacher := config.data.teacher) and teacher.local and config.needs_pool:
        yield ModelUse(
            model=teacher.local.model,
            engine=teacher.local,
            system_prompts={"data.teacher.system_prompt": teacher.system_prompt},
            new_tokens={"data.teacher.max_tokens": teacher.max_tokens},
            train=teacher.local.tune.train if teacher.local.tune else None,
            train_key="data.teacher.local.tune.train",
        )
    reference = config.data.difficulty.reference if config.data.difficulty.measure == "reference" else None
    if reference and tuned:
        for name, stage in reference.stages.items():
            where = f"data.difficulty.reference.stages.{name}"
            yield ModelUse(
                model=stage.model,
                engine=reference,
                system_prompts={"data.difficulty.reference.system_prompt": reference.system_prompt},
                new_tokens={f"{where}.max_tokens": stage.max_tokens},
                train=stage.tune.train if stage.tune else None,
                train_key=f"{where}.tune.train",
            )


def check_use(use: ModelUse, folder: Path | None) -> str | None:
    """What is certain to be cut short, if anything is. `folder`: that of a model of the hub.

    Raises UserError where the model can't be trained or generate as the configuration says.
    """
    if use.model.source != "hub":
        architecture = use.model.architecture
        return _check_context(use, architecture.context) if architecture else None
    assert folder is not None
    from limo_ablate.model.train.model_config import (
        check_attention,
        check_logits,
        context_length,
        meta_model,
        model_config,
    )

    config = model_config(folder)
    if use.train:
        check_logits(config)
        if (quantized := getattr(config, "quantization_config", None)) and use.train.lora is None:
            raise UserError(
                f"model={use.model.name}: quantized weights can't be trained, and by config.json they are "
                f"({quantized.get('quant_method')}); take the model that was quantized, or train.lora"
            )
        check_attention(use.model.name, config, use.model.attention)
        if use.train.lora:
            from limo_ablate.model.train.merge import check_targets

            check_targets(meta_model(folder, config), use.train.lora.targets, f"{use.train_key}.lora.targets")
    ENGINES.load(use.engine.engine).check_model(f"model={use.model.name}", config)
    _check_template(use, folder)
    return _check_context(use, use.model.max_position_embeddings or context_length(config))


def _check_context(use: ModelUse, context: int) -> str | None:
    name = use.model.name
    if use.model.source == "hub" and use.train and use.train.max_length > context:
        raise UserError(
            f"{use.train_key}.max_length={use.train.max_length}: the context of model={name} has {context} "
            f"tokens, and longer rows would be trained on beyond it; set {use.train_key}.max_length="
            f"{context}, which drops them{_longer(use.model)}"
        )
    for key, tokens in use.new_tokens.items():
        if tokens > context:
            raise UserError(
                f"{key}={tokens}: the context of model={name} has {context} tokens, for prompt and answer "
                f"together; set {key} below that{_longer(use.model)}"
            )
    whole = [key for key, tokens in use.new_tokens.items() if tokens == context]
    if whole:
        return (
            f"{', '.join(whole)}: as many as the context of model={name} has for prompt and answer together; "
            f"answers have {context} tokens less those of their prompt"
        )
    return None


def _longer(model: ModelConfig) -> str:
    return ", or model.max_position_embeddings above it" if model.source == "hub" else ""


def _check_template(use: ModelUse, folder: Path) -> None:
    from limo_ablate.model.train.chat import ChatEncoder
    from limo_ablate.model.train.load import load_tokenizer
    from limo_ablate.model.train.response import Responses

    encoder = ChatEncoder(load_tokenizer(folder), use.model.template)
    prompts: dict[str, str | None] = dict(use.system_prompts)
    if use.train:
        prompts[f"{use.train_key}.system_prompt"] = use.train.system_prompt
        list(Responses(encoder, use.train.system_prompt, use.train.response).encode(["?"], ["?"]))
    for prompt in dict.fromkeys(prompts.values()):
        encoder.prompts(["?"], prompt)
