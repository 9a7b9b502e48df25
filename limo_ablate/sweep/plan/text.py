"""A plan as text and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from limo_ablate.analysis.power import POWER
from limo_ablate.core.text import counted
from limo_ablate.model.train.checkpoint import KEPT
from limo_ablate.model.train.memory import size
from limo_ablate.study.budget import Use
from limo_ablate.study.stop import planned
from limo_ablate.sweep.plan.detectable import Detectable
from limo_ablate.sweep.plan.fit import Fit
from limo_ablate.sweep.plan.plan import DevicePool, Plan
from limo_ablate.sweep.plan.work import ASSUMED_MODEL

WHERE = {"here": " of this machine", "given": "", "assumed": " (not available on this machine)"}
"""What is said of devices, by `DevicePool.source`."""
LISTED = 10
"""Most trials to name where a budget leaves some out."""


def facts(plan: Plan) -> dict[str, Any]:
    """As JSON: seconds, bytes, accuracies from 0 to 1."""
    not_run = [item.name for pool in plan.pools for item in pool.schedule.not_run]
    spent, left = plan.spent, sum((block.left for block in plan.blocks), Use())
    return {
        "study": plan.study.name,
        "trials": plan.trials,
        "cells": plan.cells,
        "done": sum(block.done for block in plan.blocks),
        "device_seconds": {"spent": spent.device_seconds, "left": left.device_seconds},
        "money": {"spent": spent.money, "left": left.money} if plan.priced else None,
        "learnt_from": plan.learnt,
        "blocks": [
            {
                "name": block.name, "design": block.design, "trials": block.trials, "seeds": block.seeds,
                "done": block.done, "longest_seconds": block.longest,
                "left_device_seconds": block.left.device_seconds, "factor": math.exp(block.spread),
            }
            for block in plan.blocks
        ],
        "devices": [
            {
                "kind": "GPU" if pool.gpu else "core", "count": sum(pool.machines), "machines": pool.machines,
                "here": pool.source == "here", "seconds": pool.schedule.seconds,
                "trials": len(pool.schedule.run),
            }
            for pool in plan.pools
        ],
        "not_run": not_run,
        "memory": [
            {
                "model": fit.model, "hardware": fit.hardware, "training_bytes": fit.training,
                "checkpoint_bytes": fit.checkpoint, "saved_bytes": fit.saved,
                "decoding_bytes": fit.decoding, "device_bytes": fit.capacity, "fits": fit.holds,
                "advice": fit.advice,
            }
            for fit in plan.fits
        ],
        "aliases": plan.aliases,
        "problems": [
            {"reason": reason, "trials": names} for reason, names in plan.preflight.problems.items()
        ],
        "sequential": _sequential_facts(plan),
        "named_by_study": plan.named,
        "teachers": plan.teachers,
        "not_checked": plan.preflight.lines(plan.preflight.unknown | plan.preflight.broken),
        "contrasts": [_contrast_facts(seen) for seen in plan.contrasts],
    }  # fmt: skip


def _contrast_facts(seen: Detectable) -> dict[str, Any]:
    return {
        "name": seen.contrast.name, "compared": seen.contrast.comparison,
        "score": seen.contrast.score_name, "problems": seen.problems,
        "samples": seen.samples, "trials": seen.trials, "seeds": seen.seeds, "pilots": seen.pilots,
        "detectable": seen.effect, "detectable_between": seen.between,
        "wanted": seen.contrast.effect, "blind": seen.blind,
        "over": seen.over, "seeds_needed": seen.seeds_needed, "samples_needed": seen.samples_needed,
        "flat": seen.flat, "margin": seen.contrast.margin, "equivalence": seen.equivalence,
        "equivalence_seeds": seen.equivalence_seeds,
    }  # fmt: skip


def _sequential_facts(plan: Plan) -> dict[str, Any] | None:
    """The looks of a study with `stop`, and the trials that they are expected to take."""
    stop, seen = plan.study.stop, plan.sequential
    if stop is None or seen is None:
        return None
    each = plan.trials / stop.max_seeds
    none, at_effect, twice = seen.expected
    return {
        "spending": stop.spending, "max_seeds": stop.max_seeds,
        "looks": [
            {"seeds": seeds, "p_below": different, "p_equivalence_below": equivalent}
            for seeds, (different, equivalent) in zip(planned(stop), seen.levels, strict=True)
        ],
        "expected": [
            {"effect": effect, "seeds": seeds, "trials": seeds * each}
            for effect, seeds in ((0, none), (1, at_effect), (2, twice))
        ],
        "fixed": {"seeds": seen.fixed, "trials": seen.fixed * each},
    }  # fmt: skip


def text(plan: Plan) -> str:
    done, count = sum(block.done for block in plan.blocks), counted(plan.trials, "trial")
    if plan.cells not in (None, plan.trials):
        count += f" ({counted(plan.cells, 'cell')})"
    basis = (
        counted(plan.learnt, "finished trial") if plan.learnt else "arithmetic alone, for H100s and CPU cores"
    )
    lines = [f"{plan.study.name}: {count}, {done} done; forecast from {basis}", *_warning(plan)]
    lines += _blocks(plan)
    lines += [
        f"  SIZE UNKNOWN: model {name} is assumed to be as large as {ASSUMED_MODEL}; set model.shape"
        for name in sorted({fit.model for fit in plan.fits if not fit.decoding})
    ]
    lines += [line for pool in plan.pools for line in _pool(plan, pool)]
    if plan.fits:
        lines += ["", "Memory of a device", *_table([_fit(fit) for fit in plan.fits])]
        lines += [f"  {fit.model} on {fit.hardware}: {fit.advice}" for fit in plan.fits if fit.advice]
        lines += _disk(plan.fits)
    for block, rows in plan.aliases.items():
        lines += ["", f"Main effects and two-factor interactions that are aliased in block {block}"]
        lines += [f"  {' = '.join(row)}" for row in rows if len(row) > 1] or ["  none"]
    if plan.contrasts:
        lines += ["", "Smallest detectable difference (80 % power, alpha 5 % over the primary contrasts)"]
        lines += _table([_contrast(seen) for seen in plan.contrasts])
        lines += [_blind(seen) for seen in plan.contrasts if seen.blind]
        lines += [_flat(seen) for seen in plan.contrasts if seen.flat is not None]
        lines += [_equivalence(seen) for seen in plan.contrasts if seen.equivalence is not None]
        lines += [_single(seen) for seen in plan.contrasts if seen.seeds == 1]
    lines += [
        f"  {contrast.name}: in nats per token, whose noise is not known before its trials have run"
        for contrast in plan.study.contrasts
        if contrast.unit != "share"
    ]
    if plan.teachers:
        lines += ["", "Teachers, asked by the first trial that needs their solutions"]
        lines += [f"  {line}" for line in plan.teachers]
    lines += _sequential(plan)
    if plan.named:
        lines += ["", "Named by the study itself; it runs only if you trust it (`sweep --trust`, once)"]
        lines += [f"  {line}" for line in plan.named]
    checked = plan.preflight
    if unknown := checked.lines(checked.unknown | checked.broken):
        lines += ["", "Known only when it runs", *(f"  {line}" for line in unknown)]
    if problems := checked.lines(checked.problems):
        lines += ["", "PROBLEMS, with which `sweep` starts nothing", *(f"  {line}" for line in problems)]
    return "\n".join(lines)


def _warning(plan: Plan) -> list[str]:
    """A first line about contrasts that the study is made for and would not detect."""
    primary = [seen for seen in plan.contrasts if seen.contrast.primary]
    blind = [seen.contrast.name for seen in primary if seen.blind]
    count = f"{len(blind)} of {len(primary)} primary contrasts"
    return [f"WARNING: {count} can't be detected as planned: {', '.join(blind)}; see below"] if blind else []


def _blocks(plan: Plan) -> list[str]:
    kinds = {pool.gpu for pool in plan.pools}
    unit = "device-hours" if len(kinds) > 1 else "GPU-hours" if True in kinds else "core-hours"
    rows = [["block", "design", "trials", "seeds", "done", "longest", "left", "within"]]
    for block in plan.blocks:
        rows.append([
            block.name, block.design, str(block.trials), str(block.seeds), str(block.done),
            span(block.longest), f"{hours(block.left.device_seconds)} {unit}",
            f"x/÷ {math.exp(block.spread):.1f}" if block.left.device_seconds else "",
        ])  # fmt: skip
    return _table(rows)


def _pool(plan: Plan, pool: DevicePool) -> list[str]:
    kind, timetable = "GPU" if pool.gpu else "core", pool.schedule
    count = counted(len(timetable.run), "trial")
    devices, machines = sum(pool.machines), len(pool.machines)
    where = f"{devices} {kind}s" if devices > 1 else f"one {kind}"
    where += f" on {machines} machines" if machines > 1 else ""
    where += WHERE[pool.source]
    work = sum((item.forecast.use for item in timetable.run), Use())
    cost = f", a cost of {work.money:,.{0 if work.money >= 100 else 2}f}" if plan.priced else ""
    lines = [
        "",
        f"{count}, {hours(work.device_seconds)} {kind}-hours{cost}: {span(timetable.seconds)} on {where}; "
        "base models and the report come on top",
    ]
    if timetable.not_run:
        left_out = counted(len(timetable.not_run), "trial")
        lines.append(f"NOT RUN, to stay within the budget of {plan.study.budget}: {left_out}")
        lines += [
            f"  {item.name}: forecast {span(item.forecast.seconds)}" for item in timetable.not_run[:LISTED]
        ]
        if len(timetable.not_run) > LISTED:
            lines.append(f"  and {len(timetable.not_run) - LISTED} more")
    return lines


def _fit(fit: Fit) -> list[str]:
    if not fit.decoding:
        return [fit.model, fit.hardware, "size unknown", "", ""]
    training = f"training {size(fit.training)}" if fit.training else "no training"
    memory = f"{size(fit.capacity)} {'available' if fit.known else 'assumed'}"
    verdict = f"fits ({memory})" if fit.holds else f"DOES NOT FIT ({memory})"
    if not fit.holds and fit.smallest:
        verdict += f", needs {fit.smallest / 1e9:.0f} GB"
    return [fit.model, fit.hardware, training, f"decoding {size(fit.decoding)}", verdict]


def _sequential(plan: Plan) -> list[str]:
    """What the stopping rule is expected to save."""
    stop, seen = plan.study.stop, plan.sequential
    if stop is None or seen is None:
        return []
    looks = ", ".join(map(str, planned(stop)))
    each = plan.trials / stop.max_seeds
    none, at_effect, twice = (f"{seeds:.1f} seeds ({seeds * each:.0f} trials)" for seeds in seen.expected)
    saved = 100 * (1 - seen.expected[1] / seen.fixed)
    below = ", ".join(f"{different:.2g}" for different, _ in seen.levels)
    return [
        "",
        f"Sequential: looks after {looks} seeds ({stop.spending}); above is for all {stop.max_seeds} seeds",
        f"  a look shows a difference where p is below {below}",
        f"  until a contrast is decided: {none} without a difference, {at_effect} with the one that "
        f"{stop.max_seeds} seeds detect with 80 % power, {twice} with twice that",
        f"  a fixed design of equal power has {seen.fixed} seeds ({seen.fixed * each:.0f} trials), so at "
        f"that difference it saves {max(0, saved):.0f} %: modest; equivalence and futility end it earlier",
    ]


def _disk(fits: Sequence[Fit]) -> list[str]:
    trained = {
        (fit.model, size(fit.saved), size(fit.checkpoint), size(fit.checkpoint * (KEPT + 1)))
        for fit in fits
        if fit.checkpoint
    }
    rows = [
        [model, f"{saved} of weights are kept", f"a checkpoint {one}, up to {most} while it trains"]
        for model, saved, one, most in sorted(trained)
    ]
    return ["", "On the disk, of each training", *_table(rows)] if rows else []


def _contrast(seen: Detectable) -> list[str]:
    noise = f"noise from {counted(seen.pilots, 'finished trial')}" if seen.pilots else "noise assumed"
    known = "" if seen.counted else " (the whole benchmark's)"
    return [
        seen.contrast.name,
        _detectable(seen),
        f"{seen.contrast.score_name}: {counted(seen.problems, 'problem')}{known} x {seen.samples}",
        f"{counted(seen.trials, 'trial')} per arm",
        noise if seen.contrast.primary else f"{noise}, secondary",
    ]


def _detectable(seen: Detectable) -> str:
    """`7.4 points`; from pilots with a range, `7.4 (5.9 to 12.3) points`."""
    if seen.effect >= 1:
        return "nothing"
    low, high = seen.between
    if low == high:
        return f"{100 * seen.effect:.1f} points"
    end = f"{100 * high:.1f}" if high < 1 else "nothing"
    return f"{100 * seen.effect:.1f} ({100 * low:.1f} to {end}) points"


def _blind(seen: Detectable) -> str:
    wanted = seen.contrast.effect
    if not wanted:
        return f"  {seen.contrast.name}: CAN'T DETECT ANYTHING: more problems, samples or seeds are needed"
    word = "seeds" if seen.over == "seed" else f"levels of {seen.over}"
    used = "one seed" if (seen.seeds, seen.over) == (1, "seed") else f"{seen.seeds} {word}"
    more = f"{word} and of seeds" if seen.trainings > 1 else word
    enough = [f"{seen.seeds_needed} {more}"] if seen.seeds_needed else []
    enough += [f"{seen.samples_needed} samples of each problem"] if seen.samples_needed else []
    nothing = f"no number of {more} or samples suffices: more problems are needed"
    needed = f"it needs {' or '.join(enough)}" if enough else nothing
    verdict = f"its {100 * wanted:g} points CAN'T BE DETECTED with {used}; {needed}"
    return f"  {seen.contrast.name}: {verdict}"


def _flat(seen: Detectable) -> str:
    what = "nothing" if seen.flat == 0 else "everything"
    return f"  {seen.contrast.name}: its finished trials solved {what}; arms that all do give NO INFORMATION"


def _equivalence(seen: Detectable) -> str:
    shown = f"equivalence within {100 * (seen.contrast.margin or 0):g} points"
    share = f"would be shown in {100 * (seen.equivalence or 0):.0f} % of studies without a difference"
    word = "seeds" if seen.over == "seed" else f"levels of {seen.over}"
    more = f"; 80 % need {seen.equivalence_seeds} {word}" if seen.equivalence_seeds else ""
    if not more and (seen.equivalence or 0) < POWER:
        more = f"; no number of {word} suffices: more problems, samples or a larger margin"
    return f"  {seen.contrast.name}: {shown} {share}{more}"


def _single(seen: Detectable) -> str:
    return f"  {seen.contrast.name}: one seed, so this is about these trainings only, chance included"


def _table(rows: Iterable[Sequence[str]]) -> list[str]:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = (("  ".join(trial.ljust(w) for trial, w in zip(row, widths, strict=True))) for row in rows)
    return [f"  {line}".rstrip() for line in padded]


def hours(seconds: float) -> str:
    return f"{seconds / 3600:,.2f}" if seconds < 36000 else f"{seconds / 3600:,.0f}"


def span(seconds: float) -> str:
    """45 s, 12 min, 3.4 h, 5.1 days."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"
