"""The verb `verify`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from limo_ablate.core.command import Verb
from limo_ablate.core.errors import UserError

if TYPE_CHECKING:
    from limo_ablate.verify.extract import Extract
    from limo_ablate.verify.turns import Thinking

F = TypeVar("F", bound=Callable[..., Any])


def grading_options(function: F) -> F:
    """What `verify` and `score` take."""
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
@grading_options
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
