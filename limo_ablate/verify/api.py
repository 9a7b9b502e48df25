"""The verifier's interface: grades one completion, or many in worker processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

from limo_ablate.verify.answer import read_answer
from limo_ablate.verify.extract import WITHOUT_ANSWER, Extract, Extraction
from limo_ablate.verify.extract import extract as extract_answer
from limo_ablate.verify.gold import is_beyond, read_gold
from limo_ablate.verify.grade import UNPARSED_GOLD, grade
from limo_ablate.verify.limits import MAX_ANSWER
from limo_ablate.verify.show import show
from limo_ablate.verify.turns import Thinking
from limo_ablate.verify.verdict import Outcome, Status, Verdict


class Task(NamedTuple):
    completion: str
    gold: str
    choices: Mapping[str, str] | None
    prompt: str | None
    finished: bool


def verify(
    completion: str,
    gold: str,
    *,
    extract: Extract = "stated",
    strict: bool = False,
    choices: Mapping[str, str] | None = None,
    prompt: str | None = None,
    finished: bool = True,
    thinking: Thinking = "auto",
) -> Verdict:
    """Grade one completion against the gold answer. Never raises for what the two texts say.

    `extract` says where an answer may be: only in a box (`boxed`), also stated in words (`stated`), or also
    the last formula or number (`lenient`). With `strict`, a rounded decimal does not equal an exact value.
    `choices` holds the text of each lettered option as it was shown, so that an option's text counts as its
    letter.

    What `prompt` already says is not taken for an answer. A completion that was cut off is not `finished`:
    only a box or an answer phrase counts there. `thinking` names the tags that mark thinking, which holds no
    answer.

    >>> verify("So it is $\\\\boxed{\\\\frac{-5}{12}}$.", "-\\\\frac{5}{12}").status
    'correct'
    """
    started = time.perf_counter()
    if extract != "boxed" and finished and _is_gold_itself(completion, gold):
        return _verdict("correct", "text", None, completion, started)
    extraction = extract_answer(completion, extract, prompt=prompt, finished=finished, thinking=thinking)
    if isinstance(extraction, str):
        if extraction == "no_answer" and completion.strip() and is_beyond(read_gold(gold)):
            return _verdict("undecided", *UNPARSED_GOLD, None, started)
        return _verdict("incorrect", extraction, WITHOUT_ANSWER[extraction], None, started)
    answer = extraction.text
    try:
        gold = read_gold(gold)
        outcome = grade(gold, extraction, strict=strict, choices=choices)
    except Exception as error:
        return _verdict("undecided", "error", f"{type(error).__name__}: {error}", answer, started)
    status: Status = "undecided" if outcome.equal is None else "correct" if outcome.equal else "incorrect"
    return _verdict(status, outcome.rule, outcome.reason, answer, started)


def _is_gold_itself(completion: str, gold: str) -> bool:
    return 0 < len(completion) < len(gold) + 9 and completion.strip() == gold.strip() != ""


def verify_many(
    pairs: Iterable[tuple[str, str]],
    *,
    extract: Extract = "stated",
    strict: bool = False,
    choices: Iterable[Mapping[str, str] | None] | None = None,
    prompts: Iterable[str | None] | None = None,
    finished: Iterable[bool] | None = None,
    thinking: Thinking = "auto",
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> list[Verdict]:
    """Verdicts of (completion, gold) pairs, in their order; the same for any number of `workers`.

    `choices`, `prompts` and `finished` hold an item for each pair. `progress` is called with the number of
    verdicts so far.
    """
    pairs = list(pairs)
    none = [None] * len(pairs)
    tasks = [
        Task(*pair, options, prompt, done)
        for pair, options, prompt, done in zip(
            pairs,
            none if choices is None else choices,
            none if prompts is None else prompts,
            [True] * len(pairs) if finished is None else finished,
            strict=True,
        )
    ]
    verify_tasks = partial(_verify_tasks, extract=extract, strict=strict, thinking=thinking)
    if workers > 1 and len(tasks) > 1:
        from limo_ablate.verify.jobs import map_in_chunks

        return map_in_chunks(verify_tasks, tasks, workers, progress)
    verdicts: list[Verdict] = []
    for task in tasks:
        verdicts += verify_tasks([task])
        if progress:
            progress(len(verdicts))
    return verdicts


def _verify_tasks(tasks: list[Task], *, extract: Extract, strict: bool, thinking: Thinking) -> list[Verdict]:
    return [
        verify(
            task.completion,
            task.gold,
            extract=extract,
            strict=strict,
            choices=task.choices,
            prompt=task.prompt,
            finished=task.finished,
            thinking=thinking,
        )
        for task in tasks
    ]


def _verdict(status: Status, rule: str, reason: str | None, answer: str | None, started: float) -> Verdict:
    answer = None if answer is None else _storable(answer)
    return Verdict(status, rule, reason, answer, (time.perf_counter() - started) * 1000)


def _storable(text: str) -> str:
    """`text` as parquet can hold it: without lone surrogates, and no longer than what is parsed."""
    text = text[: MAX_ANSWER + 1]
    return text if text.isascii() else text.encode("utf-8", "ignore").decode()


def parsed_form(text: str) -> str | None:
    """How an answer or a gold answer was parsed, as text; None if it was not."""
    node = read_answer(read_gold(text)).node
    return None if node is None else show(node)


def compare_answers(gold: str, answer: str, choices: Mapping[str, str] | None = None) -> Outcome:
    """Compares an answer that is already extracted."""
    return grade(gold, Extraction(answer, "box"), strict=False, choices=choices)
