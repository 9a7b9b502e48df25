"""Choosing 800 of 100,000 solutions by LIMO's chain score, beside the same in plain Python.

    .venv/bin/python benchmarks/selection.py [--rows 100000] [--correct] [--out FILE]

A seeded pool of 25,000 problems with four solutions each (6,000 characters in the median) is made in a
temporary folder by another process. Timed: what the first cell of a study pays (features of all
solutions, then the selection), and what every further cell pays (the selection alone). `--correct` adds
the verifier's gate. The peer counts the same word lists with one compiled regular expression each of
Python's `re`, sorts and takes the best.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import random
import re
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from limo_ablate.core.artifacts import Artifact, Store
from limo_ablate.data.pool.schema import PROBLEMS, SOLUTIONS
from limo_ablate.data.select.correctness import grades
from limo_ablate.data.select.features import features, pattern
from limo_ablate.data.select.selection import Evidence, choose_rows
from limo_ablate.trial.compose import compose

PER_PROBLEM = 4
PEER_ROWS = 5_000
SENTENCES = (
    "We have $x^{2}+{a}x={b}$ and so $x={a}$ or $x={b}$.",
    "Wait, let me check that once more.",
    "Perhaps there is another way to see it.", "Therefore the sum is {a}+{b}, since both are positive.",
    "Let $f(n)=\\frac{{n+{a}}}{{{b}}}$ for every positive integer $n$.",
    "Suppose the point lies on the circle.",
    "Now we compute the remaining {a} cases one by one.", "By symmetry it is enough to look at $a\\le b$.",
    "因此我们得到 {a} 个解，再验证一下。", "The triangle has sides {a}, {b} and $\\sqrt{{{a}}}$.",
)  # fmt: skip


def make_pool(store: Store, rows: int) -> Artifact:
    def make(folder: Path) -> None:
        rng = random.Random(0)
        sizes = np.random.default_rng(0).lognormal(np.log(6_000), 0.6, rows).clip(200, 40_000).astype(int)
        blocks = [_block(rng) for _ in range(400)]
        with (
            pq.ParquetWriter(folder / "problems.parquet", PROBLEMS) as problems,
            pq.ParquetWriter(folder / "solutions.parquet", SOLUTIONS) as solutions,
        ):
            for start in range(0, rows, 10_000):
                chunk = range(start, min(start + 10_000, rows))
                ids = sorted({i // PER_PROBLEM for i in chunk})
                questions = [_problem(i) for i in ids]
                problems.write_table(pa.Table.from_pylist(questions, schema=PROBLEMS))
                texts = [_solution(i, int(sizes[i]), blocks, rng) for i in chunk]
                solutions.write_table(pa.Table.from_pylist(texts, schema=SOLUTIONS))

    return store.build("pool", {"rows": rows}, make)


def _block(rng: random.Random) -> str:
    return " ".join(
        rng.choice(SENTENCES).replace("{a}", str(rng.randint(2, 99))).replace("{b}", str(rng.randint(2, 999)))
        for _ in range(12)
    )


def _problem(number: int) -> dict[str, object]:
    return {
        "id": f"p{number}", "text": f"How many pairs are there for {number}?", "gold": str(number),
        "source": f"s{number % 7}", "level": float(number % 5 + 1), "subject": None,
        "pass_rate": number % 33 / 32,
    }  # fmt: skip


def _solution(number: int, size: int, blocks: list[str], rng: random.Random) -> dict[str, object]:
    problem, text = number // PER_PROBLEM, ""
    while len(text) < size:
        text += rng.choice(blocks) + "\n\n"
    text += f"The answer is \\boxed{{{problem + (number % 5 == 0)}}}."
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return {
        "id": f"p{problem}-{number % PER_PROBLEM}",
        "problem": f"p{problem}",
        "text": text,
        "digest": digest,
    }


def plain_python(pool: Artifact, lexicons: dict[str, tuple[str, ...]]) -> float:
    """Seconds of the peer over the first `PEER_ROWS` solutions."""
    texts = (
        pl.scan_parquet(pool.path / "solutions.parquet")
        .select("text")
        .head(PEER_ROWS)
        .collect()["text"]
        .to_list()
    )
    found = {
        name: re.compile(pattern(words).replace("(?-u:\\b)", r"(?a:\b)")) for name, words in lexicons.items()
    }
    piece = re.compile(r"[\u4e00-\u9fff]|[^\W\d_\u4e00-\u9fff]+|\d+|[^\s\w]")
    started = time.perf_counter()
    scored = []
    for text in texts:
        length = len(piece.findall(text))
        scored.append([length, *(100 * len(regex.findall(text)) / length for regex in found.values())])
    ranks = np.argsort(np.argsort(np.array(scored), axis=0), axis=0)
    np.argsort(-(ranks @ np.array([0.3, 0.2, 0.25, 0.25])))[:800]
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--correct", action="store_true")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    config = compose(["select=limo_800", "select.difficulty=any"])
    chosen = replace(
        config.select,
        contamination=compose([]).select.contamination,
        duplicates="keep",
        correctness="correct" if args.correct else "any",
        difficulty="any",
    )
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        maker = multiprocessing.get_context("spawn").Process(target=make_pool, args=(store, args.rows))
        maker.start()
        maker.join()
        before = peak_gb()
        pool = make_pool(store, args.rows)
        started = time.perf_counter()
        evidence = Evidence(features=features(store, chosen.score.phrases(), pool))
        counted = time.perf_counter()
        if args.correct:
            evidence = replace(evidence, grades=grades(store, pool))
        graded = time.perf_counter()
        rows = choose_rows(chosen, config.data, pool, evidence).rows
        done = time.perf_counter()
        again = choose_rows(chosen, config.data, pool, evidence).rows
        peak = peak_gb()
        peer = plain_python(pool, dict(chosen.score.phrases())) * args.rows / PEER_ROWS
        result = {
            "rows": args.rows,
            "gigabytes": round((pool.path / "solutions.parquet").stat().st_size / 1e9, 2),
            "features_s": round(counted - started, 1),
            "verifier_s": round(graded - counted, 1),
            "selection_s": round(done - graded, 2),
            "first_cell_s": round(done - started, 1),
            "peer_s": round(peer, 1),
            "peer_over_first_cell_without_verifier": round(peer / (done - graded + counted - started), 2),
            "identical_twice": rows.equals(again),
            "chosen": rows.height,
            "peak_rss_gb": peak,
            "of_it_before_gb": before,
        }
        text = json.dumps(result, indent=1)
        print(text)
        if args.out:
            args.out.write_text(text + "\n")


def peak_gb() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)


if __name__ == "__main__":
    main()
