"""Prints a finished trial as a table in the terminal."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from limo_ablate.core.terminal import Terminal
from limo_ablate.core.text import counted

SHARES = {
    "boxed": "boxed",
    "lenient": "lenient",
    "no_answer": "no ans.",
    "undecided": "undec.",
    "truncated": "trunc.",
}


def print_trial(metrics: dict[str, Any], folder: Path) -> None:
    """Prints the scores in percent, a line for each benchmark and group."""
    table = Table(
        title=title(metrics), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False
    )
    table.add_column("benchmark", no_wrap=True)
    for column in ("acc. ± se", *SHARES.values(), "tok.", "n"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, score in metrics["scores"].items():
        shares = [percent(score[share]) for share in SHARES]
        n = f"{score['problems']}×{score['samples']}"
        accuracy = plus_minus(score["accuracy"], score["stderr"])
        table.add_row(name, accuracy, *shares, f"{score['tokens']:.0f}", n)
    console = Terminal()
    console.print(table)
    for name, score in metrics["scores"].items():
        if others := other_scores(score):
            console.print(f"{name}: {others}")
    console.print(f"in percent; {metrics['total_seconds']:.1f} s; recorded in {folder}")


def other_scores(score: dict[str, Any]) -> str:
    """Scores that have no column in the table: pass@k, maj@n, those of a judge or a probe."""
    shown = ("accuracy", "tokens", "problems", "samples", "loops", *SHARES)
    kept = {key: value for key, value in score.items() if key not in shown and not key.endswith("stderr")}
    if not kept.get("unfinished"):
        kept.pop("unfinished", None)
    return ", ".join(
        f"{key} {value if isinstance(value, int) else percent(value)}" for key, value in kept.items()
    )


def title(metrics: dict[str, Any]) -> str:
    factors, train = metrics["factors"], metrics["train"]
    parts = [f"{key}={factors[key]}" for key in ("model", "train_size", "difficulty", "quality_tier")]
    if train:
        parts.append(f"{counted(train['steps'], 'step')}, {counted(train['tokens'], 'trained token')}")
    return ", ".join(parts)


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def plus_minus(mean: float, error: float) -> str:
    return percent(mean) + ("" if math.isnan(error) else f" ± {percent(error)}")
