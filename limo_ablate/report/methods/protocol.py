"""Data, models, training and evaluation of a study in sentences, from the configuration of its trials."""

from __future__ import annotations

from typing import Any

from limo_ablate.analysis.trials import resolved
from limo_ablate.model.generate.config import ENGINES
from limo_ablate.report.methods.settings import Settings

MEASURES = {
    "level": "the level that the data gives",
    "pass_rate": "the pass rate that the data gives",
    "solutions": "the share of the pool's own solutions that the verifier accepts",
    "reference": "the pass rate of reference models, measured for the study",
}
CORRECT = {"any": "of any kind", "correct": "that the verifier accepts", "wrong": "that the verifier refuses"}
GATE = {
    "none": "Pool and benchmarks were not compared for contamination.",
    "report": "Pool problems that match a benchmark item were flagged and kept, clean items scored apart.",
    "drop": "Pool problems that match a benchmark item were left out.",
    "error": "A pool problem that matches a benchmark item would have stopped the study.",
}
STRATEGIES = {"ddp": "DDP", "fsdp2": "FSDP2", "zero3": "DeepSpeed ZeRO-3"}


def data(found: Settings) -> str:
    """The pool and what was chosen from it."""
    parts = [f"Training examples came from the pool {found.told('data.name')}."]
    if found.levels("select.size") != [0]:
        parts.append(_selection(found))
    if found.is_("select.correctness", "correct", "wrong"):
        parts.append(
            f"Solutions were those {found.told('select.correctness', lambda value: CORRECT[value])}."
        )
    if found.levels("select.perturb") != ["none"]:
        parts.append(f"As a control, solutions were changed: {found.told('select.perturb')}.")
    return " ".join([*parts, *(GATE[policy] for policy in found.levels("select.contamination.policy"))])


def _selection(found: Settings) -> str:
    said = f"A cell has {found.told('select.size', _size)} of them"
    if found.any("select.tokens"):
        said += f", with {found.told('select.tokens')} response tokens"
    said += (
        f", chosen by the rule {found.told('select.order')}, of solution tier {found.told('select.quality')}"
    )
    if found.levels("select.difficulty") != ["any"]:
        measure = found.told("data.difficulty.measure", lambda value: MEASURES[value])
        said += f", of difficulty {found.told('select.difficulty')} by {measure}"
    if found.levels("select.teacher") != ["any"]:
        said += f", by the teacher {found.told('select.teacher')}"
    base = " Where it has 0, the base model was evaluated as it is." if found.is_("select.size", 0) else ""
    return f"{said}.{base}"


def _size(value: int | None) -> str:
    return "all" if value is None else str(value)


def models(found: Settings) -> str:
    """Which base models, and how large."""
    sizes: dict[str, int] = {}
    for trial in found.trials:
        factors = (trial.metrics or {})["factors"]
        sizes.setdefault(str(trial.level("model")), factors["parameters"])
    named = [f"{name}{_origin(found, name)}, {_count(size)} parameters" for name, size in sizes.items()]
    return f"Base model{'s' * (len(named) > 1)}: {'; '.join(named)}."


def _origin(found: Settings, name: str) -> str:
    trial = next(trial for trial in found.trials if str(trial.level("model")) == name)
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


def training(found: Settings) -> str:
    """The recipe of supervised fine-tuning."""
    budget = " or ".join(
        f"{found.told(f'train.{unit}')} {unit}"
        for unit in ("epochs", "steps", "tokens")
        if found.any(f"train.{unit}")
    )
    parts = [
        f"Supervised fine-tuning of {_weights(found)}, loss on the response tokens only, for {budget}: AdamW "
        f"(β {_betas(found)}, weight decay {found.told('train.weight_decay')}), peak learning rate "
        f"{found.told('train.learning_rate')}, {found.told('train.schedule')} schedule {_warmup(found)}, "
        f"gradients clipped at norm {found.told('train.grad_clip')}, global batch size "
        f"{found.told('train.global_batch_size')}.",
        f"Rows of more than {found.told('train.max_length')} tokens were dropped, never cut.",
    ]
    if found.any("train.dev"):
        kept = (
            "the weights with the lowest dev loss"
            if found.is_("train.dev.keep", "best")
            else "the last weights"
        )
        parts.append(
            f"{found.told('train.dev.rows')} rows were held out to measure a dev loss; {kept} were kept."
        )
    else:
        parts.append("The last weights were kept.")
    return " ".join(parts)


def _weights(found: Settings) -> str:
    if not found.any("train.lora"):
        return "all weights"
    rank = f"LoRA adapters (rank {found.told('train.lora.rank')}, alpha {found.told('train.lora.alpha')})"
    return rank if all(found.levels("train.lora")) else f"all weights or {rank} (varied)"


def _warmup(found: Settings) -> str:
    if not found.any("train.warmup_ratio"):
        return "without warm-up"
    return f"with warm-up over {found.told('train.warmup_ratio', '{:.0%}'.format)} of the steps"


def _betas(found: Settings) -> str:
    return found.told("train.betas", lambda betas: ", ".join(f"{beta:g}" for beta in betas))


def hardware(found: Settings) -> str:
    """What one trial ran on, as configured."""
    processes, devices = found.told("hardware.processes"), {"cpu": "a CPU", "cuda": "GPUs"}
    said = f"Each trial used {processes} {'process' if processes == '1' else 'processes'} on "
    said += found.told("hardware.device", lambda device: devices[device])
    strategies = [STRATEGIES[name] for name in found.levels("hardware.strategy") if name in STRATEGIES]
    if strategies:
        said += f" by {' or '.join(strategies)}"
    precision = {"no": "the weights' own precision", "bf16": "bfloat16 mixed precision"}
    return f"{said}, in {found.told('hardware.precision', lambda value: precision[value])}."


def evaluation(found: Settings) -> str:
    """The benchmarks, how they were decoded and graded."""
    said = [_benchmark(name, found) for name in _benchmarks(found)]
    parts = [
        f"{'; '.join(said)}. Completions were generated by {found.told('eval.engine', ENGINES.words)}.",
        "A rule-based verifier that never runs model text extracted and compared the answers; what it could "
        "not decide counts as wrong and is told apart.",
    ]
    if found.any("eval.judge"):
        judge = found.told("eval.judge.model.name")
        parts.append(f"A judge ({judge}) was asked about undecided answers; its score stands apart.")
    if found.any("eval.rerun_batch_size"):
        parts.append(
            "Greedy benchmarks were decoded twice, with another batch size, to measure the noise of rounding."
        )
    if found.any("eval.probe"):
        share = found.told("eval.probe.share", "{:.0%}".format)
        parts.append(f"Models were probed for memorised problems with the first {share} of their words.")
    return " ".join(parts)


def _benchmarks(found: Settings) -> list[str]:
    named = (name for trial in found.trials for name in resolved(trial.folder)["eval"]["benchmarks"])
    return list(dict.fromkeys(named))


def _benchmark(name: str, found: Settings) -> str:
    key = f"eval.benchmarks.{name}"
    scores: dict[str, Any] = next(s[name] for t in found.trials if name in (s := (t.metrics or {})["scores"]))
    samples = found.told(f"{key}.samples")
    many = "one completion" if samples == "1" else f"{samples} completions"
    temperature, top_p, most = (
        found.told(f"{key}.{name}") for name in ("temperature", "top_p", "max_tokens")
    )
    decoding = "greedy" if temperature == "0" else f"temperature {temperature}, top-p {top_p}"
    return f"{name}: {scores['problems']} problems, {many} each, {decoding}, at most {most} new tokens"
