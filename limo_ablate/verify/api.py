"""The verifier's interface: grades one completion, or many in worker processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from limo_ablate.verify.answer import read_answer
from limo_ablate.verify.cache import cached
from limo_ablate.verify.extract import Extract, Extraction
from limo_ablate.verify.extract import extract as extract_answer
from limo_ablate.verify.grade import grade
from limo_ablate.verify.limits import MAX_ANSWER
from limo_ablate.verify.show import show
from limo_ablate.verify.text import clean, squeeze
from limo_ablate.verify.verdict import Outcome, Status, Verdict

Task = tuple[str, str, Mapping[str, str] | None]
"""Completion, gold answer and, for multiple choice, the options."""


def verify(
    completion: str,
    gold: str,
    *,
    extract: Extract = "stated",
    strict: bool = False,
    choices: Mapping[str, str] | None = None,
) -> Verdict:
    """Grade one completion against the gold answer. Never raises for what the two texts say.

    `extract` says where an answer may be: only in a box (`boxed`), also stated in words (`stated`), or also
    the last number (`any`). With `strict`, a rounded decimal does not equal an exact value. `choices` holds
    the text of each lettered option as it was shown, so that an option's text counts as its letter.

    >>> verify("So it is $\\\\boxed{\\\\frac{-5}{12}}$.", "-\\\\frac{5}{12}").status
    'correct'
    """
    started = time.perf_counter()
    extraction = extract_answer(completion, extract)
    if extraction is None:
        return _verdict("incorrect", "no_answer", "no answer found", None, gold, started)
    answer = extraction.text
    try:
        outcome = grade(gold, extraction, strict=strict, choices=choices)
    except Exception as error:
        return _verdict("undecided", "error", f"{type(error).__name__}: {error}", answer, None, started)
    status: Status = "undecided" if outcome.equal is None else "correct" if outcome.equal else "incorrect"
    return _verdict(status, outcome.rule, outcome.reason, answer, gold, started)


def verify_many(
    pairs: Iterable[tuple[str, str]],
    *,
    extract: Extract = "stated",
    strict: bool = False,
    choices: Iterable[Mapping[str, str] | None] | None = None,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> list[Verdict]:
    """Verdicts of (completion, gold) pairs, in their order; the same for any number of `workers`.

    `choices` holds the options of each pair. `progress` is called with the number of verdicts so far.
    """
    pairs = list(pairs)
    choices_of = [None] * len(pairs) if choices is None else list(choices)
    tasks = [(*pair, options) for pair, options in zip(pairs, choices_of, strict=True)]
    verify_tasks = partial(_verify_tasks, extract=extract, strict=strict)
    if workers > 1 and len(tasks) > 1:
        from limo_ablate.verify.jobs import map_in_chunks

        return map_in_chunks(verify_tasks, tasks, workers, progress)
    verdicts: list[Verdict] = []
    for task in tasks:
        verdicts += verify_tasks([task])
        if progress:
            progress(len(verdicts))
    return verdicts


def _verify_tasks(tasks: list[Task], *, extract: Extract, strict: bool) -> list[Verdict]:
    return [
        verify(completion, gold, extract=extract, strict=strict, choices=choices)
        for completion, gold, choices in tasks
    ]


def _verdict(
    status: Status, rule: str, reason: str | None, answer: str | None, gold: str | None, started: float
) -> Verdict:
    if rule == "text":
        forms: tuple[str | None, str | None] = (squeeze(clean(answer or "")[:MAX_ANSWER]),) * 2
    else:
        forms = (
            None if gold is None else parsed_form(gold),
            None if answer is None or gold is None else parsed_form(answer),
        )
    answer = None if answer is None else _storable(answer)
    return Verdict(status, rule, reason, answer, *forms, (time.perf_counter() - started) * 1000)


def _storable(text: str) -> str:
    """`text` as parquet can hold it: without lone surrogates, and no longer than what is parsed."""
    text = text[: MAX_ANSWER + 1]
    return text if text.isascii() else text.encode("utf-8", "ignore").decode()


@cached
def parsed_form(text: str) -> str | None:
    """How `text` was parsed, as text; None if it was not."""
    node = read_answer(text).node
    return None if node is None else show(node)


def compare_answers(gold: str, answer: str, choices: Mapping[str, str] | None = None) -> Outcome:
    """Compares an answer that is already extracted."""
    return grade(gold, Extraction(answer, "box"), strict=False, choices=choices)
