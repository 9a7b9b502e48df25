"""Reads the value that a clause or a sentence states: "The largest $n$ is 34, not 35" states 34."""

from __future__ import annotations

import re
from collections.abc import Sequence

from limo_ablate.verify.premises import RESULT, equation_before, is_used, statement
from limo_ablate.verify.values import WORD, Value, grouped, is_computed, prose, values, with_unit
from limo_ablate.verify.wording import CONCLUDES, SUMS_UP, is_hedged, is_question

_HAN = re.compile(r"[\u2e80-\u9fff]")
_ADVERBS = frozenset(
    (
        *("old", "left", "more", "less", "each", "total", "altogether", "long", "wide", "tall", "high"),
        *("away", "now", "again", "only", "remaining", "together", "overall"),
    )
)
_ASSERTS = re.compile(
    r"(?:\b(?:is|are|was|were|be|equals?|has|have|that\s+is|namely|i\.e\.|g[eo]ts?|gives|becomes|costs?|totals?|weighs?"
    r"|yields?|remains?|obtain|there\s+(?:are|is)|left\s+with|(?:made|makes?|gets?|has|have|is|was|of)\s+an?\s+(?:\w+\s+){0,2}(?:profit|loss|total|sum|discount|change|balance|income|salary)\s+of|ends?\s+up\s+with|total\s+of|comes\s+(?:out\s+)?to"
    r"|takes?|took|holds?|contains?|leaves|receives?|requires?|measures?|lasts?|(?:drives?|travels?|moves?|runs)\s+at|needs?|pays?|paid|earns?|earned|spends?|spent|saves?|saved|makes?|made|(?:can|will)\s+[a-z]+"
    r"|amounts\s+to|works\s+out\s+to|(?:arrives?|starts?|leaves?|ends?|begins?)\s+at)"
    r"|等于|得到|[为是有得共]|(?<=\w\w)[:：])[,:：]?\s*"
    r"(?:(?:him|her|them|us|you|me|it|also|still|about|approximately|roughly|around|only|exactly|just|simply|now|then|thus|therefore|hence|equal\s+to|a\s+total\s+of|the"
    r"|number)\s+)*(?:\*\*)?\s*$",
    re.IGNORECASE,
)
REMARK = re.compile(
    r"\s*\((?=(?:[^()]*[^\W\d_]){4})(?:and\s+not|not|since|because|as|so|where|the|which|note|recall|rather|instead"
    r"|i\.e\.|that\s+is|about|approximately|approx\.?)\b[^()]{0,200}\)",
    re.IGNORECASE,
)
"""What is added in parentheses to a value: "5 (and not 6, as it may seem)"."""
_NAME = re.compile(r"\(?[A-Za-z](?:_?\d)?")
TOTAL = re.compile(r"(?:total|sum|altogether|final|answer|result|difference|profit)", re.IGNORECASE)
_NAMES_ANSWER = re.compile(r"\bis\s+(?:the|our|my)\s+(?:final\s+|correct\s+)?(?:answer|result)\W*\Z")
_GIVEN = re.compile(r"\W*(?:given|considering|noting|knowing)\b", re.IGNORECASE)
_ALL_BUT = re.compile(
    r"\b(?:is|are|for|contains|includes)\s+((?:the\s+set\s+of\s+)?all\s+(?:real\s+)?(?:numbers|reals|values)\b[^.]*\b(?:except|other\s+than|besides)\b.+)",
    re.IGNORECASE | re.DOTALL,
)
_OTHER_CLAUSE = re.compile(r"[;；]\s*")
_COMMAND = re.compile(r"\\[a-z]+")
_CONSTANT = re.compile(r"[^=a-zA-Z]+=[^=a-zA-Z]+")
_RESULT_CLAUSE = re.compile(r".+[,;]\s+((?:so|thus|hence|therefore)\b.+)", re.IGNORECASE | re.DOTALL)
_SAYS = re.compile(r"(?:=|\bis|\bare)\s*\W?\Z")
_SO = re.compile(r"\b(?:so|thus|hence|therefore)\b", re.IGNORECASE)


def read_clause(clause: str) -> str | None:
    """The answer in the clause after an answer phrase; None if the clause only asks for one.

    A short clause is the answer as it stands; in a longer one, the value that it asserts. If that is
    unclear, all of the clause, which can then equal no value.
    """
    if is_question(clause):
        return None
    found = values(clause)
    if not found:
        return clause
    found = tuple(value for value in found if not is_used(clause, value))
    if not found:
        return None
    words = prose(clause)
    if clause.startswith("that "):
        return _asserted(clause, found) or _only_group(clause, found) or clause
    leads = not clause[: found[0].start].strip("*( ")
    if leads and len(words) <= 2 and not _ADVERBS & set(words):
        return clause
    if words and is_computed(clause) and (equation := _equation(clause, found)):
        return equation
    if asserted := _asserted(clause, found):
        return asserted
    if (
        len(words) <= 4
        and not (clause[0].isupper() and len(words) > 1)
        and not (_HAN.search(clause) or (leads and words and not found[0].formula))
    ):
        return clause
    return _only_group(clause, found) or clause


def read_sentence(sentence: str, earlier: str, direct: bool = False) -> str | None:
    """The answer in the sentence that ends a text, if it is a statement with one value.

    A value that no verb asserts counts if the sentence draws a conclusion or sums up, if `earlier` computes
    it, or if the sentence is all of a `direct` answer to a prompt that does not have it.
    """
    whole = REMARK.sub("", sentence)
    sentence = statement(whole)
    concluded = is_computed(whole) or RESULT.match(sentence)
    if is_question(whole) and not (concluded or (_GIVEN.match(whole) and not is_question(sentence))):
        return None
    if sentence != whole:
        sentence = f", {sentence}"  # so that its verb is not taken for a command
    if complement := _ALL_BUT.search(sentence):
        return complement[1].rstrip(" .")
    found = [value for value in values(sentence) if not is_used(sentence, value)]
    if not found:
        return None
    if equation := _equation(sentence, found):
        return equation
    if asserted := _asserted(sentence, found, last=True):
        return asserted
    group = _only_group(sentence, found)
    if group is None:
        result = _RESULT_CLAUSE.search(sentence)
        return read_sentence(result[1], earlier) if result else None
    last = found[-1]
    ends = not sentence[last.end :].strip(" .。*\n")
    return (
        group
        if direct
        or CONCLUDES.match(whole)
        or CONCLUDES.match(sentence)
        or (last.formula and "=" in last.text and (ends or _CONSTANT.fullmatch(_COMMAND.sub("", last.text))))
        or _is_said(last.text, earlier)
        or _NAMES_ANSWER.search(sentence)
        or SUMS_UP.search(sentence)
        else None
    )


def _is_said(value: str, text: str) -> bool:
    """Whether `text` has "=", "is" or "are" before the value."""
    at = text.find(value)
    while at >= 0:
        if _SAYS.search(text, max(0, at - 10), at) and not text[at + len(value) :][:1].isdigit():
            return True
        at = text.find(value, at + 1)
    return False


def _asserted(text: str, found: Sequence[Value], *, last: bool = False) -> str | None:
    """The values behind "is", "are", "equals", ...; None if there are none, or if they are hedged.

    With `last`, also None if another value follows them.
    """
    groups = [
        group
        for group in grouped(text, found)
        if (verb := _ASSERTS.search(text[: group[0].start])) and verb.start()
    ]
    if not groups or (last and groups[-1][-1] != found[-1]):
        return None
    if last and (result := [match.end() for match in _SO.finditer(text, 0, groups[-1][0].start)]):
        groups = [group for group in groups if group[0].start >= result[-1]]
    start, end = groups[0][0].start, groups[-1][-1].end
    if is_hedged(_OTHER_CLAUSE.split(text[:start][-60:])[-1], text[end:]):
        return None
    return ", ".join(dict.fromkeys(with_unit(text, value) for group in groups for value in group))


def _only_group(text: str, found: Sequence[Value]) -> str | None:
    """The values of a text that has one group of them, unhedged."""
    groups = grouped(text, found)
    if len({tuple(value.text for value in group) for group in groups}) != 1:
        return None
    group = groups[0]
    if is_hedged(text[: group[0].start], text[group[-1].end :]):
        return None
    return ", ".join(with_unit(text, value) for value in group)


def _equation(sentence: str, found: Sequence[Value]) -> str | None:
    """What the last "=" outside formulas states: the value behind it, if numbers or a name stand before it.

    Otherwise the whole equation, since one side of an equation with letters is no value.
    """
    sides = [(value, match) for value in found if (match := equation_before(sentence, value.start))]
    if not sides:
        return None
    last, left = sides[-1]
    if (later := _SO.search(sentence, last.end)) and any(value.start > later.end() for value in found):
        return None  # the conclusion that follows it is stated
    if is_hedged(re.split(r"[,;]\s", sentence[: left.start()])[-1], sentence[last.end :]):
        return None
    before = _mathematics_before(sentence[: left.end()])
    if re.search(r"[A-Za-z]\s*[-+*/^]|[-+*/^]\s*[A-Za-z]|\d[a-z]\b", before):
        return f"{before}{last.text}"
    words = [match[1] for _, match in sides if len(match[1]) > 1 and match[1].isalpha()]
    if 1 < len(words) == len(sides) and not TOTAL.match(words[-1]):  # length = 7, width = 4
        return ", ".join(with_unit(sentence, value) for value, _ in sides)
    named = [(match[1], value) for value, match in sides if _NAME.fullmatch(match[1])]
    if len(named) > 1 or (named and len(sides) == 1):
        return ", ".join(f"{name.strip('(')} = {value.text}" for name, value in named)
    return with_unit(sentence, last)


def _mathematics_before(text: str) -> str:
    """The end of a text without words."""
    words = text.split(" ")
    first = next((at for at in range(len(words), 0, -1) if WORD.search(words[at - 1])), 0)
    return " ".join(words[first:])
