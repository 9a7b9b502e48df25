"""Tasks of lm-evaluation-harness as benchmarks (`source: lm_eval`): of the installed package, or local files.

Task files are code: their templates and functions run without limits. Those of the package are trusted as any
package that is installed; local ones only where the user runs or trusts the configuration.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import numpy as np

from limo_ablate.core.code import CODE_VARIABLE
from limo_ablate.core.errors import UserError
from limo_ablate.data.pool.config import BenchmarkSetConfig, ProblemsConfig
from limo_ablate.data.pool.schema import ParsedRow

FACTS = "tasks.json"
"""In a benchmark's artifact: version of the package, digests of each task's configuration and documents."""
SEEDS = {"random": 0, "numpy": 1234, "fewshot": 1234}
"""As lm-evaluation-harness sets them."""


def lm_eval_source(config: ProblemsConfig) -> Iterator[tuple[str, ParsedRow]]:
    """A row for each document of each task; `limit` counts those of each task."""
    if not isinstance(config, BenchmarkSetConfig):
        raise UserError("source=lm_eval is for benchmarks; a pool's source is a file or a data set")
    with own_seeds():
        tasks = load_tasks(config)
        for name, task in tasks.items():
            for number, doc in documents(task, config.limit):
                problem = {
                    "id": item(tasks, name, number),
                    "text": str(task.doc_to_text(doc) or json.dumps(doc, default=str, ensure_ascii=False)),
                    "gold": str(task.doc_to_target(doc)) or "-",
                    "source": name,
                    "level": None,
                    "subject": name,
                }
                yield f"{name}:{number}", ParsedRow(problem)


def load_tasks(config: BenchmarkSetConfig) -> dict[str, Any]:
    """Name -> task, of `config.task`, which may be a group. Raises UserError where it can't be used."""
    if config.path and CODE_VARIABLE not in os.environ:
        raise UserError(f"{config.path}: tasks of lm-eval are code, and nobody has said that they may run")
    from lm_eval.tasks import TaskManager

    where = f"task={config.task}"
    manager = TaskManager(include_path=config.path, include_defaults=config.path is None)
    if config.task not in manager.task_index:
        raise UserError(
            f"{where}: no task of {config.path or 'lm-eval'}; `lm-eval ls tasks` lists those it has"
        )
    try:
        tasks: dict[str, Any] = manager.load(config.task)["tasks"]
    except Exception as error:  # whatever its YAML, its code or its data set raise
        raise UserError(f"{where}: can't be loaded: {type(error).__name__}: {error}") from error
    for name, task in tasks.items():
        if getattr(task, "UNSAFE_CODE", False) or getattr(task, "MULTIMODAL", False):
            raise UserError(f"{where}: {name} runs what a model has written, or shows images; not supported")
        shots = config.num_fewshot
        if shots is None:
            shots = task.get_config("num_fewshot") or 0
        task.set_config(key="num_fewshot", value=shots)
        task.set_fewshot_seed(seed=SEEDS["fewshot"])
        filters = [one.name for one in task._filters]
        _check_choice(f"{where}: {name}", "filter", config.filter, filters)
        _check_choice(f"{where}: {name}", "metric", config.metric, list(task._metric_fn_list))
    return tasks


def _check_choice(where: str, key: str, chosen: str | None, known: list[str]) -> None:
    if chosen not in known and (chosen is not None or len(known) > 1):
        raise UserError(f"{where}: {key}={chosen}: choose one of {', '.join(known)}")


def documents(task: Any, limit: int | None) -> list[tuple[int, Any]]:
    """(number, document) of what a task evaluates."""
    return list(task.doc_iterator(rank=0, limit=limit, world_size=1))


def item(tasks: dict[str, Any], name: str, number: int) -> str:
    """Id of a problem: its number, after the task's name where there are several."""
    return f"{name}:{number}" if len(tasks) > 1 else str(number)


def task_facts(config: BenchmarkSetConfig) -> dict[str, Any]:
    """What decides the requests of all tasks, as they are now."""
    with own_seeds():
        tasks = load_tasks(config)
        facts: dict[str, Any] = {"lm_eval": version("lm_eval")}
        for name, task in tasks.items():
            docs = [doc for _, doc in documents(task, config.limit)]
            shots = list(task.fewshot_docs()) if task.get_config("num_fewshot") else []
            facts[name] = {"task": _digest(task.dump_config()), "documents": _digest([docs, shots])}
    return facts


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, default=lambda one: type(one).__name__)
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def own_seeds() -> Iterator[None]:
    """Tasks may draw from the global generators: here from these seeds, and ours go on where they were."""
    state, arrays = random.getstate(), np.random.get_state()
    random.seed(SEEDS["random"])
    np.random.seed(SEEDS["numpy"])
    try:
        yield
    finally:
        random.setstate(state)
        np.random.set_state(arrays)
