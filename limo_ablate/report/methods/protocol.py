"""Sentences on data, models, training and evaluation, from the configuration of a study's trials."""

from __future__ import annotations

from typing import Any

from limo_ablate.analysis.trials import resolved
from limo_ablate.core.text import counted
from limo_ablate.model.generate.config import ENGINES
from limo_ablate.report.methods.settings import Settings

MEASURES = {
    "level": "the data's own level",
    "pass_rate": "the data's own pass rate",
    "solutions": "the share of the pool's solutions that the verifier accepts",
    "reference": "the pass rate of reference models, measured for the study",
}
CORRECT = {"any": "of any kind", "correct": "that the verifier accepts", "wrong": "that the verifier rejects"}
GATE = {
    "none": "Pool and benchmarks were not compared for contamination.",
    "report": "Pool problems that match a benchmark item were flagged and kept; clean items are scored too.",
    "drop": "Pool problems that match a benchmark item were excluded.",
    "error": "A pool problem that matches a benchmark item would have stopped the study.",
}
STRATEGIES = {"ddp": "DDP", "fsdp2": "FSDP2", "zero3": "DeepSpeed ZeRO-3"}


def data(settings: Settings) -> str:
    """Sentences on the pool and the selections."""
    parts = [f"Training examples came from the pool {settings.text('data.name')}."]
    if settings.levels("select.size") != [0]:
        parts.append(_selection(settings))
    if settings.has("select.correctness", "correct", "wrong"):
        parts.append(
            f"Solutions were those {settings.text('select.correctness', lambda value: CORRECT[value])}."
        )
    if settings.levels("select.perturb") != ["none"]:
        parts.append(f"As a control, solutions were changed: {settings.text('select.perturb')}.")
    return " ".join([*parts, *(GATE[policy] for policy in settings.levels("select.contamination.policy"))])


def _selection(settings: Settings) -> str:
    text = f"A cell has {settings.text('select.size', _size)} of them"
    if settings.any("select.tokens"):
        text += f", with {settings.text('select.tokens')} response tokens"
    text += f", chosen by the selection rule {settings.text('select.order')}"
    text += f", of solution tier {settings.text('select.quality')}"
    if settings.levels("select.difficulty") != ["any"]:
        measure = settings.text("data.difficulty.measure", lambda value: MEASURES[value])
        text += f", of difficulty {settings.text('select.difficulty')} by {measure}"
    if settings.levels("select.teacher") != ["any"]:
        text += f", by the teacher {settings.text('select.teacher')}"
    base = " With size 0, the untuned base model was evaluated." if settings.has("select.size", 0) else ""
    return f"{text}.{base}"


def _size(value: int | None) -> str:
    return "all" if value is None else str(value)


def models(settings: Settings) -> str:
    """Sentence on the base models and their sizes."""
    sizes: dict[str, int] = {}
    for trial in settings.trials:
        factors = (trial.metrics or {})["factors"]
        sizes.setdefault(str(trial.level("model")), factors["parameters"])
    named = [f"{name}{_origin(settings, name)}, {_count(size)} parameters" for name, size in sizes.items()]
    return f"Base model{'s' * (len(named) > 1)}: {'; '.join(named)}."


def _origin(settings: Settings, name: str) -> str:
    trial = next(trial for trial in settings.trials if str(trial.level("model")) == name)
    model = resolved(trial.folder).get("model", {})
    if path := model.get("path"):
        revision = f" at {model['revision']}" if model.get("revision") else ""
        return f" ({path}{revision})"
    return " (a small Qwen2, pre-trained for the study)" if model.get("source") == "miniature" else ""


def _count(parameters: int | None) -> str:
    if parameters is None:
        return "an unknown number of"
    for size, unit in ((1e9, " billion"), (1e6, " million")):
        if parameters >= size:
            return f"{parameters / size:.3g}{unit}"
    return f"{parameters:,}"


def training(settings: Settings) -> str:
    """Sentences on supervised fine-tuning."""
    budget = " or ".join(
        f"{settings.text(f'train.{unit}')} {unit}"
        for unit in ("epochs", "steps", "tokens")
        if settings.any(f"train.{unit}")
    )
    parts = [
        f"Supervised fine-tuning of {_weights(settings)}, loss on the response tokens only, for {budget}: "
        f"AdamW (β {_betas(settings)}, weight decay {settings.text('train.weight_decay')}), peak learning "
        f"rate {settings.text('train.learning_rate')}, {settings.text('train.schedule')} schedule "
        f"{_warmup(settings)}, gradients clipped at norm {settings.text('train.grad_clip')}, global batch "
        f"size {settings.text('train.global_batch_size')}.",
        f"Examples of more than {settings.text('train.max_length')} tokens were dropped, not truncated.",
    ]
    if settings.any("train.dev"):
        kept = (
            "the weights with the lowest dev loss"
            if settings.has("train.dev.keep", "best")
            else "the last weights"
        )
        parts.append(
            f"{settings.text('train.dev.rows')} examples were held out to measure a dev loss; {kept} were "
            "kept."
        )
    else:
        parts.append("The last weights were kept.")
    return " ".join(parts)


def _weights(settings: Settings) -> str:
    if not settings.any("train.lora"):
        return "all weights"
    rank = (
        f"LoRA adapters (rank {settings.text('train.lora.rank')}, alpha {settings.text('train.lora.alpha')})"
    )
    return rank if all(settings.levels("train.lora")) else f"all weights or {rank} (varied)"


def _warmup(settings: Settings) -> str:
    if not settings.any("train.warmup_ratio"):
        return "without warm-up"
    return f"with warm-up over {settings.text('train.warmup_ratio', '{:.0%}'.format)} of the steps"


def _betas(settings: Settings) -> str:
    return settings.text("train.betas", lambda betas: ", ".join(f"{beta:g}" for beta in betas))


def hardware(settings: Settings) -> str:
    """Sentence on the configured hardware of a trial."""
    processes, devices = settings.text("hardware.processes"), {"cpu": "a CPU", "cuda": "GPUs"}
    text = f"Each trial used {processes} {'process' if processes == '1' else 'processes'} on "
    text += settings.text("hardware.device", lambda device: devices[device])
    strategies = [STRATEGIES[name] for name in settings.levels("hardware.strategy") if name in STRATEGIES]
    if strategies:
        text += f" by {' or '.join(strategies)}"
    precision = {"no": "the weights' own precision", "bf16": "bfloat16 mixed precision"}
    return f"{text}, in {settings.text('hardware.precision', lambda value: precision[value])}."


def evaluation(settings: Settings) -> str:
    """Sentences on the benchmarks, decoding and grading."""
    benchmarks = [_benchmark(name, settings) for name in _benchmarks(settings)]
    parts = [
        f"{'; '.join(benchmarks)}. Completions were generated by "
        f"{settings.text('eval.engine', ENGINES.words)}.",
        "A rule-based verifier that never executes model output extracted and compared the answers; "
        "undecided answers count as wrong and are reported separately.",
    ]
    if settings.any("eval.judge"):
        judge = settings.text("eval.judge.model.name")
        parts.append(
            f"A judge ({judge}) was asked about undecided answers; its score is reported separately."
        )
    if settings.any("eval.rerun_batch_size"):
        parts.append(
            "Greedy benchmarks were decoded a second time with another batch size, to measure rounding noise."
        )
    if settings.any("eval.probe"):
        share = settings.text("eval.probe.share", "{:.0%}".format)
        parts.append(f"Models were probed for memorised problems with the first {share} of their words.")
    return " ".join(parts)


def _benchmarks(settings: Settings) -> list[str]:
    named = (name for trial in settings.trials for name in resolved(trial.folder)["eval"]["benchmarks"])
    return list(dict.fromkeys(named))


def _benchmark(name: str, settings: Settings) -> str:
    key = f"eval.benchmarks.{name}"
    scores: dict[str, Any] = next(
        s[name] for t in settings.trials if name in (s := (t.metrics or {})["scores"])
    )
    samples = settings.text(f"{key}.samples")
    many = "one completion" if samples == "1" else f"{samples} completions"
    temperature, top_p, most = (
        settings.text(f"{key}.{name}") for name in ("temperature", "top_p", "max_tokens")
    )
    decoding = "greedy" if temperature == "0" else f"temperature {temperature}, top-p {top_p}"
    problems = counted(scores["problems"], "problem")
    return f"{name}: {problems}, {many} each, {decoding}, at most {most} new tokens"
