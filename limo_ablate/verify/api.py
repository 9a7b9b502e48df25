"""The verifier's interface: one answer, or many over worker processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from limo_ablate.verify.answer import read
from limo_ablate.verify.cache import remembered
from limo_ablate.verify.extract import Extract, Extraction
from limo_ablate.verify.extract import extract as find_answer
from limo_ablate.verify.grade import grade
from limo_ablate.verify.limits import MAX_ANSWER
from limo_ablate.verify.outcome import Outcome
from limo_ablate.verify.show import show
from limo_ablate.verify.text import clean, squeeze
from limo_ablate.verify.verdict import Status, Verdict


def verify(
    completion: str,
    gold: str,
    *,
    extract: Extract = "stated",
    strict: bool = False,
    choices: Mapping[str, str] | None = None,
) -> Verdict:
    """Grade one completion against the gold answer. Never raises for what the two texts say.

    `extract` says where an answer may stand: in a box only, stated in words too, or as the last number as
    well.
    `strict` takes no rounded decimal for an exact value. `choices` gives the text of each lettered option,
    as they were shown, so that an option's text counts as its letter.

    >>> verify("So it is $\\\\boxed{\\\\frac{-5}{12}}$.", "-\\\\frac{5}{12}").status
    'correct'
    """
    started = time.perf_counter()
    found = _extracted(completion, extract)
    if found is None:
        return _verdict("incorrect", "no_answer", "no answer found", None, gold, started)
    try:
        outcome = grade(gold, found, strict=strict, choices=choices)
    except Exception as error:
        return _verdict("undecided", "error", f"{type(error).__name__}: {error}", found.text, None, started)
    status: Status = "undecided" if outcome.equal is None else "correct" if outcome.equal else "incorrect"
    return _verdict(status, outcome.rule, outcome.reason, found.text, gold, started)


def verify_many(
    pairs: Iterable[tuple[str, str]],
    *,
    extract: Extract = "stated",
    strict: bool = False,
    choices: Iterable[Mapping[str, str] | None] | None = None,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> list[Verdict]:
    """Verdicts of (completion, gold) pairs, in their order; the same whatever the number of `workers`.

    `choices` are those of each pair. `progress` is called with the number of verdicts reached so far.
    """
    pairs = list(pairs)
    options_of = [None] * len(pairs) if choices is None else list(choices)
    listed = [(*pair, options) for pair, options in zip(pairs, options_of, strict=True)]
    options: dict[str, Any] = {"extract": extract, "strict": strict}
    if workers > 1 and len(listed) > 1:
        from limo_ablate.verify.worker import verify_chunks

        return verify_chunks(listed, options, workers, progress)
    verdicts = []
    for completion, gold, known in listed:
        verdicts.append(verify(completion, gold, choices=known, **options))
        if progress:
            progress(len(verdicts))
    return verdicts


def _extracted(completion: str, mode: Extract) -> Extraction | None:
    return find_answer(completion, mode)


def _verdict(
    status: Status, rule: str, reason: str | None, answer: str | None, gold: str | None, started: float
) -> Verdict:
    if rule == "text":
        forms: tuple[str | None, str | None] = (squeeze(clean(answer or "")[:MAX_ANSWER]),) * 2
    else:
        forms = (
            None if gold is None else form(gold),
            None if answer is None or gold is None else form(answer),
        )
    answer = None if answer is None else _storable(answer)
    return Verdict(status, rule, reason, answer, *forms, (time.perf_counter() - started) * 1000)


def _storable(text: str) -> str:
    """`text` as tables can hold it: no lone surrogates, no more than is ever parsed."""
    text = text[: MAX_ANSWER + 1]
    return text if text.isascii() else text.encode("utf-8", "ignore").decode()


@remembered
def form(text: str) -> str | None:
    node = read(text).node
    return None if node is None else show(node)


def outcome_of(gold: str, answer: str, choices: Mapping[str, str] | None = None) -> Outcome:
    """The comparison alone, of an answer that is already extracted."""
    return grade(gold, Extraction(answer, "box"), strict=False, choices=choices)
