"""A finished trial as a table in the terminal."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

SHARES = ("boxed", "lenient", "no_answer", "undecided", "truncated")


def print_trial(metrics: dict[str, Any], folder: Path) -> None:
    table = Table(title=title(metrics), title_justify="left")
    table.add_column("benchmark")
    for column in ("accuracy ± se", *SHARES, "tokens", "problems × samples"):
        table.add_column(column.replace("_", " "), justify="right")
    for name, score in metrics["scores"].items():
        shares = [percent(score[share]) for share in SHARES]
        counts = f"{score['problems']} × {score['samples']}"
        table.add_row(
            name, plus_minus(score["accuracy"], score["stderr"]), *shares, f"{score['tokens']:.0f}", counts
        )
    console = Console()
    console.print(table)
    console.print(f"{metrics['total_seconds']:.1f} s; recorded in {folder}", highlight=False)


def title(metrics: dict[str, Any]) -> str:
    factors, train = metrics["factors"], metrics["train"]
    parts = [f"{key}={factors[key]}" for key in ("model", "train_size", "difficulty", "quality_tier")]
    if train:
        parts.append(f"{train['steps']} steps, {train['tokens']} trained tokens")
    return ", ".join(parts)


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def plus_minus(mean: float, error: float) -> str:
    return percent(mean) + (" %" if math.isnan(error) else f" ± {percent(error)} %")
