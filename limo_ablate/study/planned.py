"""The trials of a study: every point of every block under every seed, composed and named.

Two blocks that ask for the same trial share it: a trial is identified by the hash of its resolved
configuration, not by how it was asked for. `search/search.py` plans the trials that searches propose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from limo_ablate.core.overrides import format_override, parse_overrides
from limo_ablate.study.axes import Point
from limo_ablate.study.block import Block
from limo_ablate.study.design import Study
from limo_ablate.study.naming import names
from limo_ablate.trial.compose import compose_trials
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.identity import TrialLabels, trial_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Where a trial comes from that a search proposed."""

    search: str
    """The search's name."""
    number: int
    """Its place among the proposals, from 0."""
    levels: Point
    """What the search chose; the trial's own levels may hold more."""
    sampler: dict[str, Any]
    """What the sampler wants to know of it again (NSGA-II: its generation)."""

    def row(self) -> dict[str, Any]:
        """What the ledger keeps of it, as JSON can hold it."""
        return {"number": self.number, "levels": self.levels, "sampler": self.sampler}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTrial:
    """One trial of a study."""

    name: str
    """`size64-L5-s0`: its levels and its seed; unique within the study."""
    key: str
    """Hash of all that decides its result."""
    overrides: tuple[str, ...]
    """Everything asked for, in order; `limo-ablate OVERRIDES` runs it alone."""
    levels: dict[str, Any]
    """Axis -> level."""
    seed: int
    blocks: tuple[str, ...]
    config: TrialConfig
    proposal: Proposal | None = None
    """Of a trial that was not known beforehand."""

    @property
    def id(self) -> str:
        """What the ledger knows it by: two searches may propose the same trial, and each has its row."""
        return f"{self.proposal.search}/{self.proposal.number}" if self.proposal else self.key

    @property
    def folder(self) -> str:
        """Its folder under `trials/`."""
        return f"{self.name}-{self.key[:6]}"

    def labels(self, study: str) -> TrialLabels:
        """With every override, so that the trial's record says all that was asked for; the last one holds."""
        asked = {given.key: given.values[0] for given in parse_overrides(self.overrides)}
        return TrialLabels(study=study, cell=asked, name=self.name)


@dataclass(frozen=True, slots=True)
class TrialSpec:
    """A trial before it is composed."""

    block: str
    overrides: tuple[str, ...]
    levels: Point
    seed: int


def planned_trials(study: Study) -> list[PlannedTrial]:
    """All trials known beforehand, the first seed's first, so that an interrupted study has whole grids.

    Raises UserError.
    """
    wanted = list(trial_specs(study))
    configs = compose_trials([w.overrides for w in wanted])
    found: dict[str, tuple[TrialSpec, TrialConfig, list[str]]] = {}
    for w, config, key in zip(wanted, configs, trial_keys(configs), strict=True):
        blocks = found.setdefault(key, (w, config, []))[2]
        if w.block not in blocks:
            blocks.append(w.block)
    named = trial_names([w for w, _, _ in found.values()])
    return [
        PlannedTrial(
            name=name,
            key=key,
            overrides=w.overrides,
            levels=w.levels,
            seed=w.seed,
            blocks=tuple(blocks),
            config=config,
        )
        for name, (key, (w, config, blocks)) in zip(named, found.items(), strict=True)
    ]


def trial_specs(study: Study) -> Iterator[TrialSpec]:
    """What is wanted of the blocks whose trials are known beforehand. Raises UserError."""
    points = {block.name: block.points() for block in study.blocks if not block.adaptive}
    for seed in all_seeds(study):
        for block in study.blocks:
            if block.name in points and seed in (block.seeds or study.seeds):
                yield from (trial_spec(study, block, point, seed) for point in points[block.name])


def all_seeds(study: Study) -> list[int]:
    """The seeds of the study and of its blocks, each once."""
    return list(dict.fromkeys([*study.seeds, *(s for block in study.blocks for s in block.seeds or ())]))


def trial_spec(study: Study, block: Block, point: Point, seed: int) -> TrialSpec:
    """The trial of a point of a block under a seed."""
    asked = (format_override(key, level) for key, level in point.items())
    return TrialSpec(block.name, (*study.overrides, *block.overrides, *asked, f"seed={seed}"), point, seed)


def trial_names(wanted: Sequence[TrialSpec]) -> list[str]:
    """Levels and seed; where that is not unique, the block's name comes before it."""
    return names([w.levels for w in wanted], [w.block for w in wanted], [f"s{w.seed}" for w in wanted])
