"""A comparison of two arms as text for a terminal, or as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from limo_ablate.analysis.measures import BOUNDS
from limo_ablate.analysis.trials import Trial
from limo_ablate.core.text import counted
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
from limo_ablate.report.labels import score_word

NO_SEED = "no common seed: means of each arm over its seeds, errors over problems only"
IDS = 5
"""Maximum number of problems listed."""
NAMES = {"no_answer": "no answer", "likelihood": "likelihood, nats per token"}
HEADER = ("score", "", "A", "B", "B - A", "95 %", "p", "n")


def as_json(a: Arm, b: Arm) -> dict[str, Any]:
    """The whole comparison in JSON types."""
    return {
        **{side: {"name": str(arm), "seeds": arm.seeds} for side, arm in (("a", a), ("b", b))},
        "configuration": [asdict(one) for one in configurations(a, b)],
        "run": [{"key": one.key, "a": one.a, "b": one.b} for one in runs(a, b)],
        **score_facts(compare_scores(a, b)),
    }


def as_text(a: Arm, b: Arm) -> str:
    """The comparison as text: configurations, runs, scores, flipped problems."""
    comparison = compare_scores(a, b)
    return "\n".join(
        [
            f"A  {a}  {_trials(a)}",
            f"B  {b}  {_trials(b)}",
            *_configuration(configurations(a, b)),
            *_listed("code, versions, hardware", runs(a, b)),
            *_scores(comparison, [*a.trials, *b.trials]),
            *(
                line
                for flips in comparison.flips
                for line in _flips(flips, score_word([*a.trials, *b.trials], flips.benchmark))
            ),
        ]
    )


def _trials(arm: Arm) -> str:
    return f"{len(arm.trials)} finished, seeds {', '.join(map(str, arm.seeds))}"


def _configuration(differing: Sequence[Difference]) -> Iterator[str]:
    yield from _listed("configuration", [one for one in differing if one.matters])
    if rest := [one for one in differing if not one.matters]:
        yield from _listed("where it ran (does not change results)", rest)


def _listed(title: str, differing: Sequence[Difference]) -> Iterator[str]:
    if not differing:
        yield f"{title}: the same"
        return
    yield f"{title}:"
    width = max(len(one.key) for one in differing)
    yield from (f"  {one.key:{width}}  {one.a} → {one.b}" for one in differing)


def _scores(comparison: ScoreComparison, trials: Sequence[Trial]) -> Iterator[str]:
    seeds = counted(len(comparison.seeds), "common seed") if comparison.seeds else NO_SEED
    yield f"scores in per cent, on problems that both answered; {seeds}:"
    shown = [row for row in comparison.rows if row.measure not in HEALTH or row.a or row.b]
    rows = [HEADER, *(_row(row, score_word(trials, row.score)) for row in shown)]
    width = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    for row in rows:
        words = [text.ljust(size) for text, size in zip(row[:2], width[:2], strict=True)]
        numbers = [text.rjust(size) for text, size in zip(row[2:], width[2:], strict=True)]
        yield "  " + "  ".join([*words, *numbers]).rstrip()


def _row(row: ScoreDifference, word: str) -> tuple[str, ...]:
    scale = 1 if row.measure in BOUNDS else 100
    digits = 3 if row.measure == "likelihood" else 1
    a, b = (f"{scale * value:.{digits}f}" for value in (row.a, row.b))
    interval, p = "–", "–"
    if row.low is not None and row.high is not None and row.p is not None:
        interval = f"[{scale * row.low:+.{digits}f}, {scale * row.high:+.{digits}f}]"
        p = "< 0.001" if row.p < 0.001 else f"{row.p:.3f}"
    name = word if row.measure == "avg" else NAMES.get(row.measure, row.measure)
    return (
        row.score,
        name,
        a,
        b,
        f"{scale * row.difference:+.{digits}f}",
        interval,
        p,
        f"{row.problems}×{row.seeds}",
    )


def _flips(flips: Flips, word: str) -> Iterator[str]:
    what = "correct" if word == "accuracy" else "with half of the score or more"
    counts = f"{len(flips.only_a)} {what} in A only, {len(flips.only_b)} in B only"
    yield f"{counted(flips.problems, 'problem')} of {flips.benchmark}: {counts}"
    for side, problems in (("A", flips.only_a), ("B", flips.only_b)):
        if problems:
            ids = [f"{problem} ({100 * a:.0f} → {100 * b:.0f} %)" for problem, a, b in problems[:IDS]]
            more = f" and {len(problems) - IDS} more" if len(problems) > IDS else ""
            yield f"  {side} only: {', '.join(ids)}{more}"
