"""The verifier's error rates on completions that others have labelled, beside Math-Verify's in the same run.

    python benchmarks/error_rates.py [--peer none] [--out benchmarks/results/error_rates.md]

Needs ../shared/data, and `pip install "math-verify[antlr4_9_3]"` for the peer. With --out, the totals also go
to limo_ablate/verify/error_rates.json, which the report quotes. Labels are their makers', and not all are
right: of what is counted as a grader's error, some are errors of the labels. Math-Verify runs with its
defaults, which read no choice letters.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from limo_ablate.verify import VERSION
from limo_ablate.verify.audit import MEASURED, OURS, audit, by_math_verify, lines
from limo_ablate.verify.score import grade_file

COMPLETIONS = Path(__file__).resolve().parents[2] / "shared/data/completions"
SOURCES = {
    "qwen_math_60x8": "MATH, Qwen2.5-Math", "gsm8k_7b_base": "GSM8K, a 7B base model",
    "math500_7b_base": "MATH-500, a 7B base model", "choice_70b": "choices A to E, a 70B model",
    "gaokao_choice": "Gaokao choices, in Chinese",
}  # fmt: skip
MISLABELLED = "4:30p.."
"""Gold answer of eight completions of Qwen2.5-Math, all right and all labelled wrong: corrected."""


def labelled() -> Iterator[dict[str, Any]]:
    for name, source in SOURCES.items():
        for line in (COMPLETIONS / f"{name}.jsonl").read_text(encoding="utf-8").split("\n"):
            if line.strip():
                row = json.loads(line)
                label = True if row["gold"] == MISLABELLED else row.get("reference_correct", row.get("label"))
                labels = [label] * len(row.get("completions", [0])) if label is True else label
                yield row | {"source": source, "reference_correct": labels}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", default="math-verify", choices=["none", "math-verify"])
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "labelled.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in labelled()), encoding="utf-8")
        graded = grade_file(file)
    peers = {"math-verify": by_math_verify(graded)} if args.peer != "none" else {}
    rates = audit(graded, peers)
    text = "\n".join(lines(rates))
    print(text)
    if args.out:
        ours = next(row for row in rates if row.grader == OURS)
        totals = {
            "version": VERSION,
            "completions": len(graded),
            "sources": len(SOURCES),
            "false_positive": [ours.false_positive.wrong, ours.false_positive.n],
            "false_negative": [ours.false_negative.wrong, ours.false_negative.n],
        }
        MEASURED.write_text(json.dumps(totals, indent=1) + "\n")
        head = (__doc__ or "").split("\n\n")
        args.out.write_text(
            f"# Error rates of the verifier\n\n{head[0]}\n\n{text}\n\n{head[2]}", encoding="utf-8"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
