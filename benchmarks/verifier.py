"""The verifier beside Math-Verify: same pairs, one process, one core.

    python benchmarks/verifier.py [--peer none] [--out benchmarks/results/verifier.md]

Needs `pip install "math-verify[antlr4_9_3]"` in an environment of its own for the peer, and ../shared/data.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import verifier_pairs  # noqa: E402
from verifier_pairs import Pair  # noqa: E402

Grader = Callable[[str, str], bool]


def ours() -> Grader:
    from limo_ablate.verify.api import verify

    def grade(completion: str, gold: str) -> bool:
        return verify(completion, gold).correct

    return grade


def math_verify() -> Grader:
    from math_verify import parse, verify

    def grade(completion: str, gold: str) -> bool:
        return bool(verify(parse(f"${gold}$"), parse(completion)))

    return grade


GRADERS = {"limo-ablate": ours, "math-verify": math_verify}


def run(grader: Grader, pairs: list[Pair]) -> list[tuple[bool, float]]:
    from limo_ablate.verify.cache import clear_caches

    results = []
    for pair in pairs:
        clear_caches()
        started = time.process_time()
        try:
            correct = grader(pair.completion, pair.gold)
        except Exception:
            correct = False
        results.append((correct, time.process_time() - started))
    return results


def accuracy(pairs: list[Pair], results: list[tuple[bool, float]]) -> list[str]:
    rows = defaultdict(list)
    for pair, (correct, _) in zip(pairs, results, strict=True):
        rows[pair.suite].append((pair.expected, correct))
    lines = []
    for suite, labels in rows.items():
        right = sum(expected == correct for expected, correct in labels)
        negatives = sum(expected and not correct for expected, correct in labels)
        positives = sum(correct and not expected for expected, correct in labels)
        lines.append(
            f"| {suite} | {len(labels)} | {100 * right / len(labels):.2f} | {negatives} | {positives} |"
        )
    return lines


def speed(pairs: list[Pair], results: list[tuple[bool, float]]) -> list[str]:
    lines = []
    for name in ("completions", "rewrites"):
        seconds = [s for pair, (_, s) in zip(pairs, results, strict=True) if pair.suite.startswith(name)]
        lines.append(_latency(name, seconds))
    both = [
        s for p, (_, s) in zip(pairs, results, strict=True) if p.suite.startswith(("completions", "rewrites"))
    ]
    return [*lines, _latency("together", both)]


def _latency(name: str, seconds: list[float]) -> str:
    ordered = sorted(1000 * s for s in seconds)
    p50, p99 = statistics.median(ordered), ordered[int(0.99 * len(ordered))]
    return f"| {name} | {len(seconds) / sum(seconds):,.0f} | {p50:.3f} | {p99:.2f} | {ordered[-1]:.1f} |"


def misses(pairs: list[Pair], results: list[tuple[bool, float]]) -> list[str]:
    found = []
    for pair, (correct, _) in zip(pairs, results, strict=True):
        if correct != pair.expected:
            found.append(
                f"- {pair.suite}, {pair.kind}: gold `{pair.gold}`, completion `{pair.completion[-90:]!r}`"
            )
    return found


def import_seconds(module: str) -> float:
    """CPU seconds, compiled files in place."""
    code = f"import time; t = time.process_time(); import {module}; print(time.process_time() - t)"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=env)
        for _ in range(6)
    ]
    return statistics.median(float(done.stdout) for done in runs[1:])


def report(names: list[str], pairs: list[Pair]) -> tuple[str, list[str]]:
    lines = [
        "# The verifier beside its peer",
        "",
        f"Python {platform.python_version()}, one core, no cache, CPU time.",
        "",
    ]
    own: list[str] = []
    for name in names:
        results = run(GRADERS[name](), pairs)
        lines += [f"## {name}", "", "| suite | pairs | right % | false negatives | false positives |"]
        lines += ["|---|---|---|---|---|", *accuracy(pairs, results), ""]
        lines += ["| suite | pairs/s | median ms | p99 ms | slowest ms |", "|---|---|---|---|---|"]
        lines += [*speed(pairs, results), ""]
        module = {"limo-ablate": "limo_ablate.verify.api", "math-verify": "math_verify"}[name]
        lines += [f"Import: {import_seconds(module):.3f} s.", ""]
        if name == names[0]:
            own = misses(pairs, results)
    return "\n".join(lines), own


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", default="math-verify", choices=["none", "math-verify"])
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    suites = ("golden", "completions", "themselves", "others", "rewrites", "near_misses")
    pairs = [pair for suite in suites for pair in getattr(verifier_pairs, suite)()]
    names = ["limo-ablate", *([args.peer] if args.peer != "none" else [])]
    text, own = report(names, pairs)
    text += "\n## Ours, each miss\n\n" + ("\n".join(own) or "none") + "\n"
    print(text)
    if args.out:
        args.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
