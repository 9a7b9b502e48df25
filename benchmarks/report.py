"""The report of a large study: how long it takes to make, how large it is, how fast a browser opens it.

    python benchmarks/report.py --cells 200 --problems 500 --samples 16 > benchmarks/results/report.md

The study is made on disk with planted accuracies and completions of random numbers, 1.5 kB each. Opening is
timed by the page's own Performance API in a headless Chromium, with a bare profile, five times.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tests.chromium import Chromium
from tests.made_study import Making

OPENED = """(() => {
    const [page] = performance.getEntriesByType("navigation");
    const paint = performance.getEntriesByName("first-contentful-paint")[0];
    return [paint ? paint.startTime : 0, page.domContentLoadedEventEnd, page.loadEventEnd];
})()"""
RUNS = 5
TEXTS, WORDS = 4000, 300
"""Different texts, and random numbers in each (1.5 kB): more than gzip looks back for a repetition."""


class Wordy(Making):
    """Each completion is one of many texts."""

    @cached_property
    def written(self) -> pl.Series:
        numbers = pl.DataFrame(self.rng.integers(0, 10_000, (TEXTS, WORDS)))
        return numbers.select(pl.concat_list(pl.all().cast(pl.String)).list.join(" ")).to_series()

    def texts(self, verdicts: pl.DataFrame) -> pl.Expr:
        return pl.lit(self.written.gather(self.rng.integers(0, TEXTS, verdicts.height)))


def made(folder: Path, cells: int, problems: int, samples: int) -> Path:
    levels = [f"L{1 + i}" for i in range(5)]
    sizes = [int(size) for size in np.unique(np.geomspace(4, 4000, cells // 5).round())]
    while len(sizes) < cells // 5:
        sizes.append(sizes[-1] + 1)
    block = {"name": "grid", "axes": {"select.size": sizes, "select.quality": levels},
             "overrides": ["model=mini_m", "select.difficulty=any"]}  # fmt: skip
    figure = {"title": "Accuracy by size", "block": "grid", "x": "select.size", "line": "select.quality",
              "score": "mini"}  # fmt: skip
    study = Wordy(folder, blocks=[block], figures=[figure], seeds=[0], problems=problems, samples=samples)
    return study.write()


def drawn(study: Path) -> tuple[float, float, float]:
    """Wall and processor seconds and peak GiB of `limo-ablate report` in a process of its own."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "limo_ablate", "report", str(study)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - started, spent, after.ru_maxrss / 2**20


def opened(page: Path) -> list[float]:
    """Milliseconds to first paint, to DOMContentLoaded, to load, and to the first completion shown."""
    with Chromium() as browser:
        browser.size(1280, 900)
        browser.open(page)
        browser.until("performance.getEntriesByName('first-contentful-paint')[0]")
        browser.until("document.querySelector('svg.marks')")
        times: list[float] = browser.run(OPENED)
        started = time.perf_counter()
        browser.run("document.getElementById('browser').open = true")
        browser.until("document.querySelector('.pane')")
        assert not browser.problems or all(text.startswith("WARN") for text in browser.problems)
        return [*times, 1000 * (time.perf_counter() - started)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("cells", 200), ("problems", 500), ("samples", 16)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked: dict[str, Any] = vars(parser.parse_args())
    with tempfile.TemporaryDirectory() as folder:
        study = made(Path(folder) / "study", **asked)
        wall, spent, peak = drawn(study)
        page = study / "report" / "index.html"
        runs = [opened(page) for _ in range(RUNS)]
        size, pictures = page.stat().st_size / 1e6, len(list(page.parent.glob("*.png")))
    middle = [statistics.median(column) for column in zip(*runs, strict=True)]
    command = " ".join(f"--{name} {value}" for name, value in asked.items())
    many = asked["cells"] * asked["problems"] * asked["samples"]
    rows = [
        ("completions of the study", f"{many:,}"),
        ("pictures", str(pictures)),
        ("making the report: wall, processor time", f"{wall:.0f} s, {spent:.0f} s"),
        ("making the report: peak memory", f"{peak:.1f} GiB"),
        ("size of the page", f"{size:.1f} MB"),
        ("opening: first paint", f"{middle[0] / 1000:.2f} s"),
        ("opening: DOMContentLoaded", f"{middle[1] / 1000:.2f} s"),
        ("opening: load", f"{middle[2] / 1000:.2f} s"),
        ("opening: load, slowest", f"{max(run[2] for run in runs) / 1000:.2f} s"),
        ("the browser of completions opened", f"{middle[3] / 1000:.2f} s"),
    ]
    print(f"`python benchmarks/report.py {command}`, {os.cpu_count()} cores, median of {RUNS} openings\n")
    print("| | |\n|---|---|")
    for name, value in rows:
        print(f"| {name} | {value} |")


if __name__ == "__main__":
    main()
