"""One extracted answer against the gold: from cheap to dear, as soon as a check decides."""

from __future__ import annotations

import re
from collections.abc import Mapping

from limo_ablate.verify.answer import Answer, choice, lone_word, read, readings
from limo_ablate.verify.cache import remembered
from limo_ablate.verify.compare import Comparison
from limo_ablate.verify.extract import Extraction
from limo_ablate.verify.limits import MAX_ANSWER
from limo_ablate.verify.nodes import Group, Listing, SetOf, Words
from limo_ablate.verify.options import by_text, option_texts
from limo_ablate.verify.outcome import Outcome, different, same, unknown
from limo_ablate.verify.text import squeeze, words

_MIXED = re.compile(r"[a-z]/?[A-Z]|[A-Z]/[a-z]|[A-Z]{2}[a-z]")


def grade(gold: str, answer: Extraction, *, strict: bool, choices: Mapping[str, str] | None) -> Outcome:
    """Correct, incorrect or undecided. `choices` maps the letters of a multiple-choice question to their
    texts."""
    outcome = compare_texts(gold, answer.text, strict, choices)
    if outcome.equal:
        return outcome
    if answer.boxes and isinstance(read(gold).node, (Listing, SetOf, Group)):
        together = compare_texts(gold, ", ".join(answer.boxes), strict, choices)
        return together if together.equal else outcome
    if answer.how in ("formula", "whole") and "=" in answer.text:
        last = compare_texts(gold, answer.text.rpartition("=")[2], strict, choices)
        return last if last.equal else outcome
    return outcome


def compare_texts(gold: str, answer: str, strict: bool, choices: Mapping[str, str] | None) -> Outcome:
    gold, answer = gold.strip(), answer.strip()
    if max(len(gold), len(answer)) > MAX_ANSWER:
        if gold == answer:
            return same("text")
        which = "gold answer" if len(gold) > MAX_ANSWER else "answer"
        return unknown("limit", f"the {which}: more than {MAX_ANSWER} characters")
    if squeeze(gold) == squeeze(answer):
        return same("text")
    if (by_letter := _choices(gold, answer, choices)) is not None:
        return by_letter
    return compare_read(gold, answer, strict)


def _choices(gold: str, answer: str, choices: Mapping[str, str] | None) -> Outcome | None:
    """Lettered options. An option's own text counts where `choices`, or the gold itself, says which it is."""
    g, a = _lettered(gold, choices), _lettered(answer, choices)
    if choices and g and not a and g[0] in choices:
        return by_text(g[0], answer, choices, compare_read)
    if choices and a and not g and a[0] in choices:
        return by_text(a[0], gold, choices, compare_read)
    if g and a:
        same_letters = sorted(a[0]) == sorted(g[0])
        return same("choice") if same_letters else different("choice", f"option {a[0]}, not {g[0]}")
    if g is None and a is None:
        return None
    text = (g or a or ("", ""))[1]
    if text:
        return compare_read(text if g else gold, answer if g else text, False)
    return different("choice", "no option's letter")


def _lettered(text: str, choices: Mapping[str, str] | None) -> tuple[str, str] | None:
    """As `choice`, but for an option whose own text begins like a letter: "A. baumannii"."""
    found = choice(text)
    return None if found and found[1] and choices and option_texts(text, choices) else found


@remembered
def compare_read(gold: str, answer: str, strict: bool) -> Outcome:
    g, a = read(gold), read(answer)
    outcome = _compare_answers(g, a, strict)
    if outcome.equal is not False and outcome.equal is not None:
        return outcome
    if isinstance(g.node, Words) and isinstance(a.node, Words):
        return outcome  # "no" and "on" are not also n o and o n
    for g_reading in (g, *readings(gold)):
        for a_reading in (a, *readings(answer)):
            if (g_reading, a_reading) != (g, a):
                other = _compare_answers(g_reading, a_reading, strict)
                if other.equal:
                    return other
    return outcome


def _compare_answers(g: Answer, a: Answer, strict: bool) -> Outcome:
    if (bare := squeeze(g.text)) and bare == squeeze(a.text):
        return same("text")
    verbal = isinstance(g.node, Words) or isinstance(a.node, Words)
    if verbal and words(g.text) == words(a.text) and not (_letters(g.text) or _letters(a.text)):
        return same("words")
    if g.node is not None and a.node is not None:
        return Comparison(strict)(g.node, a.node)
    if g.node is None and a.node is None and g.text and words(g.text) == words(a.text) and _verbal(g.text):
        return same("words")
    if g.node is None:
        return unknown("limit" if g.limited else "unparsed gold", f"the gold answer: {g.problem}")
    if a.limited:
        return unknown("limit", f"the answer: {a.problem}")
    if isinstance(g.node, Words):
        return different("words", "not the same words")
    return unknown("unparsed answer", f"the answer: {a.problem}")


def _letters(text: str) -> bool:
    """nO, N/a: no spelling of a word that could be letters, so letters."""
    return bool(_MIXED.search(text)) and lone_word(words(text))


def _verbal(text: str) -> bool:
    return bool(re.search(r"[^\W\d_]{2}", words(text)))
