"""The contamination gate on 100,000 problems against LIMO's ten benchmarks, and beside plain Python.

    python benchmarks/contamination.py [--rows 100000] [--out benchmarks/results/contamination.md]

Needs ../shared/data. The pool is math_train and aime_1983_2023, drawn again and again with numbers and words
exchanged, and a few benchmark items. One process, one thread.
"""

from __future__ import annotations

import os

os.environ["POLARS_MAX_THREADS"] = "1"

import argparse
import json
import platform
import random
import re
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
sys.path.insert(0, str(ROOT))

from limo_ablate.core.artifacts import Artifact, Store  # noqa: E402
from limo_ablate.data.select.config import ContaminationConfig, MinHashConfig  # noqa: E402
from limo_ablate.data.select.contamination import flags  # noqa: E402

ALL = ContaminationConfig(
    policy="report",
    punctuation="separate",
    exact=True,
    ngrams=(8, 13, 32),
    masked_ngrams=(13,),
    minhash=MinHashConfig(threshold=0.8, shingle=5, permutations=128, seed=0),
    also={},
)
NOTHING = replace(ALL, policy="none", exact=False, ngrams=(), masked_ngrams=(), minhash=None)
METHODS = {
    "exact": replace(NOTHING, exact=True),
    **{f"ngram, n = {n}": replace(NOTHING, ngrams=(n,)) for n in ALL.ngrams},
    "masked, n = 13": replace(NOTHING, masked_ngrams=(13,)),
    "minhash": replace(NOTHING, minhash=ALL.minhash),
    "all in one pass": ALL,
}
PLAIN_ROWS = 10_000
"""Problems that plain Python is given."""


def problems(path: Path) -> list[str]:
    text = path.read_text()
    rows = json.loads(text) if path.suffix == ".json" else map(json.loads, text.strip().split("\n"))
    return [row.get("problem") or row["question"] for row in rows]


def varied(rows: int, items: list[str], seed: int = 0) -> list[str]:
    """Changes 0, 2, 10 or 30 % of the words, and but for the first half the numbers; 1 in 200 is an item."""
    chance = random.Random(seed)
    base = [t for name in ("math_train", "aime_1983_2023") for t in problems(DATA / "pools" / f"{name}.json")]
    spare = [word for text in base for word in text.split()]
    texts = []
    for _ in range(rows):
        text = chance.choice(items if chance.random() < 0.005 else base)
        rate = chance.choice((0, 0.02, 0.1, 0.3))
        words = [chance.choice(spare) if chance.random() < rate else word for word in text.split(" ")]
        text = " ".join(words)
        if rate:
            text = re.sub(
                r"\d+", lambda m: m[0] if chance.random() < 0.5 else str(chance.randrange(200)), text
            )
        texts.append(text)
    return texts


def saved(store: Store, stage: str, name: str, texts: list[str]) -> Artifact:
    frame = pl.DataFrame({"id": [f"{name}-{i}" for i in range(len(texts))], "text": texts})
    return store.build(stage, {"name": name}, lambda folder: frame.write_parquet(folder / "problems.parquet"))


Pairs = set[tuple[int, int, int]]
"""Problem, item, n."""


def grams(text: str, n: int) -> set[tuple[str, ...]]:
    words = re.findall(r"[a-z0-9]+|[\u4e00-\u9fff]", text.lower())
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


def sets(pool: list[str], items: list[str], n: int) -> Pairs:
    """A set of n-grams for each item; every problem against every item."""
    known = [grams(text, n) for text in items]
    found = set()
    for place, text in enumerate(pool):
        ours = grams(text, n)
        found |= {(place, item, n) for item, theirs in enumerate(known) if not ours.isdisjoint(theirs)}
    return found


def lookup(pool: list[str], items: list[str], n: int) -> Pairs:
    """A dictionary from n-gram to items, as open-r1 does it."""
    known: dict[tuple[str, ...], set[int]] = {}
    for item, text in enumerate(items):
        for gram in grams(text, n):
            known.setdefault(gram, set()).add(item)
    return {
        (place, item, n)
        for place, text in enumerate(pool)
        for gram in grams(text, n)
        for item in known.get(gram, ())
    }


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the wall, and of processor time."""
    wall, own = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - own


def peak() -> int:
    """MiB this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def report(rows: int, store: Store) -> list[str]:
    found = {path.parent.name: problems(path) for path in sorted((DATA / "limo-eval").glob("*/test.jsonl"))}
    benchmarks = {name: saved(store, "benchmark", name, texts) for name, texts in found.items()}
    items = [text for texts in found.values() for text in texts]
    small_texts = varied(PLAIN_ROWS, items, seed=1)
    pool = saved(store, "pool", "large", varied(rows, items))
    before = peak()
    lines = [
        "# The contamination gate",
        "",
        "`python benchmarks/contamination.py`: "
        f"{rows:,} problems against {len(items):,} items of {len(found)} benchmarks, one process, one "
        f"thread, Python {platform.python_version()}, polars {pl.__version__}.",
        "",
        "| method | seconds | CPU seconds | pairs | problems flagged | % |",
        "|---|---|---|---|---|---|",
    ]
    for name, config in METHODS.items():
        lines.append(row(name, timed(lambda c=config: flags(store, c, pool, benchmarks)), rows))
        table = pl.read_parquet(flags(store, config, pool, benchmarks).path / "flags.parquet")
        flagged = table["problem"].n_unique()
        lines[-1] += f" {table.height:,} | {flagged:,} | {100 * flagged / rows:.1f} |"
        print(lines[-1], flush=True)
    lines += ["", f"Peak memory (RSS): {peak():,} MiB; {before:,} MiB of it before the first search."]
    return lines + beside_plain(store, small_texts, items, benchmarks)


def row(name: str, seconds: tuple[float, float], rows: int) -> str:
    return f"| {name} | {seconds[0]:.1f} | {seconds[1]:.1f} |"


def beside_plain(
    store: Store, texts: list[str], items: list[str], benchmarks: Mapping[str, Artifact]
) -> list[str]:
    config = replace(NOTHING, ngrams=ALL.ngrams)
    small = saved(store, "pool", "small", texts)
    _, ours = timed(lambda: flags(store, config, small, benchmarks))
    pairs = pl.read_parquet(flags(store, config, small, benchmarks).path / "flags.parquet").height
    lines = [
        "",
        f"Beside plain Python in the same run, {len(texts):,} problems, n = 8, 13, 32. Only ours leaves out "
        "boilerplate, and has the words of each pair as evidence:",
        "",
        "| | CPU seconds | times ours | pairs |",
        "|---|---|---|---|",
        f"| ours | {ours:.2f} | | {pairs:,} |",
    ]
    for name, search in (("a set for each item", sets), ("a dictionary of n-grams", lookup)):
        started = time.process_time()
        found = set().union(*(search(texts, items, n) for n in ALL.ngrams))
        seconds = time.process_time() - started
        lines.append(f"| {name} | {seconds:.2f} | {seconds / ours:.1f} | {len(found):,} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lines = report(options.rows, Store(folder))
    text = "\n".join(lines) + "\n"
    print(text)
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()
