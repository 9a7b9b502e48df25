"""Sentences on data, models, training and evaluation, from the configuration of a study's trials.

What only some trials have is told with their number; a value is claimed for no trial that has another one.
"""

from __future__ import annotations

from limo_ablate.analysis.trials import Trial, resolved
from limo_ablate.core.text import counted
from limo_ablate.data.grade.graders import GRADERS, VERIFIER
from limo_ablate.model.generate.config import ENGINES
from limo_ablate.report.labels import percent
from limo_ablate.report.methods.settings import Settings
from limo_ablate.verify import VERSION
from limo_ablate.verify.audit import measured

MEASURES = {
    "level": "the data's own level",
    "pass_rate": "the data's own pass rate",
    "solutions": "the share of the pool's solutions that are graded as correct",
    "reference": "the pass rate of reference models, measured for the study",
}
CORRECT = {
    "any": "of any kind",
    "correct": "that are graded as correct",
    "wrong": "that the verifier rejects",
    "marked_correct": "that the data marks as right",
    "marked_wrong": "that the data marks as wrong",
}
GATE_KEY = "select.contamination.policy"
GATE = {
    "none": "Pool and benchmarks were not compared for contamination",
    "report": "Pool problems that match a benchmark item were flagged and kept; clean items are scored too",
    "drop": "Pool problems that match a benchmark item were excluded",
    "error": "A pool problem that matches a benchmark item would have stopped the study",
}
STRATEGIES = {"ddp": "DDP", "fsdp2": "FSDP2", "zero3": "DeepSpeed ZeRO-3"}


def data(settings: Settings) -> str:
    """Sentences on the pool and the selections."""
    trained = settings.other_than("select.size", 0)
    base = settings.without(trained)
    parts = _selection(trained) if trained.trials else []
    if base.trials:
        parts.append(f"The untuned base model was evaluated{base.share(settings)}.")
    gates = (f"{GATE[policy]}{own.share(settings)}." for policy, own in settings.by(GATE_KEY))
    return " ".join([*parts, *gates])


def _selection(trained: Settings) -> list[str]:
    text = f"Training examples came from the pool {trained.text('data.name')}. A cell has {_amount(trained)}"
    text += f", chosen by the selection rule {trained.text('select.order')}"
    text += f", of solution tier {trained.text('select.quality')}"
    if (within := trained.other_than("select.difficulty", "any")).trials:
        measure = within.text("data.difficulty.measure", lambda value: MEASURES[value])
        text += f", of difficulty {within.text('select.difficulty')} by {measure}{within.share(trained)}"
    if (of_one := trained.other_than("select.teacher", "any")).trials:
        text += f", by the teacher {of_one.text('select.teacher')}{of_one.share(trained)}"
    parts = [f"{text}."]
    if trained.has("select.correctness", *(name for name in CORRECT if name != "any")):
        words = trained.text("select.correctness", lambda value: CORRECT[value])
        parts.append(f"Solutions were those {words}.")
    if (changed := trained.other_than("select.perturb", "none")).trials:
        how = changed.text("select.perturb")
        parts.append(f"As a control, solutions were changed: {how}{changed.share(trained)}.")
    return parts


def _amount(trained: Settings) -> str:
    """`4 or 16 (varied) of them`; with a token budget, its number of tokens."""
    budgeted = trained.given("select.tokens")
    free = budgeted.where(lambda trial: trial.level("select.size") is None)
    sized, matched = trained.without(free), budgeted.where(lambda t: t.level("select.tokens") == "match")
    numbers = [f"{sized.text('select.size')} of them{sized.share(trained)}"] if sized.trials else []
    numbers += [f"as many of them as its token budget allows{free.share(trained)}"] if free.trials else []
    text = " or ".join(numbers)
    if (fixed := budgeted.without(matched)).trials:
        text += f", with {fixed.text('select.tokens')} response tokens{fixed.share(trained)}"
    if matched.trials:
        text += f", with as many response tokens as the tier with the fewest has{matched.share(trained)}"
    return text


def models(settings: Settings) -> str:
    """Sentence on the base models and their sizes."""
    named = []
    for name, own in settings.by("model"):
        sizes = dict.fromkeys((trial.metrics or {})["factors"]["parameters"] for trial in own.trials)
        named.append(f"{name}{_origin(own)}, {' or '.join(map(_count, sizes))} parameters")
    return f"Base model{'s' * (len(named) > 1)}: {'; '.join(named)}."


def _origin(own: Settings) -> str:
    """Where the trials of one model have it from; nothing if some have it from elsewhere."""
    hub, revised = own.given("model.path"), own.given("model.revision")
    if len(hub.trials) == len(own.trials):
        revision = f" at {revised.text('model.revision')}{revised.share(own)}" if revised.trials else ""
        return f" ({own.text('model.path')}{revision})"
    miniature = own.levels("model.source") == ["miniature"]
    return " (a small Qwen2, pre-trained for the study)" if miniature else ""


def _count(parameters: int | None) -> str:
    if parameters is None:
        return "an unknown number of"
    for size, unit in ((1e9, " billion"), (1e6, " million")):
        if parameters >= size:
            return f"{parameters / size:.3g}{unit}"
    return f"{parameters:,}"


def training(settings: Settings) -> str:
    """Sentences on supervised fine-tuning."""
    trained = settings.other_than("select.size", 0)
    if not trained.trials:
        return "No model was fine-tuned."
    budgets = [(unit, trained.given(f"train.{unit}")) for unit in ("epochs", "steps", "tokens")]
    budget = " or ".join(
        f"{own.text(f'train.{unit}')} {unit}{own.share(trained)}" for unit, own in budgets if own.trials
    )
    parts = [
        f"Supervised fine-tuning of {_weights(trained)}, loss on the response tokens only, for {budget}: "
        f"AdamW (β {_betas(trained)}, weight decay {trained.text('train.weight_decay')}), peak learning "
        f"rate {trained.text('train.learning_rate')}, {trained.text('train.schedule')} schedule "
        f"{_warmup(trained)}, gradients clipped at norm {trained.text('train.grad_clip')}, global batch "
        f"size {trained.text('train.global_batch_size')}.",
        f"Examples of more than {trained.text('train.max_length')} tokens were dropped, not truncated.",
    ]
    if (held := trained.given("train.dev")).trials:
        rows = held.text("train.dev.rows")
        parts.append(f"{rows} examples were held out to measure a dev loss{held.share(trained)}.")
    best = trained.where(lambda trial: trial.level_if_any("train.dev.keep") == "best")
    last = trained.without(best)
    if best.trials:
        parts.append(f"The weights with the lowest dev loss were kept{best.share(trained)}.")
    if last.trials:
        parts.append(f"The last weights were kept{last.share(trained)}.")
    return " ".join(parts)


def _weights(trained: Settings) -> str:
    adapted = trained.given("train.lora")
    whole = trained.without(adapted)
    parts = [f"all weights{whole.share(trained)}"] if whole.trials else []
    if adapted.trials:
        rank, alpha = adapted.text("train.lora.rank"), adapted.text("train.lora.alpha")
        parts.append(f"LoRA adapters (rank {rank}, alpha {alpha}){adapted.share(trained)}")
    return " or ".join(parts)


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
    by = [
        STRATEGIES[name] + own.share(settings)
        for name, own in settings.by("hardware.strategy")
        if name in STRATEGIES
    ]
    text += f" by {' or '.join(by)}" if by else ""
    precision = {"no": "the weights' own precision", "bf16": "bfloat16 mixed precision"}
    return f"{text}, in {settings.text('hardware.precision', lambda value: precision[value])}."


def evaluation(settings: Settings) -> str:
    """Sentences on the benchmarks, decoding and grading."""
    own = by_benchmark(settings)
    described = [f"{name}: {decoding(name, part)}{part.share(settings)}" for name, part in own.items()]
    parts = [
        f"{'; '.join(described)}. Completions were generated by "
        f"{settings.text('eval.engine', ENGINES.words)}.",
        *_grading(own),
        "Undecided answers count as wrong and are reported separately.",
    ]
    if (judged := settings.given("eval.judge")).trials:
        parts.append(
            f"A judge ({judged.text('eval.judge.model.name')}) was asked about undecided answers"
            f"{judged.share(settings)}; its score is reported separately."
        )
    if (rerun := settings.given("eval.rerun_batch_size")).trials:
        parts.append(
            f"Greedy benchmarks were decoded a second time with another batch size{rerun.share(settings)}, "
            "to measure rounding noise."
        )
    if (probed := settings.given("eval.probe")).trials:
        share = probed.text("eval.probe.share", "{:.0%}".format)
        parts.append(
            f"Models were probed for memorised problems with the first {share} of their words"
            f"{probed.share(settings)}."
        )
    return " ".join(parts)


def by_benchmark(settings: Settings) -> dict[str, Settings]:
    """Benchmark -> settings of the trials that were evaluated on it."""
    evaluated: dict[str, list[Trial]] = {}
    for trial in settings.trials:
        for name in resolved(trial.folder)["eval"]["benchmarks"]:
            evaluated.setdefault(name, []).append(trial)
    return {name: Settings(trials) for name, trials in evaluated.items()}


def decoding(name: str, own: Settings) -> str:
    """`60 problems, 4 completions each, temperature 0.6, ..`; `own` are the trials of the benchmark."""
    key = f"eval.benchmarks.{name}"
    problems = sorted({(trial.metrics or {})["scores"][name]["problems"] for trial in own.trials})
    samples = own.text(f"{key}.samples")
    many = "one completion" if samples == "1" else f"{samples} completions"
    temperature, top_p, most = (own.text(f"{key}.{part}") for part in ("temperature", "top_p", "max_tokens"))
    how = "greedy" if temperature == "0" else f"temperature {temperature}, top-p {top_p}"
    sizes = " or ".join(f"{size:,}" for size in problems[:-1]) + " or " * (len(problems) > 1)
    return f"{sizes}{counted(problems[-1], 'problem')}, {many} each, {how}, at most {most} new tokens"


def _grading(own: dict[str, Settings]) -> list[str]:
    """A sentence for each grader; with several, on which benchmarks."""
    graded: dict[str, list[str]] = {}
    for name, part in own.items():
        for grader in part.levels(f"eval.benchmarks.{name}.grader"):
            graded.setdefault(grader or VERIFIER, []).append(name)
    alone = len(graded) == 1
    return [
        f"Answers{'' if alone else ' to ' + ', '.join(names)} were extracted and compared by "
        f"{_grader(grader)}."
        for grader, names in graded.items()
    ]


def _grader(name: str) -> str:
    if name == VERIFIER:
        return f"a rule-based verifier that never executes model output ({_error_rates()})"
    return f"the grader {GRADERS.words(name)}"


def _error_rates() -> str:
    """The verifier's, which are a systematic part of every accuracy."""
    version = f"version {VERSION}"
    if (found := measured()) is None:
        return f"{version}, whose error rates were not measured"
    wrong, right = (
        f"{percent(rate.value, 2)} % (95 %: {' to '.join(percent(end, 2) for end in rate.interval)})"
        for rate in (found.false_positive, found.false_negative)
    )
    return (
        f"{version}; of {found.completions:,} completions of {found.sources} sources, labelled by others, it "
        f"graded {wrong} of the incorrect ones as correct, and {right} of the correct ones not"
    )
