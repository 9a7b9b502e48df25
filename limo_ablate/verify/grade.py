"""Grades one extracted answer against the gold answer: the cheapest check first, until one decides."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from limo_ablate.verify.answer import (
    Answer,
    is_lone_word,
    other_readings,
    read_answer,
    read_choice,
    read_lower_choice,
)
from limo_ablate.verify.cache import cached
from limo_ablate.verify.compare import Comparison
from limo_ablate.verify.deadline import one_deadline
from limo_ablate.verify.extract import Extraction
from limo_ablate.verify.gold import is_beyond, stated_in
from limo_ablate.verify.limits import MAX_ANSWER
from limo_ablate.verify.nodes import Group, Listing, Numeral, SetOf, Words, symbols
from limo_ablate.verify.remarks import arbitrary_letters, disagree_on_ranges
from limo_ablate.verify.scalar import rename_letters
from limo_ablate.verify.text import clean, keys_of, squeeze, words
from limo_ablate.verify.verdict import Outcome, different, same, undecided

UNPARSED_GOLD = ("unparsed gold", "the gold answer is neither mathematics nor short text")
MAX_NAMES = 4
"""Letters of the other side that an arbitrary letter is taken for."""
_READ_OTHERWISE = re.compile(r"[,eE]")
"""What a number has that may also be read as several numbers or as a product."""
_NAMED = re.compile(r"[a-df-hj-z] ?= ?(-?\d+(?:\.\d+)?)")
_MIXED = re.compile(r"[a-z]/?[A-Z]|[A-Z]/[a-z]|[A-Z]{2}[a-z]")


@one_deadline
def grade(gold: str, answer: Extraction, *, strict: bool, choices: Mapping[str, str] | None) -> Outcome:
    """Compares an extracted answer with the gold answer. `choices` maps a question's option letters to
    texts."""
    outcome = compare_texts(gold, answer.text, strict, choices)
    if outcome.equal:
        return outcome
    if answer.how != "box" and answer.text.endswith("!"):  # "The answer is 5!" may mean 5
        emphatic = compare_texts(gold, answer.text.rstrip("!"), strict, choices)
        outcome = emphatic if emphatic.equal else outcome
    if not outcome.equal and outcome.rule in ("words", "unparsed gold", "unparsed answer", "kind"):
        in_gold, in_answer = stated_in(gold), stated_in(answer.text) if answer.how == "box" else None
        if bool(in_gold) != bool(in_answer):
            stated = compare_texts(in_gold or gold, in_answer or answer.text, strict, choices)
            outcome = stated if stated.equal else outcome
    if not outcome.equal and outcome.rule not in ("choice", "limit", "exact") and is_beyond(gold):
        return undecided(*UNPARSED_GOLD)
    if answer.boxes and isinstance(read_answer(gold).node, (Listing, SetOf, Group)):
        together = compare_texts(gold, ", ".join(answer.boxes), strict, choices)
        return together if together.equal else outcome
    return outcome


def compare_texts(gold: str, answer: str, strict: bool, choices: Mapping[str, str] | None) -> Outcome:
    gold, answer = gold.strip(), answer.strip()
    if max(len(gold), len(answer)) > MAX_ANSWER:
        if gold == answer:
            return same("text")
        which = "gold answer" if len(gold) > MAX_ANSWER else "answer"
        return undecided("limit", f"the {which}: more than {MAX_ANSWER} characters")
    if squeeze(gold) == squeeze(answer):
        return same("text")
    if (named := _NAMED.fullmatch(answer)) and named[1] == gold:
        return same("identical")
    if (by_letter := _compare_choices(gold, answer, choices)) is not None:
        return by_letter
    return compare_parsed(gold, answer, strict)


def _compare_choices(gold: str, answer: str, choices: Mapping[str, str] | None) -> Outcome | None:
    """Compares lettered options; None if neither side is one.

    An option's text counts as its letter where `choices` or the gold answer gives that text.
    """
    g, a = _choice(gold, choices), _choice(answer, choices)
    g, a = g or (a and _lower_choice(gold, choices)), a or (g and _lower_choice(answer, choices))
    if choices and g and not a and g[0] in choices:
        return _by_option_text(g[0], answer, choices, compare_parsed)
    if choices and a and not g and a[0] in choices:
        return _by_option_text(a[0], gold, choices, compare_parsed)
    if g and a:
        if sorted(a[0]) != sorted(g[0]):
            return different("choice", f"option {a[0]}, not {g[0]}")
        if a[1] and g[1] and not _are_words(a[1], g[1]) and compare_parsed(g[1], a[1], False).equal is False:
            return different("choice", f"option {a[0]}, but another text")
        return same("choice")
    if g is None and a is None:
        return None
    text = (g or a or ("", ""))[1]
    if text:
        return compare_parsed(text if g else gold, answer if g else text, False)
    return different("choice", "no option's letter")


def _are_words(*texts: str) -> bool:
    return any(isinstance(read_answer(text).node, Words) for text in texts)


def _choice(text: str, choices: Mapping[str, str] | None) -> tuple[str, str] | None:
    """Like `read_choice`, but None for an option's text that begins like a letter: "A. baumannii"."""
    choice = read_choice(text)
    return None if choice and choice[1] and choices and _options_reading(text, choices) else choice


def _lower_choice(text: str, choices: Mapping[str, str] | None) -> tuple[str, str] | None:
    """Like `read_lower_choice`, but None for an option's text that begins so: "i) HCl; ii) NaOH"."""
    choice = read_lower_choice(text)
    known = not choices or (choice and choice[0] in choices and not _options_reading(text, choices))
    return choice if known else None


@cached
def compare_parsed(gold: str, answer: str, strict: bool) -> Outcome:
    alike = (bare := squeeze(clean(gold))) and bare == squeeze(clean(answer))
    outcome = same("text") if alike else _compare_answers(read_answer(gold), read_answer(answer), strict)
    if outcome.equal and disagree_on_ranges(gold, answer):
        return different("relation", "the letters have different ranges")
    if outcome.equal and (keys := keys_of(gold)) and keys != (keys_of(answer) or keys):
        return different("list", "not the same keys")
    if outcome.equal:
        return outcome
    if outcome.rule == "exact" and not _READ_OTHERWISE.search(gold + answer):
        return outcome
    g, a = read_answer(gold), read_answer(answer)
    if isinstance(g.node, Words) and isinstance(a.node, Words):
        return outcome  # "no" and "on" are not also n o and o n
    for g_reading in (g, *other_readings(gold, "floor" in answer, answer.isalnum())):
        for a_reading in (a, *other_readings(answer, "floor" in gold, gold.isalnum())):
            if (g_reading, a_reading) != (g, a):
                other = _compare_answers(g_reading, a_reading, strict)
                if other.equal:
                    return other
    return _with_letters_renamed(gold, answer, strict) or outcome


def _with_letters_renamed(gold: str, answer: str, strict: bool) -> Outcome | None:
    """Whether the sides are equal once a letter that one of them calls arbitrary has the other's name."""
    for one, other in ((gold, answer), (answer, gold)):
        if len(arbitrary := arbitrary_letters(one)) != 1:
            continue
        node, against = read_answer(one).node, read_answer(other).node
        if node is None or against is None or not arbitrary <= symbols(node) - symbols(against):
            continue
        for name in sorted(symbols(against) - symbols(node))[:MAX_NAMES]:
            renamed = rename_letters(node, dict.fromkeys(arbitrary, name))
            outcome = Comparison(strict)(*((renamed, against) if one is gold else (against, renamed)))
            if outcome.equal:
                return outcome
    return None


def _compare_answers(g: Answer, a: Answer, strict: bool) -> Outcome:
    verbal = isinstance(g.node, Words) or isinstance(a.node, Words)
    if (
        verbal
        and words(g.text) == words(a.text)
        and not (_is_spelled_as_letters(g.text) or _is_spelled_as_letters(a.text))
    ):
        return same("words")
    if isinstance(g.node, Numeral) and squeeze(a.text).upper() == g.node.digits.upper():
        return same("base")
    if g.node is not None and a.node is not None:
        return Comparison(strict)(g.node, a.node)
    if g.node is None and a.node is None and g.text and words(g.text) == words(a.text) and _has_words(g.text):
        return same("words")
    if g.node is None:
        return undecided("limit" if g.limited else "unparsed gold", f"the gold answer: {g.problem}")
    if a.limited:
        return undecided("limit", f"the answer: {a.problem}")
    if isinstance(g.node, Words):
        return different("words", "not the same words")
    return undecided("unparsed answer", f"the answer: {a.problem}")


def _is_spelled_as_letters(text: str) -> bool:
    """Whether a short word is written like a product of letters: nO, N/a."""
    return bool(_MIXED.search(text)) and is_lone_word(words(text))


def _has_words(text: str) -> bool:
    return bool(re.search(r"[^\W\d_]{2}", words(text)))


def _options_reading(text: str, options: Mapping[str, str]) -> list[str]:
    """Letters of the options that read exactly like `text`."""
    return [letter for letter, option in options.items() if squeeze(option) == squeeze(text)]


def _by_option_text(
    letter: str, text: str, options: Mapping[str, str], compare: Callable[[str, str, bool], Outcome]
) -> Outcome:
    """Whether `text` fits the option `letter` and no other: literally, else by value, else rounded."""
    alike, outcomes = _options_reading(text, options), {}
    for strict in (True, False):
        if not alike:
            outcomes = {name: compare(option, text, strict) for name, option in options.items()}
            alike = [name for name, outcome in outcomes.items() if outcome.equal]
    if letter in alike and len(alike) > 1:
        return undecided("choice", f"it fits the options {' and '.join(alike)}")
    if alike:
        return same("choice") if letter in alike else different("choice", f"option {alike[0]}, not {letter}")
    if outcomes[letter].equal is None:
        return undecided("choice", f"option {letter}: {outcomes[letter].reason}")
    return different("choice", "no option's letter, and no option's text")
