"""The verb `score`: completions of a file, graded by any grader of the registry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from limo_ablate.core.command import Verb, json_option, print_json
from limo_ablate.core.errors import UserError
from limo_ablate.core.text import counted
from limo_ablate.verify.cli import grading_options

if TYPE_CHECKING:
    from limo_ablate.verify.extract import Extract
    from limo_ablate.verify.score import Score
    from limo_ablate.verify.turns import Thinking

VERIFIER = "verifier"


@click.command(
    "score",
    cls=Verb,
    examples=[
        "limo-ablate score completions.jsonl --extract boxed --workers 8",
        "limo-ablate score prices.jsonl --grader number --option relative=0.01",
        "limo-ablate score prices.jsonl --grader python:graders/prices.py:grade",
    ],
)
@grading_options
@click.option(
    "--grader",
    default=VERIFIER,
    metavar="NAME",
    show_default=True,
    help="exact, any_of, number, regex, f1, json, code, one of another package, or python:FILE.py:FUNCTION.",
)
@click.option(
    "--option", "options", multiple=True, metavar="KEY=VALUE", help="A key of `grader_options`; repeatable."
)
@json_option
def score(
    file: Path,
    extract: Extract,
    strict: bool,
    thinking: Thinking,
    workers: int,
    grader: str,
    options: Sequence[str],
    as_json: bool,
) -> int:
    """FILE is JSONL: gold, completion or completions, and perhaps problem and finish (`length`: cut off).
    Where it also has reference_correct, each disagreement with it is printed. --extract, --strict and
    --workers are the verifier's.
    """
    if grader != VERIFIER:
        if strict or extract != "stated" or workers != 1:
            raise UserError(f"--extract, --strict and --workers are the verifier's, not of --grader {grader}")
        from limo_ablate.data.grade.score import score_by

        result = score_by(file, grader, options, thinking)
    elif options:
        raise UserError(f"--option {options[0]}: the verifier has none; choose another --grader")
    else:
        from limo_ablate.verify.score import score_file

        result = score_file(file, extract=extract, strict=strict, thinking=thinking, workers=workers)
    if as_json:
        print_json(asdict(result))
    else:
        _print(result)
    return 0


def _print(result: Score) -> None:
    print(f"{counted(result.completions, 'completion')} of {counted(result.problems, 'problem')}")
    print(f"{'mean score' if result.fractional else 'accuracy':10}  {result.accuracy:7.2%}")
    print(f"no answer   {result.no_answer:7.2%}")
    print(f"unfinished  {result.unfinished:7.2%}")
    print(f"undecided   {result.undecided:7.2%}   (accuracy {result.accuracy:.2%} to {result.highest:.2%})")
    if result.reference is not None:
        print(f"reference   {result.reference:7.2%}   {counted(len(result.disagreements), 'disagreement')}")
    for item in result.disagreements:
        verdict = item.verdict
        print(
            f"  line {item.line}, sample {item.sample}: {verdict.status} by {verdict.rule}"
            f"{f' ({verdict.reason})' if verdict.reason else ''}; "
            f"gold {item.gold!r}, answer {verdict.answer!r}"
        )
