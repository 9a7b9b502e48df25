"""What can be known of a trial before it starts: are its files, packages, models and rows there?

    for check in CHECKS:
        check.run(config, known)     # raises UserError, or NotChecked where only the trial itself can tell

Each check looks at some parts of the configuration, and is needed once for trials in which these are equal.
Whatever can end a trial with a user's error after its start, and can be known before, belongs here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import check_gpus, gpu_memories, lacks_bf16, visible_gpus
from limo_ablate.core.registry import Registry
from limo_ablate.data.grade.graders import Grading, check_grader
from limo_ablate.data.pool.config import GENERATED, LOADERS
from limo_ablate.data.select.config import RULES
from limo_ablate.model.config import ModelConfig
from limo_ablate.model.generate.config import ENGINES
from limo_ablate.model.train.model_config import is_trusted, known_folder
from limo_ablate.trial.config import TRACKERS, TrialConfig
from limo_ablate.trial.known import Known, NotChecked, Notice, row_parts, why_not_read
from limo_ablate.trial.launch_config import LAUNCHERS
from limo_ablate.trial.model_use import check_use, model_uses
from limo_ablate.trial.read_only import first_missing

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    parts: Callable[[TrialConfig], tuple[Any, ...]]
    """The parts of the configuration that decide the outcome."""
    run: Callable[[TrialConfig, Known], None]
    """Raises UserError or NotChecked."""
    builds: bool = False
    """Whether artifacts are built for it, cheap ones that the trial would build otherwise. In a store that
    can't be written to, the check of the store does its work."""
    here: bool = False
    """Whether it is about the machine that the trial runs on."""


def _check_packages(config: TrialConfig, known: Known) -> None:
    from limo_ablate.model.generate.open import check_settings
    from limo_ablate.model.generate.other_python import versions
    from limo_ablate.model.train.processes import check_packages
    from limo_ablate.model.train.zero3 import check_zero3

    for registry, name in _entries(config):
        registry.check_installed(name)
    for name, grading in config.eval.graders().items():
        check_grader(grading, f"eval.benchmarks.{name}")
    if config.needs_pool:
        check_grader(config.data.grading(), "data")
        if (teacher := config.data.teacher) and teacher.grader:
            check_grader(Grading(teacher.grader, teacher.grader_options), "data.teacher")
    if any(benchmark.task for benchmark in config.eval.benchmarks.values()) and find_spec("lm_eval") is None:
        raise UserError("source=lm_eval: lm-eval is not installed; pip install 'limo-ablate[lm-eval]'")
    check_settings(config.eval, config.hardware)
    if (python := config.eval.python) and not is_trusted():
        raise NotChecked(f"eval.python={python}: not started, as the study is not trusted yet")
    if python:
        versions(python)
    if config.eval.engine in ENGINES.builtin:  # another package's may ask for its GPU
        ENGINES.load(config.eval.engine).check(config.eval, config.hardware)
    if config.select.size != 0:
        check_packages(config.train, config.hardware)
        if config.hardware.strategy == "zero3":
            check_zero3(config.train)
    if config.model.attention == "flash_attention_2" and find_spec("flash_attn") is None:
        raise UserError(
            "model.attention=flash_attention_2 needs FlashAttention: pip install flash-attn, or use sdpa"
        )


def _entries(config: TrialConfig) -> tuple[tuple[Registry[Any], str], ...]:
    """The entries of registries that other packages may have added."""
    rules = (rule.removeprefix("-") for rule in (config.select.order, config.select.best))
    teacher = config.data.teacher
    return (
        *(((ENGINES, teacher.local.engine),) if teacher and teacher.local else ()),
        (ENGINES, config.eval.engine),
        (TRACKERS, config.track.kind),
        (LAUNCHERS, config.launch.executor),
        (LOADERS, config.data.source),
        *((RULES, rule) for rule in rules if rule in RULES),
        *((LOADERS, benchmark.source) for benchmark in config.eval.benchmarks.values()),
    )


def _check_models(config: TrialConfig, known: Known) -> None:
    from limo_ablate.model.train.base import check_model

    for model in models_of(config):
        if model.trust_remote_code and model is not config.model:
            raise UserError(
                f"model {model.name}: trust_remote_code is for the trained model alone; take a judge, a "
                "teacher or a reference model that transformers has a class for"
            )
        if check_model(model) is None and model.source == "hub" and known_folder(model) is None:
            raise NotChecked(f"model.path={model.path}: not downloaded yet")


def _check_uses(config: TrialConfig, known: Known) -> None:
    told = []
    for use in model_uses(config):
        folder = known_folder(use.model)
        if use.model.source != "hub" or folder:
            told.append(check_use(use, folder))
    if lines := [line for line in told if line]:
        raise Notice("; ".join(lines))


def models_of(config: TrialConfig) -> list[ModelConfig]:
    reference = config.data.difficulty.reference if config.data.difficulty.measure == "reference" else None
    judge = [config.eval.judge.model] if config.eval.judge else []
    stages = reference.stages.values() if reference and config.select.size != 0 else ()
    teacher = config.data.teacher.local if config.data.teacher and config.needs_pool else None
    taught = [teacher.model] if teacher else []
    return [config.model, *judge, *taught, *(stage.model for stage in stages)]


def _check_endpoint(config: TrialConfig, known: Known) -> None:
    """The key must be there where the trial runs, unless all solutions are."""
    teacher = config.data.teacher
    if teacher and teacher.endpoint and config.needs_pool:
        try:
            known.pool(config)
        except NotChecked:
            teacher.endpoint.key()


def _check_gpus(config: TrialConfig, known: Known) -> None:
    if LAUNCHERS.load(config.launch.executor).here:
        check_gpus(config.hardware, known.once(("gpus",), lambda: len(visible_gpus())))


def _check_processor(config: TrialConfig, known: Known) -> None:
    if config.hardware.device == "cpu" and config.hardware.precision == "bf16" and lacks_bf16():
        raise Notice(
            "hardware.precision=bf16: this machine's processor has no AVX-512, without which PyTorch is many "
            "times slower in bf16 than in float32 (hardware.precision=no)"
        )


def _check_memory(config: TrialConfig, known: Known) -> None:
    """What a training takes whatever its rows; it checks its memory with its rows when it starts."""
    from limo_ablate.model.train.memory import size
    from limo_ablate.model.train.memory_check import TOLERANCE, Demand
    from limo_ablate.model.train.shapes import shape_config
    from limo_ablate.model.train.token_rows import blank_rows

    hardware, on_gpu = config.hardware, config.hardware.device == "cuda"
    own = known.once(("memory", on_gpu), lambda: _largest_memory(on_gpu=on_gpu))
    if config.select.size == 0 or not own or shape_config(config.model) is None:
        return
    train = replace(config.train, dev=None, steps=None, epochs=1, tokens=None)
    needed = Demand(blank_rows([2], 1), config.model, train, hardware).forecast().total
    own *= 1 if on_gpu else hardware.nodes / hardware.processes
    if needed > TOLERANCE * own:
        raise UserError(
            f"hardware={hardware.name}, model={config.model.name}: weights, gradients and optimiser states "
            f"take {size(needed)} per {'GPU' if on_gpu else 'process'}, and {size(int(own))} are there; "
            "`limo-ablate plan` shows what would fit"
        )


def _check_lora(config: TrialConfig, known: Known) -> None:
    """Tied weights can't be adapted; the training looks again, at the model itself."""
    from limo_ablate.model.train.shapes import shape_config, tied_message

    shape = shape_config(config.model)
    targets = config.train.lora.targets if config.train.lora and config.select.size != 0 else ()
    if shape and shape.tied and (names := [name for name in ("embed_tokens", "lm_head") if name in targets]):
        raise UserError(tied_message("train.lora.targets", names))


def _largest_memory(*, on_gpu: bool) -> float:
    """Bytes of this machine's largest GPU, 0 without one, or of its main memory."""
    import psutil

    return max(gpu_memories(), default=0.0) if on_gpu else float(psutil.virtual_memory().total)


def _check_store(config: TrialConfig, known: Known) -> None:
    if (denied := known.denied(config)) and (missing := first_missing(config)):
        raise UserError(f"{denied}; the first that is not there and would have to be made: {missing}")


def _check_sources(config: TrialConfig, known: Known) -> None:
    from limo_ablate.data.pool.load import check_first_row, sources_of

    for name, benchmark in config.eval.benchmarks.items():
        if benchmark.source not in GENERATED and not why_not_read(benchmark):
            check_first_row(benchmark, name, f"eval.benchmarks.{name}")
    if config.needs_pool:
        for name, source in sources_of(config.data).items():
            if source.source not in GENERATED and not why_not_read(source):
                check_first_row(source, name, f"data.parts.{name}" if config.data.parts else "data")


def _check_benchmarks(config: TrialConfig, known: Known) -> None:
    from limo_ablate.trial.scores import check_groups

    for name, benchmark in config.eval.benchmarks.items():
        check_groups(name, benchmark, known.benchmark(config, name, benchmark, "eval.benchmarks"))
    gate = config.select.contamination
    for name, also in gate.also.items() if gate.policy != "none" and config.needs_pool else ():
        known.benchmark(config, name, also, "select.contamination.also")


def _check_pool(config: TrialConfig, known: Known) -> None:
    if config.needs_pool:
        known.pool(config)


def _check_rows(config: TrialConfig, known: Known) -> None:
    from limo_ablate.data.select.responses import require_size

    if config.select.size == 0:
        return
    try:
        known.pool(config)
    except (UserError, NotChecked):
        return  # told by the check of the pool
    funnel = known.rows(config)
    if config.select.size is not None:
        require_size(funnel.rows, config.select.size, funnel)


CHECKS = (
    Check("GPUs", lambda c: (c.hardware, c.launch.executor), _check_gpus, here=True),
    Check("processor", lambda c: (c.hardware,), _check_processor, here=True),
    Check(
        "packages",
        lambda c: (c.hardware, c.train.loss, c.train.lora, c.eval.engine, c.eval.tensor_parallel,
                   c.eval.python, c.eval.benchmarks, c.model.attention, c.select.size == 0, c.select.order,
                   c.select.best, c.data.source, c.data.grading(), c.data.teacher, c.track.kind,
                   c.launch.executor),
        _check_packages,
        here=True,
    ),
    Check(
        "memory",
        lambda c: (c.model, c.train.lora, c.train.micro_batch_tokens, c.train.gradient_checkpointing,
                   c.hardware, c.select.size == 0),
        _check_memory,
        here=True,
    ),
    Check("LoRA", lambda c: (c.model, c.train.lora, c.select.size == 0), _check_lora),
    Check("store", lambda c: (c,), _check_store),
    Check("models", lambda c: (*models_of(c),), _check_models),
    Check(
        "model uses",
        lambda c: (c.model, c.train.max_length, c.train.system_prompt, c.train.response, c.select.size == 0,
                   c.eval.engine, c.eval.system_prompt, c.eval.benchmarks, c.eval.judge, c.eval.probe,
                   c.data.difficulty, c.data.teacher),
        _check_uses,
    ),
    Check("sources", lambda c: (c.eval.benchmarks, c.needs_pool, c.data), _check_sources),
    Check(
        "benchmarks",
        lambda c: (c.eval.benchmarks, c.select.contamination, c.needs_pool, c.paths.artifacts),
        _check_benchmarks,
        builds=True,
    ),
    Check("endpoint", lambda c: (c.needs_pool, c.data, c.paths.artifacts), _check_endpoint, here=True),
    Check("pool", lambda c: (c.needs_pool, c.data, c.paths.artifacts), _check_pool, builds=True),
    Check(
        "rows",
        lambda c: (*row_parts(c), c.select.size),
        _check_rows,
        builds=True,
    ),
)  # fmt: skip
"""The cheapest first. A problem that several checks find has the same text, and is told once."""


def check_alone(config: TrialConfig) -> None:
    """The checks that build nothing, for a trial that is started now. Raises UserError."""
    known = Known()
    check_gpus(config.hardware)
    for check in CHECKS:
        if check.builds:
            continue
        try:
            check.run(config, known)
        except Notice as notice:
            log.warning("%s", notice)
        except NotChecked:
            continue
        except UserError:
            raise
        except Exception as error:  # a mistake of ours must not stop a trial that would run
            log.warning("the check of %s failed itself, and is left out: %r", check.name, error)
