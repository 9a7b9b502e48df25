"""New proposals of a search: Optuna's samplers, run on a study rebuilt from the ledger's rows.

The sampler's study is kept in memory for one call. Its seed is derived from the search's name and the
proposal's number, so that the same rows give the same proposal in whatever runner.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from limo_ablate.core.artifacts import content_key
from limo_ablate.study.axes import Levels, Point, Range, keys, meets, settings
from limo_ablate.study.choices import SAMPLERS
from limo_ablate.study.planned import Proposal
from limo_ablate.study.search.search import Search, latest

TRIES = 20
"""Proposals that may be discarded, as already tried or excluded, before a random new point is drawn."""
RANDOM_TRIES = 2000
STARTUP = 10
"""Random trials before a model is fitted to them, Optuna's default; in a short search, a third of the
trials."""


def new_proposals(search: Search, rows: Sequence[FrozenTrial], count: int) -> list[Proposal]:
    """Up to `count` new points, none of which the search has already tried; fewer when there are no more."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    known = latest(rows)
    study = optuna.create_study(directions=[objective.direction for objective in search.objectives])
    for row in known.values():
        if (trial := _trial(search, row)) is not None:
            study.add_trial(trial)
    seen = {repr(row.user_attrs["proposal"]["levels"]) for row in known.values()}
    proposals: list[Proposal] = []
    first = max(known, default=-1) + 1
    with _one_thread() if search.sampler == "gp" else nullcontext():
        for number in range(first, first + count):
            proposal = _new(search, study, number, seen)
            if proposal is None:
                break
            seen.add(repr(proposal.levels))
            proposals.append(proposal)
    return proposals


@contextmanager
def _one_thread() -> Iterator[None]:
    """With so few points, a Gaussian process is many times slower on several threads of shared cores."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _new(search: Search, study: optuna.Study, number: int, seen: set[str]) -> Proposal | None:
    seed = int(content_key("proposal", 1, {"search": search.name, "number": number})[:8], 16) % 2**31
    study.sampler = sampler(search, seed)
    for _ in range(TRIES):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            trial = study.ask()
            levels = _suggested(search, trial)
        if _fits(search, levels, seen):
            attributes = study.trials[trial.number].system_attrs
            return Proposal(search=search.name, number=number, levels=levels, sampler=_kept(attributes))
        study.tell(trial, state=TrialState.FAIL)
    rng = random.Random(seed)
    for _ in range(RANDOM_TRIES):
        levels = _random_point(search, rng)
        if _fits(search, levels, seen):
            study.add_trial(_frozen(search, levels, TrialState.RUNNING, {}))
            return Proposal(search=search.name, number=number, levels=levels, sampler={})
    return None


def sampler(search: Search, seed: int) -> BaseSampler:
    """A new sampler for a search."""
    startup = min(STARTUP, max(2, search.n // 3))
    made: BaseSampler = SAMPLERS.load(search.sampler)(search, seed, startup)
    return made


def tpe(search: Search, seed: int, startup: int) -> BaseSampler:
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup, constant_liar=True)


def gp(search: Search, seed: int, startup: int) -> BaseSampler:
    return optuna.samplers.GPSampler(seed=seed, n_startup_trials=startup)


def nsga2(search: Search, seed: int, startup: int) -> BaseSampler:
    return optuna.samplers.NSGAIISampler(seed=seed, population_size=search.population)


def at_random(search: Search, seed: int, startup: int) -> BaseSampler:
    return optuna.samplers.RandomSampler(seed=seed)


def distribution(levels: Levels) -> BaseDistribution:
    """The distribution of an axis; a list is an unordered choice among indices, as a level may be
    anything."""
    if not isinstance(levels, Range):
        return CategoricalDistribution(range(len(levels)))
    if levels.whole:
        step = 1 if levels.step is None else int(levels.step)
        return IntDistribution(int(levels.low), int(levels.high), log=levels.log, step=step)
    return FloatDistribution(levels.low, levels.high, log=levels.log, step=levels.step)


def _suggested(search: Search, trial: Trial) -> Point:
    """The sampler's choice, axis by axis; a conditional axis only where its condition is met."""
    point: Point = {}
    when = search.space.when or {}
    for axis, levels in search.space.axes.items():
        if axis in when and not meets(point, when[axis]):
            continue
        chosen = trial._suggest(axis, distribution(levels))
        point |= settings(axis, [levels.tidy(chosen) if isinstance(levels, Range) else levels[chosen]])[0]
    return point


def _random_point(search: Search, rng: random.Random) -> Point:
    point: Point = {}
    when = search.space.when or {}
    for axis, levels in search.space.axes.items():
        if axis not in when or meets(point, when[axis]):
            chosen = levels.draw(rng) if isinstance(levels, Range) else rng.choice(levels)
            point |= settings(axis, [chosen])[0]
    return point


def _fits(search: Search, levels: Point, seen: set[str]) -> bool:
    excluded = any(meets(levels, left_out) for left_out in search.space.exclude)
    return not excluded and repr(levels) not in seen


def _trial(search: Search, row: FrozenTrial) -> FrozenTrial | None:
    """The row as a trial of the sampler's study; None where it has no information (failed, or other axes)."""
    proposal, result = row.user_attrs["proposal"], row.user_attrs.get("result", {})
    more: dict[str, Any] = {}
    state = TrialState.RUNNING if row.state == TrialState.WAITING else row.state
    if state == TrialState.FAIL:
        return None
    if state == TrialState.COMPLETE:
        more["values"] = row.user_attrs.get("values", result.get("values"))
    if state == TrialState.PRUNED and "reports" in result:
        step, value = result["reports"]
        more["intermediate_values"] = {int(step): float(value)}
    try:
        return _frozen(search, proposal["levels"], state, proposal["sampler"], **more)
    except ValueError:  # the axes no longer have this level
        return None


def _frozen(search: Search, levels: Point, state: TrialState, attributes: Any, **more: Any) -> FrozenTrial:
    """Raises ValueError for a level that the axes don't have."""
    params: dict[str, Any] = {}
    distributions: dict[str, BaseDistribution] = {}
    for axis, allowed in search.space.axes.items():
        if any(key not in levels for key in keys(axis)):
            continue
        own = {key: levels[key] for key in keys(axis)}
        distributions[axis] = distribution(allowed)
        params[axis] = levels[axis] if isinstance(allowed, Range) else settings(axis, allowed).index(own)
    return create_trial(
        state=state, params=params, distributions=distributions, system_attrs=attributes, **more
    )


def _kept(attributes: dict[str, Any]) -> dict[str, Any]:
    """What a sampler needs again in a later study: the generation, not what it inferred for this trial."""
    return {key: value for key, value in attributes.items() if key.endswith(":generation")}
