"""The verbs `verify` and `score`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from limo_ablate.core.command import Verb, json_option, print_json
from limo_ablate.core.errors import UserError
from limo_ablate.core.text import counted

if TYPE_CHECKING:
    from limo_ablate.verify.extract import Extract
    from limo_ablate.verify.turns import Thinking

F = TypeVar("F", bound=Callable[..., Any])


def _options(function: F) -> F:
    """What both verbs take."""
    decorators = (
        click.argument("file", type=click.Path(path_type=Path)),
        click.option(
            "--extract",
            type=click.Choice(["boxed", "stated", "lenient"]),
            default="stated",
            show_default=True,
            help="Where an answer may stand: in a box, stated in words, or the last number too.",
        ),
        click.option(
            "--thinking",
            type=click.Choice(["auto", "think", "begin_of_thought", "channels", "none"]),
            default="auto",
            show_default=True,
            help="Tags that mark thinking, which holds no answer.",
        ),
        click.option("--strict", is_flag=True, help="A rounded decimal is not the exact value."),
        click.option(
            "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Number of processes."
        ),
    )
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


@click.command(
    "verify",
    cls=Verb,
    reads_project=False,
    examples=[
        "limo-ablate verify completions.jsonl --workers 8 > verdicts.jsonl",
        "limo-ablate verify labelled.jsonl --audit --peer math-verify",
    ],
)
@_options
@click.option(
    "--audit", is_flag=True, help="Print error rates by source and kind of answer, against reference_correct."
)
@click.option(
    "--peer",
    type=click.Choice(["math-verify"]),
    help="With --audit, another grader to run on the same completions.",
)
def verify(
    file: Path,
    extract: Extract,
    strict: bool,
    thinking: Thinking,
    workers: int,
    audit: bool,
    peer: str | None,
) -> int:
    """FILE is JSONL: gold, completion or completions, and perhaps problem and finish (`length`: cut off).
    Prints a verdict with its reason for each row, as JSON.
    """
    from limo_ablate.verify.score import grade_file, verify_file

    if audit:
        from limo_ablate.verify import audit as audits

        graded = grade_file(file, extract=extract, strict=strict, thinking=thinking, workers=workers)
        peers = {peer: audits.by_math_verify(graded)} if peer else {}
        for line in audits.lines(audits.audit(graded, peers)):
            print(line)
        return 0
    if peer:
        raise UserError("--peer is for --audit")
    for row in verify_file(file, extract=extract, strict=strict, thinking=thinking, workers=workers):
        print(json.dumps(row, ensure_ascii=False))
    return 0


@click.command(
    "score",
    cls=Verb,
    reads_project=False,
    examples=["limo-ablate score completions.jsonl --extract boxed --workers 8"],
)
@_options
@json_option
def score(file: Path, extract: Extract, strict: bool, thinking: Thinking, workers: int, as_json: bool) -> int:
    """FILE is JSONL: gold, completion or completions, and perhaps problem and finish (`length`: cut off).
    Where it also has reference_correct, each disagreement with it is printed.
    """
    from limo_ablate.verify.score import score_file

    result = score_file(file, extract=extract, strict=strict, thinking=thinking, workers=workers)
    if as_json:
        print_json(asdict(result))
        return 0
    print(f"{counted(result.completions, 'completion')} of {counted(result.problems, 'problem')}")
    print(f"accuracy    {result.accuracy:7.2%}")
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
    return 0
