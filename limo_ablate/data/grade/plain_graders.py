"""Graders for answers that are no mathematics: texts, numbers with a tolerance, patterns.

Texts are compared after Unicode normalisation (NFKC), without case, with single spaces, without LaTeX's
`\\text{}`, quotation marks or punctuation around them. Brackets count in half-open intervals, and where there
is nothing else (`] )`). Of a gold answer that is a solution, what it states counts, as for the verifier
(`#### 18`, a box). Nothing here executes model output; patterns come from the benchmark, and have a time
limit.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal

import regex

from limo_ablate.data.grade.grader import Answered, Grade, final_text, read_answer, right, undecided, wrong
from limo_ablate.data.grade.votes import RIGHT
from limo_ablate.verify.gold import read_gold

LONGEST = 2000
"""Characters of an answer that are read; longer ones are wrong."""
FLOAT_DIGITS = 300
"""Digits of a number that a float holds."""
SECONDS = 0.5
"""Time limit of a pattern."""
OUTSIDE = " \t\n\"'`*_.,;:!?“”‘’«»"
AROUND = f"{OUTSIDE}()[]"
NUMBER = regex.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d{1,3}(?!\d))?|[-+]?\.\d+")
_LOCAL = regex.compile(
    r"""(?<![\d.,'’])(?:
        \d{1,3}(?:[ '’]\d{3})+(?:[.,]\d+)?  # 1 234,5 and 1'234.5
        | (?P<dots>\d{1,3}(?:(?:\.\d{3})+,\d+|(?:\.\d{3}){2,}))  # 1.234,5 and 1.234.567
        | (?P<lakh>\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?)  # 12,34,567
        | 0,\d+ | \d+,(?:\d{1,2}|\d{4,})  # 2,5: three digits would be thousands
    )(?!\d|[.,]\d|\ ?/)""",
    regex.VERBOSE,
)
"""Numbers that are no English ones, and nothing else."""
_SOLID = regex.compile(r"([\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*)")
"""A character of a script without spaces between words."""
_WORDS = regex.compile(r"\\(?:text\w*|math(?:rm|bf|it|tt)|mbox)\s*\{([^{}]*)\}")
_FRACTION = regex.compile(r"\\[dt]?frac\{([^{}]*)\}\{([^{}]*)\}|(?<![\d/.,])(\d+)[ ]*/[ ]*(\d+)(?![\d/.,])")
_POWER = regex.compile(
    r"(?:([\d.]+)\s*(?:\\times|\\cdot|[×·*x])\s*)?(?<![\d.])10\s*\^\s*\{?\s*([-+]?\d{1,3})\s*\}?"
)
_SUPERSCRIPT = regex.compile("[\u2070\u00b9\u00b2\u00b3\u2074-\u207b]+")
_MIXED = regex.compile("(?<=\\d)(?=[\u00bc-\u00be\u2150-\u215e])")
_HALF_OPEN = regex.compile(r"\([^()\[\]]*\]|\[[^()\[\]]*\)")
_SCALE = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_SCALED = regex.compile(rf"\s*({'|'.join(_SCALE)})s?\b", regex.IGNORECASE)
_RAISED = regex.compile(r"(?<![\d.,])(\d{1,6}(?:\.\d{1,6})?)\s*\^\s*\{?\s*([-+]?\d{1,3})\s*\}?(?!\d)")
_PER_CENT = regex.compile(r"\s*\\?(?:%|per ?cent\b)")


def exact(answered: Sequence[Answered]) -> list[Grade]:
    """Right: the gold answer's text."""
    return voted(
        answered,
        [_grade(one, "exact", lambda text, gold: plain(text) == plain(read_gold(gold))) for one in answered],
    )


def any_of(answered: Sequence[Answered]) -> list[Grade]:
    """Right: one of the gold answers' texts."""

    def among(one: Answered) -> Callable[[str, str], bool]:
        golds = {plain(part) for part in one.gold.split(one.grading.separator)} - {""}
        return lambda text, _: plain(text) in golds

    return voted(answered, [_grade(one, "any_of", among(one)) for one in answered])


def number(answered: Sequence[Answered]) -> list[Grade]:
    """Right: the answer's only number is within a tolerance of the gold answer's."""
    return voted(answered, [_number(one) for one in answered])


def matches(answered: Sequence[Answered]) -> list[Grade]:
    """Right: the gold answer, a regular expression, matches all of the answer, whatever the case."""
    return voted(answered, [_matched(one) for one in answered])


def f1(answered: Sequence[Answered]) -> list[Grade]:
    """The F1 of the words that answer and gold answer share (SQuAD, Rajpurkar et al. 2016); of several gold
    answers the best."""
    return voted(answered, [_f1(one) for one in answered])


def for_judge(answered: Sequence[Answered]) -> list[Grade]:
    """All that has an answer is left to `eval.judge`."""
    found = [read_answer(one) for one in answered]
    return [
        one if isinstance(one, Grade) else undecided("judge", one, "for the judge to decide") for one in found
    ]


def plain(text: str) -> str:
    """The text as it is compared."""
    folded = " ".join(_normalized(_bare(text)).casefold().split())
    outer, inner = folded.strip(OUTSIDE), folded.strip(AROUND)
    if not inner or _HALF_OPEN.fullmatch(outer):
        return outer
    return f".{inner}" if inner[0].isdigit() and f".{inner}" in folded else inner


def _normalized(text: str) -> str:
    """NFKC, by which 10² would be 102 and 1½ eleven halves."""
    text = _MIXED.sub(" ", _SUPERSCRIPT.sub(r"^\g<0>", text))
    return unicodedata.normalize("NFKC", text).replace("−", "-").replace("⁄", "/")


def _bare(text: str) -> str:
    """Words of LaTeX without what makes them words there: `$\\text{card\\_arrival}$`."""
    text = text.strip()
    if len(text) > 2 and text[0] == text[-1] == "$" and "$" not in text[1:-1]:
        text = text[1:-1]
    return _WORDS.sub(r"\1", text).replace("\\_", "_").replace("\\&", "&")


def voted(answered: Sequence[Answered], grades: Sequence[Grade]) -> list[Grade]:
    """The grades with classes of equal texts, for majority votes: right answers are one class."""
    classes: dict[tuple[str, str], int] = {}
    voted = []
    for one, grade in zip(answered, grades, strict=True):
        vote = None
        if grade.answer is not None:
            known = (one.problem, plain(grade.answer))
            vote = RIGHT if grade.status == "correct" else classes.setdefault(known, len(classes) + 1)
        voted.append(replace(grade, vote=vote))
    return voted


def _ungradable(one: Answered, rule: str, reason: str) -> Grade:
    """The grade where the gold answer can't be used, of completions that broke off too: none is wrong."""
    answer = read_answer(one)
    return undecided(rule, None if isinstance(answer, Grade) else answer, reason)


def _grade(one: Answered, rule: str, equal: Callable[[str, str], bool]) -> Grade:
    if not one.gold.strip():
        return _ungradable(one, rule, "the gold answer is empty")
    answer = read_answer(one)
    if isinstance(answer, Grade):
        return answer
    if len(answer) > LONGEST:
        return wrong(rule, answer[:LONGEST], f"longer than {LONGEST} characters")
    return right(rule, answer) if equal(answer, one.gold) else wrong(rule, answer, "not the gold answer")


def _f1(one: Answered) -> Grade:
    golds = [_words(part) for part in read_gold(one.gold).split(one.grading.separator)]
    if not any(golds):
        return _ungradable(one, "f1", "the gold answer has no words")
    answer = read_answer(one)
    if isinstance(answer, Grade) and answer.rule == "no_answer":  # a phrase is compared as it stands
        answer = final_text(one) or answer
    if isinstance(answer, Grade):
        return answer
    own = _words(answer[:LONGEST])
    score = max(_shared(own, gold) for gold in golds if gold)
    return right("f1", answer, 1.0) if score == 1 else wrong("f1", answer, f"F1 {score:.3f}", score)


def _words(text: str) -> Counter[str]:
    """Lower case, without punctuation, articles and more than one space; where a script has no spaces, each
    character is a word."""
    kept = regex.sub(r"[\p{P}\p{S}]", "", _normalized(_bare(text)).lower())
    kept = _SOLID.sub(r" \1 ", kept)
    return Counter(word for word in kept.split() if word not in ("a", "an", "the"))


def _shared(one: Counter[str], other: Counter[str]) -> float:
    return 2 * (one & other).total() / (one.total() + other.total())


def _number(one: Answered) -> Grade:
    golds = _numbers(read_gold(one.gold))
    if len(golds) != 1:
        return _ungradable(one, "number", f"the gold answer has {len(golds)} numbers, not one")
    answer = read_answer(one)
    if isinstance(answer, Grade):
        return answer
    found = _numbers(answer[:LONGEST])
    if len(found) != 1:
        return wrong("number", answer, f"{len(found)} numbers, not one")
    (gold,), (value,) = golds, found
    relative, absolute = (Decimal(repr(given)) for given in (one.grading.relative, one.grading.absolute))
    if abs(value - gold) <= max(absolute, relative * abs(gold)):
        return right("number", answer)
    return wrong("number", answer, f"{value:g} is not within the tolerance of {gold:g}")


def _numbers(text: str) -> set[Decimal]:
    """The different numbers of a text, per cent as shares of 100: 12 % and 0.12 are one, and so are 3 million
    and 3,000,000."""
    text = _LOCAL.sub(_english, _normalized(text))
    text = _POWER.sub(lambda power: f"{power[1] or 1}e{power[2]} ", text)
    text = _RAISED.sub(_power, text)
    text = _FRACTION.sub(_quotient, text)
    found = set()
    for match in NUMBER.finditer(text):
        share, scaled = _PER_CENT.match(text, match.end()), _SCALED.match(text, match.end())
        power = -2 if share else _SCALE[scaled[1].lower()] if scaled else 0
        value = Decimal(match[0].replace(",", "")).scaleb(power)
        if math.isfinite(float(value)):
            found.add(value)
    return found


def _english(number: regex.Match[str]) -> str:
    """A number of another country as English writes it, without separators of thousands."""
    text = regex.sub("[ '’]", "", number[0])
    if number["lakh"]:
        return text.replace(",", "")
    return (text.replace(".", "") if number["dots"] else text).replace(",", ".")


def _power(raised: regex.Match[str]) -> str:
    """The number that a power is; one that no float holds as it is."""
    try:
        power = Decimal(raised[1]) ** int(raised[2])
    except ArithmeticError:
        return str(raised[0])
    return f"{power} " if abs(power.adjusted()) < FLOAT_DIGITS else str(raised[0])


def _quotient(fraction: regex.Match[str]) -> str:
    """The decimal number of a fraction of two numbers; any other, and one behind a number, as it is."""
    top, bottom = fraction[1] or fraction[3], fraction[2] or fraction[4]
    try:
        quotient = Decimal(top) / Decimal(bottom)
    except (ArithmeticError, TypeError):
        return str(fraction[0])
    return str(fraction[0]) if fraction.string[: fraction.start()][-1:].isdigit() else f"{quotient} "


def _matched(one: Answered) -> Grade:
    try:
        pattern = regex.compile(one.gold, regex.IGNORECASE)
    except regex.error as error:
        return _ungradable(one, "regex", f"the gold answer is no regular expression: {error}")
    answer = read_answer(one)
    if isinstance(answer, Grade):
        return answer
    try:
        texts = {answer.strip(), _bare(answer).strip()}
        matched = any(pattern.fullmatch(text, timeout=SECONDS) for text in texts)
    except TimeoutError:
        reason = f"the pattern took more than {SECONDS} s"
        return undecided("regex", answer, reason)
    return right("regex", answer) if matched else wrong("regex", answer, "the pattern does not match")
