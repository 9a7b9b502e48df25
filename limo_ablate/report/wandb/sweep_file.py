"""Exports a study as W&B sweeps, one for each block; what `limo-ablate wandb-sweep` prints or writes."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from limo_ablate.core.errors import UserError
from limo_ablate.core.overrides import format_override, literal
from limo_ablate.core.project import VARIABLE
from limo_ablate.report.wandb.point import PARAMETER
from limo_ablate.study.axes import Levels, Range, keys
from limo_ablate.study.block import Block, Objective
from limo_ablate.study.design import Study, load_study
from limo_ablate.study.naming import slug
from limo_ablate.study.points import points
from limo_ablate.trial.track.names import logged

FOLDER = Path("outputs/wandb-sweeps")
TRIAL, POINT = "limo_ablate", "limo_ablate.report.wandb.point"
"""Modules that an agent runs: with a parameter for each axis, or with one parameter for all of them."""
RUN_FOLDER = "hydra.run.dir=outputs/wandb/${oc.env:WANDB_SWEEP_ID}/${oc.env:WANDB_RUN_ID}"
"""Folder of a trial: unique, as agents may start within the same second."""
SCORES = {"train": "trained", "seconds": "seconds"}
"""Part of metrics.json -> prefix of its metrics in W&B."""

ARGUMENTS = "${args_no_hyphens}"
"""Placeholder that W&B replaces by the parameters, as `key=value`."""

Sweep = dict[str, Any]
"""Configuration read by `wandb sweep`."""


def export(name: str, overrides: Sequence[str], *, write: bool) -> None:
    """Prints or writes a study's W&B sweeps. Raises UserError if W&B can run none of its blocks."""
    study = load_study(name, overrides)
    sweeps, left_out = wandb_sweeps(study)
    if not sweeps:
        raise UserError(f"{study.name}: W&B can run none of its blocks: {'; '.join(left_out)}")
    for file, sweep in sweeps.items():
        text = file_text(sweep, [name, *overrides])
        if write:
            FOLDER.mkdir(parents=True, exist_ok=True)
            (FOLDER / f"{file}.yaml").write_text(text)
            print(f"written: {FOLDER / file}.yaml")
        else:
            print(f"# {file}.yaml\n{text}")
    for reason in left_out:
        print(f"left out: {reason}")


def wandb_sweeps(study: Study) -> tuple[dict[str, Sweep], list[str]]:
    """The sweeps by file name, and the reasons why blocks are left out."""
    sweeps: dict[str, Sweep] = {}
    left_out = []
    for block in study.blocks:
        name = study.name if len(study.blocks) == 1 else f"{study.name}-{slug(block.name)}"
        if block.tune:
            left_out.append(
                f"block '{block.name}' is tuned within each point: W&B can't search within a grid"
            )
        elif block.design == "optuna" and (block.when or block.exclude):
            left_out.append(f"block '{block.name}' searches with conditions: W&B's search spaces have none")
        else:
            sweeps |= {name + end: _sweep(study, block, *how) for end, how in _ways(study, block)}
    return sweeps, left_out


def file_text(sweep: Sweep, arguments: list[str]) -> str:
    """The YAML of a file; comments say how it was written (`arguments`: study, overrides) and how to use
    it."""
    head = (
        f"# Written by `limo-ablate wandb-sweep {shlex.join(arguments)} --write`.\n"
        "# wandb sweep THIS_FILE, then `wandb agent ID` with the environment's python first on the PATH.\n"
    )
    if "scheduler" in sweep:
        head += "# Optuna proposes: `wandb sweep-scheduler ID` runs beside the agents.\n"
    return head + yaml.safe_dump(sweep, sort_keys=False, allow_unicode=True, width=110)


def _ways(study: Study, block: Block) -> Iterator[tuple[str, tuple[Sweep, Sweep, str]]]:
    """(suffix of the file's name, (search settings, parameters, module that runs a trial))."""
    if block.design == "optuna":
        space = {axis: _parameter(levels) for axis, levels in block.axes.items()}
        objectives = [_metric(objective) for objective in block.objectives or ()]
        if len(objectives) == 1:
            method = "random" if block.sampler == "random" else "bayes"
            yield "", ({"method": method, "metric": objectives[0], "run_cap": block.n}, space, TRIAL)
        goal = {"metric": objectives[0]} if len(objectives) == 1 else {"metrics": objectives}
        engine = {"scheduler": {"engine": "optuna"}}
        yield "-optuna", ({"method": "custom", **goal, **engine, "run_cap": block.n}, space, TRIAL)
        return
    seeds = {"seed": {"values": list(block.seeds or study.seeds)}}
    if _is_crossed(block):
        space = {axis: _parameter(levels) for axis, levels in block.axes.items()}
        yield "", ({"method": "grid"}, space | seeds, TRIAL)
        return
    labels = [shlex.join(format_override(*setting) for setting in point.items()) for point in points(block)]
    yield "", ({"method": "grid"}, {PARAMETER: {"values": labels}} | seeds, POINT)


def _is_crossed(block: Block) -> bool:
    """Whether the block is a full factorial of axes with one key each."""
    single = all(len(keys(axis)) == 1 for axis in block.axes)
    return block.design == "factorial" and single and not block.when and not block.exclude


def _sweep(study: Study, block: Block, how: Sweep, parameters: Sweep, module: str) -> Sweep:
    shared = [*study.overrides, *block.overrides]
    named = [f"{VARIABLE}={os.environ[VARIABLE]}"] if os.environ.get(VARIABLE) else []
    if "seed" not in parameters:
        shared.append(f"seed={(block.seeds or study.seeds)[0]}")
    return {
        "name": study.name if len(study.blocks) == 1 else f"{study.name}: {block.name}",
        "description": study.question,
        "project": "limo-ablate",
        "program": TRIAL,
        **how,
        "parameters": parameters,
        "command": ["${env}", *named, "${interpreter}", "-P", "-m", module, RUN_FOLDER, *shared, ARGUMENTS],
    }


def _parameter(levels: Levels) -> dict[str, Any]:
    """W&B's parameter for levels or a range."""
    if not isinstance(levels, Range):
        return {"values": [_value(level) for level in levels]}
    bounds: dict[str, Any] = {"min": levels.low, "max": levels.high}
    if levels.log:
        name = "q_log_uniform_values" if levels.whole else "log_uniform_values"
        return {"distribution": name, **bounds, **({"q": 1} if levels.whole else {})}
    if levels.step is not None:
        return {"distribution": "q_uniform", **bounds, "q": levels.step}
    return {"distribution": "int_uniform" if levels.whole else "uniform", **bounds}


def _value(level: Any) -> Any:
    """The level in a form that the agent's `key=str(value)` reads back unchanged: a number, or quoted
    text."""
    return level if type(level) in (int, float) else literal(level)


def _metric(objective: Objective) -> dict[str, str]:
    """W&B's metric for an objective."""
    part, _, key = objective.score.rpartition(".")
    if objective.score == "total_seconds":
        name = "seconds/total"
    elif part in SCORES:
        name = f"{SCORES[part]}/{key}"
    else:
        name = f"eval/{part}/{key}" if part else f"eval/{objective.score}/accuracy"
    return {"name": logged(name), "goal": objective.direction}
