"""The trials of a study: every point of every block under every seed, composed and named.

Two blocks that ask for the same trial share it: a trial is identified by the hash of its resolved
configuration, not by how it was asked for. `search/search.py` plans the trials that searches propose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from limo_ablate.core.errors import UserError
from limo_ablate.core.hardware import HardwareConfig
from limo_ablate.core.overrides import format_override, parse_overrides
from limo_ablate.core.remote.object_store import store_folder
from limo_ablate.core.text import counted
from limo_ablate.study.axes import Point
from limo_ablate.study.block import Block
from limo_ablate.study.design import Study
from limo_ablate.study.naming import unique_names
from limo_ablate.study.points import points
from limo_ablate.trial.compose import compose_trials
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.identity import TrialLabels, trial_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """The search that proposed a trial, and what it chose."""

    search: str
    """Name of the search."""
    number: int
    """Its number among the proposals, from 0."""
    levels: Point
    """The levels that the search chose; the trial may have more."""
    sampler: dict[str, Any]
    """What the sampler needs to know again (NSGA-II: the generation)."""

    def row(self) -> dict[str, Any]:
        """What the ledger keeps, as JSON."""
        return {"number": self.number, "levels": self.levels, "sampler": self.sampler}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTrial:
    """A trial with its composed configuration and its key, before it is run."""

    name: str
    """`size64-L5-s0`: its levels and its seed; unique within the study."""
    key: str
    """Hash of everything that decides its result."""
    overrides: tuple[str, ...]
    """All overrides, in order; `limo-ablate OVERRIDES` runs the trial alone."""
    levels: dict[str, Any]
    """Axis -> level."""
    seed: int
    blocks: tuple[str, ...]
    config: TrialConfig
    proposal: Proposal | None = None
    """Set where a search proposed the trial."""

    @property
    def id(self) -> str:
        """Its id in the ledger; not the key where a search proposed it, as two searches may propose the same
        trial."""
        return f"{self.proposal.search}/{self.proposal.number}" if self.proposal else self.key

    @property
    def folder(self) -> str:
        """Name of its folder under `trials/`: its key, as names change when a study grows or is reordered.

        Of a proposed trial with its name, since two searches may propose the same trial.
        """
        return f"{self.key}-{self.name}" if self.proposal else self.key

    @property
    def hardware(self) -> HardwareConfig:
        return self.config.hardware

    @property
    def executor(self) -> str:
        return self.config.launch.executor

    @property
    def store(self) -> Path:
        """The store's folder, or that of its local copies."""
        return store_folder(self.config.paths.artifacts, self.config.paths.cache)

    def labels(self, study: str) -> TrialLabels:
        """Labels with every override, so that the trial's record is complete; of two for a key, the last
        holds."""
        overrides = {given.key: given.values[0] for given in parse_overrides(self.overrides)}
        return TrialLabels(study=study, cell=overrides, name=self.name)


class ShownTrial(Protocol):
    """What is told of a trial beside its state: a `PlannedTrial` has it, and one that was kept without its
    configuration (`limo_ablate/sweep/kept_plan.py`)."""

    @property
    def name(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def folder(self) -> str: ...
    @property
    def overrides(self) -> tuple[str, ...]: ...
    @property
    def proposal(self) -> Proposal | None: ...
    @property
    def hardware(self) -> HardwareConfig: ...
    @property
    def executor(self) -> str: ...
    @property
    def store(self) -> Path: ...


@dataclass(frozen=True, slots=True)
class TrialSpec:
    """A trial before its configuration is composed."""

    block: str
    overrides: tuple[str, ...]
    levels: Point
    seed: int


def planned_trials(study: Study) -> list[PlannedTrial]:
    """All trials known beforehand, the first seed first, so that an interrupted study has whole grids.

    Raises UserError.
    """
    if study.imported:
        raise UserError(
            f"{study.name}: imported from logs, so nothing of it runs; `report` and `compare` read it"
        )
    specs = list(trial_specs(study))
    configs = compose_trials([spec.overrides for spec in specs])
    by_key: dict[str, tuple[TrialSpec, TrialConfig, list[str]]] = {}
    for spec, config, key in zip(specs, configs, trial_keys(configs), strict=True):
        blocks = by_key.setdefault(key, (spec, config, []))[2]
        if spec.block not in blocks:
            blocks.append(spec.block)
    names = trial_names([spec for spec, _, _ in by_key.values()])
    return [
        PlannedTrial(
            name=name,
            key=key,
            overrides=spec.overrides,
            levels=spec.levels,
            seed=spec.seed,
            blocks=tuple(blocks),
            config=config,
        )
        for name, (key, (spec, config, blocks)) in zip(names, by_key.items(), strict=True)
    ]


def trial_specs(study: Study) -> Iterator[TrialSpec]:
    """The trials of the blocks whose points are known beforehand. Raises UserError."""
    by_block = {block.name: points(block) for block in study.blocks if not block.adaptive}
    for seed in all_seeds(study):
        for block in study.blocks:
            if block.name in by_block and seed in (block.seeds or study.seeds):
                yield from (trial_spec(study, block, point, seed) for point in by_block[block.name])


def all_seeds(study: Study) -> list[int]:
    """The seeds of the study and of its blocks, each once."""
    return list(dict.fromkeys([*study.seeds, *(s for block in study.blocks for s in block.seeds or ())]))


def trial_spec(study: Study, block: Block, point: Point, seed: int) -> TrialSpec:
    """The trial at a point of a block under a seed."""
    levels = (format_override(key, level) for key, level in point.items())
    return TrialSpec(block.name, (*study.overrides, *block.overrides, *levels, f"seed={seed}"), point, seed)


def trial_names(specs: Sequence[TrialSpec]) -> list[str]:
    """Names from levels and seed, prefixed with the block's name where that is not unique."""
    return unique_names(
        [spec.levels for spec in specs], [spec.block for spec in specs], [f"s{spec.seed}" for spec in specs]
    )


def cell_count(trials: Sequence[ShownTrial]) -> int:
    """Number of cells: trials that differ in more than their seed."""
    return len({tuple(o for o in trial.overrides if not o.startswith("seed=")) for trial in trials})


def count_text(trials: Sequence[ShownTrial], total: int) -> str:
    """`96 trials (32 cells)`; without the cells where there is one seed, or where searches are to propose
    more."""
    cells = cell_count(trials)
    known = len(trials) == total != cells
    return counted(total, "trial") + (f" ({counted(cells, 'cell')})" if known else "")
