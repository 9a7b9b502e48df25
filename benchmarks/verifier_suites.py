"""Agreement with the test suites of other graders, ours beside Math-Verify, in one run.

    pip download --no-deps --no-binary :all: math-verify==0.9.0 && tar xzf math_verify-0.9.0.tar.gz
    python benchmarks/verifier_suites.py math_verify-0.9.0/tests HardVerify-Math.json [--out FILE]

A folder is read as pytest files: their parameters `gold`, `pred` and `expected`. HardVerify-Math.json is the
file of that name in uw-nsl/TinyV: its `fn_output` equals `ground_truth`, its `tn_output` does not. Other JSON
files are lists of objects with `gold`, `pred` and `expected`. Labels are their makers' and may be wrong. An
undecided verdict counts as not equal. Answers are taken leniently, as these suites do. Needs pytest and
`pip install "math-verify[antlr4_13_2]"`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from limo_ablate.verify import Verdict

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]


class Pair(NamedTuple):
    gold: str
    pred: str
    expected: bool


def read(path: Path) -> list[Pair]:
    pairs = _of_tests(path) if path.is_dir() else _of_json(path)
    return list(dict.fromkeys(pairs))


def _of_tests(folder: Path) -> Iterator[Pair]:
    sys.path.insert(0, str(folder.resolve().parent))
    for file in sorted(folder.glob("test_*.py")):
        module = importlib.import_module(f"{folder.name}.{file.stem}")
        for mark in (m for item in vars(module).values() for m in getattr(item, "pytestmark", [])):
            if mark.name == "parametrize":
                names = [name.strip() for name in mark.args[0].split(",")]
                rows = [dict(zip(names, getattr(row, "values", row), strict=False)) for row in mark.args[1]]
                for row in rows:
                    expected = row.get("expected", row.get("result"))
                    if isinstance(row.get("pred"), str) and "gold" in row and expected in (0, 1):
                        yield Pair(row["gold"], row["pred"], bool(expected))


def _of_json(file: Path) -> Iterator[Pair]:
    for row in json.loads(file.read_text(encoding="utf-8")):
        if "ground_truth" in row:
            yield Pair(row["ground_truth"], f"\\boxed{{{row['fn_output']}}}", True)
            yield Pair(row["ground_truth"], f"\\boxed{{{row['tn_output']}}}", False)
        else:
            yield Pair(row["gold"], row["pred"], bool(row["expected"]))


def ours(pair: Pair) -> Verdict:
    from limo_ablate.verify import verify

    return verify(pair.pred, pair.gold, extract="lenient")


def math_verify(pair: Pair) -> bool:
    from math_verify import (
        ExprExtractionConfig,
        LatexExtractionConfig,
        StringExtractionConfig,
        parse,
        verify,
    )

    targets = [LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig()]
    if pair.gold.strip("() ") in set("ABCDE"):
        targets.append(StringExtractionConfig())
    try:
        return bool(verify(parse(pair.gold, targets), parse(pair.pred, targets)))
    except Exception:
        return False


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suites", type=Path, nargs="+")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    lines = [
        "| suite | pairs | limo-ablate agrees, % (undecided) | math-verify agrees, % |",
        "|---|---|---|---|",
    ]
    for path in args.suites:
        pairs = read(path)
        verdicts = [ours(pair) for pair in pairs]
        agree = 100 * sum(v.correct is p.expected for v, p in zip(verdicts, pairs, strict=True)) / len(pairs)
        undecided = sum(verdict.status == "undecided" for verdict in verdicts)
        peer = 100 * sum(math_verify(p) is p.expected for p in pairs) / len(pairs)
        name = path.resolve().parent.name if path.is_dir() else path.stem
        lines.append(f"| {name} | {len(pairs)} | {agree:.1f} ({undecided}) | {peer:.1f} |")
    head = (__doc__ or "").split("\n\n")
    text = (
        f"# Agreement with other graders' test suites\n\n{head[0]}\n\n" + "\n".join(lines) + f"\n\n{head[2]}"
    )
    print(text)
    if args.out:
        args.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
