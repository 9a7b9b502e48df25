"""A comparison as text for a terminal, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from limo_ablate.report.compare.arms import Arm
from limo_ablate.report.compare.differences import Difference, configurations, runs
from limo_ablate.report.compare.paired_scores import (
    HEALTH,
    Flips,
    ScoreComparison,
    ScoreDifference,
    compare_scores,
    score_facts,
)

NO_SEED = "no common seed, so each arm's mean over its seeds, and the error is over problems only"
IDS = 5
"""Problems that are listed."""
NAMES = {"avg": "accuracy", "no_answer": "no answer"}
HEADER = ("score", "", "A", "B", "B - A", "95 %", "p", "n")


def as_json(a: Arm, b: Arm) -> str:
    """All of it."""
    told = {
        **{side: {"name": str(arm), "seeds": arm.seeds} for side, arm in (("a", a), ("b", b))},
        "configuration": [asdict(one) for one in configurations(a, b)],
        "run": [{"key": one.key, "a": one.a, "b": one.b} for one in runs(a, b)],
        **score_facts(compare_scores(a, b)),
    }
    return json.dumps(told, indent=1, ensure_ascii=False)


def as_text(a: Arm, b: Arm) -> str:
    """What a person wants to know first, first."""
    found = compare_scores(a, b)
    return "\n".join(
        [
            f"A  {a}  {_trials(a)}",
            f"B  {b}  {_trials(b)}",
            *_configuration(configurations(a, b)),
            *_listed("code, versions, hardware", runs(a, b)),
            *_scores(found),
            *(line for flips in found.flips for line in _flips(flips)),
        ]
    )


def _trials(arm: Arm) -> str:
    return f"{len(arm.trials)} finished, seeds {', '.join(map(str, arm.seeds))}"


def _configuration(found: Sequence[Difference]) -> Iterator[str]:
    yield from _listed("configuration", [one for one in found if one.matters])
    if rest := [one for one in found if not one.matters]:
        yield from _listed("where it ran, which changes no result", rest)


def _listed(title: str, found: Sequence[Difference]) -> Iterator[str]:
    if not found:
        yield f"{title}: the same"
        return
    yield f"{title}:"
    width = max(len(one.key) for one in found)
    yield from (f"  {one.key:{width}}  {one.a} → {one.b}" for one in found)


def _scores(found: ScoreComparison) -> Iterator[str]:
    seeds = f"{len(found.seeds)} common seed{'s' * (len(found.seeds) > 1)}" if found.seeds else NO_SEED
    yield f"scores in per cent, on the problems that both answered; {seeds}:"
    told = [row for row in found.rows if row.measure not in HEALTH or row.a or row.b]
    rows = [HEADER, *map(_row, told)]
    width = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    for row in rows:
        words = [text.ljust(size) for text, size in zip(row[:2], width[:2], strict=True)]
        numbers = [text.rjust(size) for text, size in zip(row[2:], width[2:], strict=True)]
        yield "  " + "  ".join([*words, *numbers]).rstrip()


def _row(row: ScoreDifference) -> tuple[str, ...]:
    scale = 1 if row.measure == "tokens" else 100
    a, b = (f"{scale * value:.1f}" for value in (row.a, row.b))
    interval, p = "–", "–"
    if row.low is not None and row.high is not None and row.p is not None:
        interval = f"[{scale * row.low:+.1f}, {scale * row.high:+.1f}]"
        p = "< 0.001" if row.p < 0.001 else f"{row.p:.3f}"
    name = NAMES.get(row.measure, row.measure)
    return (
        row.score,
        name,
        a,
        b,
        f"{scale * row.difference:+.1f}",
        interval,
        p,
        f"{row.problems}×{row.seeds}",
    )


def _flips(flips: Flips) -> Iterator[str]:
    counts = f"{len(flips.only_a)} right in A only, {len(flips.only_b)} in B only"
    yield f"problems of {flips.benchmark}, of {flips.problems}: {counts}"
    for side, found in (("A", flips.only_a), ("B", flips.only_b)):
        if found:
            ids = [f"{problem} ({100 * a:.0f} → {100 * b:.0f} %)" for problem, a, b in found[:IDS]]
            more = f" and {len(found) - IDS} more" if len(found) > IDS else ""
            yield f"  {side} only: {', '.join(ids)}{more}"
