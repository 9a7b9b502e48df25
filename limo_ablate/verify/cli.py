"""`limo-ablate verify FILE` and `limo-ablate score FILE`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from limo_ablate.core.errors import UserError


def verify(argv: list[str]) -> int:
    """JSONL of completions in, JSONL of verdicts out."""
    from limo_ablate.verify.score import verify_file

    args = _parse("verify", "Grade each completion of FILE; a verdict a line on standard output.", argv)
    for row in verify_file(args.file, extract=args.extract, strict=args.strict, workers=args.workers):
        print(json.dumps(row, ensure_ascii=False))
    return 0


def score(argv: list[str]) -> int:
    """Accuracy of a file, with every disagreement with its `reference_correct`."""
    from limo_ablate.verify.score import score_file

    args = _parse("score", "Score the completions of FILE.", argv)
    result = score_file(args.file, extract=args.extract, strict=args.strict, workers=args.workers)
    print(f"{result.completions} completions of {result.problems} problems")
    print(f"accuracy    {result.accuracy:7.2%}")
    print(f"no answer   {result.no_answer:7.2%}")
    print(f"undecided   {result.undecided:7.2%}   (accuracy {result.accuracy:.2%} to {result.highest:.2%})")
    if result.reference is not None:
        print(f"reference   {result.reference:7.2%}   {len(result.disagreements)} disagreements")
    for item in result.disagreements:
        verdict = item.verdict
        print(
            f"  line {item.line}, sample {item.sample}: {verdict.status} by {verdict.rule}"
            f"{f' ({verdict.reason})' if verdict.reason else ''}; "
            f"gold {item.gold!r}, answer {verdict.answer!r}"
        )
    return 0


def _parse(verb: str, description: str, argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"limo-ablate {verb}",
        description=description,
        epilog="FILE is JSONL: gold, completion or completions, and for `score` perhaps reference_correct.",
    )
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument(
        "--extract",
        choices=("boxed", "stated", "any"),
        default="stated",
        help="where an answer may stand: in a box only, stated in words too, or the last number as well",
    )
    parser.add_argument("--strict", action="store_true", help="a rounded decimal is not the exact value")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    args = parser.parse_args(argv)
    if args.workers < 1:
        raise UserError(f"--workers must be at least 1, not {args.workers}")
    return args
