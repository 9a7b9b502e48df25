"""Checks, before a study runs, that its figures, contrasts and tunings name keys and scores that exist."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from limo_ablate.core.errors import UserError
from limo_ablate.core.typed import nearest
from limo_ablate.study.axes import factors
from limo_ablate.study.block import Block, Objective
from limo_ablate.study.contrast import LIKELIHOOD, measured
from limo_ablate.study.design import ALL, Figure, Study
from limo_ablate.study.planned import PlannedTrial
from limo_ablate.study.search.objectives import check_objectives, score_names
from limo_ablate.trial.compose import compose
from limo_ablate.trial.config import TrialConfig


def check_study(study: Study, trials: Sequence[PlannedTrial]) -> None:
    """`trials`: those known beforehand. Raises UserError, which names the first key that is wrong."""
    configs = {block.name: _config(study, block, trials) for block in study.blocks}
    if study.budget and study.budget.money is not None:
        _check_prices([*configs.values(), *(trial.config for trial in trials)], study)
    blocks = {block.name: block for block in study.blocks}
    for figure in study.figures:
        where = f"study {study.name}: figure '{figure.title}'"
        score, outcome = measured(figure.score)
        if outcome == LIKELIHOOD:
            raise UserError(f"{where}: score={figure.score}: figures show shares; declare a contrast of it")
        _check_score(score, configs[figure.block], where)
        _check_keys(figure, blocks[figure.block], configs[figure.block], where)
    for contrast in study.contrasts:
        for score in contrast.scores:
            _check_score(
                measured(score)[0], configs[contrast.block], f"study {study.name}: contrast '{contrast.name}'"
            )
    for block in study.blocks:
        if block.tune:
            goal = Objective(score=block.tune.score, direction=block.tune.direction)
            check_objectives((goal,), configs[block.name], f"study {study.name}: block '{block.name}': tune")
        check_objectives(
            block.objectives or (), configs[block.name], f"study {study.name}: block '{block.name}'"
        )


def _check_prices(configs: Sequence[TrialConfig], study: Study) -> None:
    if names := {config.hardware.name for config in configs if config.hardware.price is None}:
        raise UserError(
            f"study {study.name}: budget.money needs hardware.price, what a GPU (or core) costs an hour; "
            f"hardware {', '.join(sorted(names))} has none"
        )


def _config(study: Study, block: Block, trials: Sequence[PlannedTrial]) -> TrialConfig:
    """Configuration of the block's first trial; for a search, without what it chooses."""
    own = next((trial.config for trial in trials if block.name in trial.blocks), None)
    return own or compose([*study.overrides, *block.overrides])


def _check_score(score: str, config: TrialConfig, where: str) -> None:
    if score not in (names := score_names(config)):
        near = nearest(score, names)
        raise UserError(
            f"{where}: score={score} is not a score of its trials{near} Scores: {', '.join(names)}"
        )


def _check_keys(figure: Figure, block: Block, config: TrialConfig, where: str) -> None:
    axes = [*block.factors(), *factors(block.tune.axes if block.tune else {})]
    for name, key in (("x", figure.x), ("line", figure.line)):
        if key != ALL and key not in axes and not _has(config, key):
            raise UserError(
                f"{where}: {name}={key}: not a key of its trials{nearest(key, axes)} Axes: {', '.join(axes)}"
            )


def _has(config: TrialConfig, key: str) -> bool:
    node: Any = config
    for part in key.split("."):
        node = asdict(node) if is_dataclass(node) and not isinstance(node, type) else node
        if not isinstance(node, dict) or part not in node:
            return False
        node = node[part]
    return True
