"""A large pool: seconds and memory of `load_pool`, and of its peers on the same files.

    python benchmarks/pool.py [--rows 1000000] [--out benchmarks/results/pool.md]

Rows are made with a seed: two for each problem, about 1 KB a solution, a flag whether it is right. Each
run is a process of its own, which reports its highest memory. The peers do less: they only load the rows,
without checking, joining or rejecting any.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

SEED = 0
WORDS = (
    "so",
    "we",
    "know",
    "that",
    "the",
    "sum",
    "is",
    "even",
    "hence",
    "x",
    "equals",
    "two",
    "times",
    "y",
    "check",
)


def made_rows(rows: int) -> Iterator[dict[str, Any]]:
    rng, problem = random.Random(SEED), ""
    for number in range(rows):
        answer = number // 2 % 1000
        if number % 2 == 0:
            problem = f"Problem {number // 2}: {' '.join(rng.choices(WORDS, k=30))}?"
        yield {
            "problem": problem,
            "answer": answer,
            "solution": f"{' '.join(rng.choices(WORDS, k=230))} \\boxed{{{answer}}}",
            "level": rng.randint(1, 5),
            "correct": rng.random() < 0.5,
        }


def write_files(folder: Path, rows: int) -> None:
    """The same rows as JSONL and as parquet with row groups of a million, the size pyarrow writes."""
    import polars

    with (folder / "rows.jsonl").open("w", encoding="utf-8") as file:
        for row in made_rows(rows):
            file.write(json.dumps(row) + "\n")
    polars.scan_ndjson(folder / "rows.jsonl").sink_parquet(folder / "rows.parquet", row_group_size=2**20)


def ours(path: Path) -> int:
    import polars as pl

    from limo_ablate.core.artifacts import Store
    from limo_ablate.data.pool.config import BandsConfig, FieldsConfig, PoolConfig
    from limo_ablate.data.pool.load import load_pool

    fields = FieldsConfig(
        problem="problem", answer="answer", solution="solution", level="level", correct="correct"
    )
    difficulty = BandsConfig(measure="level", bands={})
    data = PoolConfig(name="made", source="file", path=str(path), fields=fields, difficulty=difficulty)
    pool = load_pool(Store(path.parent / f"store{path.suffix}"), data)
    return int(pl.scan_parquet(pool.path / "solutions.parquet").select(pl.len()).collect().item())


def with_datasets(path: Path) -> int:
    from datasets import load_dataset

    kind = "json" if path.suffix == ".jsonl" else "parquet"
    return len(load_dataset(kind, data_files=str(path), split="train", cache_dir=str(path.parent / "cache")))


def with_pandas(path: Path) -> int:
    import pandas as pd

    return len(pd.read_json(path, lines=True) if path.suffix == ".jsonl" else pd.read_parquet(path))


def with_polars(path: Path) -> int:
    import polars as pl

    return (pl.read_ndjson(path) if path.suffix == ".jsonl" else pl.read_parquet(path)).height


LOADERS: dict[str, Callable[[Path], int]] = {
    "limo-ablate": ours,
    "datasets": with_datasets,
    "pandas": with_pandas,
    "polars": with_polars,
}


def measure(loader: str, path: Path) -> dict[str, Any]:
    """Runs a loader in this process; for a child of the benchmark."""
    started = time.perf_counter()
    rows = LOADERS[loader](path)
    seconds = time.perf_counter() - started
    return {
        "loader": loader,
        "format": path.suffix[1:],
        "rows": rows,
        "seconds": round(seconds, 2),
        "cpu": round(time.process_time(), 2),
        "megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000),
    }


def in_a_child(loader: str, path: Path) -> dict[str, Any]:
    command = [sys.executable, __file__, "--loader", loader, "--file", str(path)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def page(rows: int, sizes: dict[str, int], found: list[dict[str, Any]]) -> str:
    lines = [
        f"# A pool of {rows:,} rows",
        "",
        f"    python benchmarks/pool.py --rows {rows}",
        "",
        f"Python {platform.python_version()}, {os.cpu_count()} cores. {rows:,} rows, two for each problem; "
        + ", ".join(f".{kind} {size / 1e6:,.0f} MB" for kind, size in sizes.items())
        + ".",
        "Peak is the process's highest resident memory; seconds include imports, CPU seconds the start too.",
        "",
        "| loader | file | rows | seconds | CPU seconds | rows/s | peak MB |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['loader']} | .{r['format']} | {r['rows']:,} | {r['seconds']} | {r['cpu']} "
        f"| {r['rows'] / r['seconds']:,.0f} | {r['megabytes']:,} |"
        for r in found
    ]
    lines += [
        "",
        "limo-ablate reads, checks, hashes, joins rows of one problem and writes the pool's tables; the",
        "peers load the rows and no more. What limo-ablate keeps in memory grows with the problems only.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--loader", choices=LOADERS, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.loader:
        print(json.dumps(measure(asked.loader, asked.file)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        writer = multiprocessing.get_context("spawn").Process(target=write_files, args=(folder, asked.rows))
        writer.start()  # apart, because Linux hands a process's peak on to its children
        writer.join()
        files = sorted(folder.glob("rows.*"))
        sizes = {file.suffix[1:]: file.stat().st_size for file in files}
        found = [in_a_child(loader, file) for file in files for loader in LOADERS]
    text = page(asked.rows, sizes, found)
    print(text)
    if asked.out:
        asked.out.write_text(text)


if __name__ == "__main__":
    main()
