"""Leaves out of a sentence what it only uses, gives as a reason, or rejects."""

from __future__ import annotations

import re

from limo_ablate.verify.turns import last_question
from limo_ablate.verify.values import FORMULA, Value, is_computed, prose, values
from limo_ablate.verify.vocabulary import NUMBER_WORDS
from limo_ablate.verify.wording import REJECTED, SUMS_UP, is_hedged

_EQUATION = re.compile(r"((?!!=)[^\s=]*[^\s=<>~≠])\s*=\s*$")
_BREAK = re.compile(
    r"[,;]\s+|\s+(?=(?:so|then|thus|hence|therefore|since|because|gives?|yields?|implies|(?:and\s+)?(?:we|you|I|one)\s+"
    r"(?:get|find|obtain|see|have|conclude)|(?:and|to)\s+(?:get|obtain))\b)",
    re.IGNORECASE,
)
"""Where a part of a sentence ends."""
_LEAD = r"\W*(?:(?:so|now|but|and|then|thus|hence|therefore|first|next|here|also|please)\W+)*"
_USES = re.compile(
    rf"{_LEAD}(?:(?:when|if|after|upon|on|by)\s+)?(?:(?:we|I|you|one)\s+)?(?:(?:can|could|will|would|must|may|should|already"
    r"|(?:have|need|am\s+going)\s+to|let\s+us|let's)\s+)*(?:us(?:e|ed|ing)|appl(?:y|ied|ying)|substitut(?:e|ed|ing)|plug(?:ged|ging)?|put(?:ting)?"
    r"|set(?:ting)?|let(?:ting)?|take|taking|took|test(?:ing)?|try(?:ing)?|consider(?:ing)?|recall|remember)\b",
    re.IGNORECASE,
)
_USED = re.compile(
    r"\b(?:(?:using|used|uses?(?:\s+of)?|with|from|via|by|given|rel(?:y|ied|ies)\s+on|based\s+on)\s+"
    r"(?:(?:the|this|that|our|an?)\s+(?:(?!that\b)\w+\s+){0,3})?"
    r"|(?:substitut\w+|plug\w*(?:\s+in)?|known|recall|fact|assumption|case|taking|setting|putting|letting)\s+(?:that\s+)?)"
    r"[$*(\\\[]*\Z",
    re.IGNORECASE,
)
"""What makes an equation behind it one that is used, not concluded."""
_REASON = re.compile(
    rf"{_LEAD}(?:since|because)\b|\W*(?:but\s+)?(?:we|I)\s+(?:already\s+)?(?:know|knew)\b", re.IGNORECASE
)
_SETTING = re.compile(
    rf"{_LEAD}(?:with|by|from|for|after|at|given|(?:know|not|see|consider|observ|remember|recall)ing|as|in|on|under|(?:reject|discard|exclud|ignor|tak|us|sett|putt)ing)\b",
    re.IGNORECASE,
)
"""How a part begins that only introduces the main clause behind it."""
RESULT = re.compile(
    r"(?:(?:and|to)\s+)?(?:(?:(?:we|you|I|one)\s+)?(?:get|obtain)|(?:we|you|I|one)\s+(?:find|see))\b",
    re.IGNORECASE,
)
_STEP = re.compile(
    rf"{_LEAD}(?:solve|add|subtract|multiply|divide|simplify|factor|expand|square|cancel|combine|rearrange|evaluate"
    r"|compute)\b",
    re.IGNORECASE,
)
"""How a part begins that tells what to do, with the result behind it: "Add 3 to both sides to get"."""
_ADDS = re.compile(
    r"\W*(?:which|as|since|because|not|or|of|and(?!\s+(?:so|get|obtain|find|have)\b))\b", re.IGNORECASE
)
"""How a part begins that goes on with the one before it."""
_ADDS_REASON = re.compile(
    r"\W*(?:since|because|as|using|rejecting|discarding|excluding|ignoring)\b", re.IGNORECASE
)


_NOT_OF_KIND = re.compile(
    r"\W*(?:which|(?:(?:but|and)\s+)?(?:it|this|that))\s+(?:(?:is|are)\s+(?:not|negative|out\s+of|outside)|(?:is|are)n['’]t)\b"
    r"(?!\s+(?:the|our|to|so|only|surpris|hard|far))|\W*(?:(?:so|thus|hence|therefore|and)\W+)*(?:there\s+(?:is|are|exists?)|it\s+has|we\s+have)\s+no\b",
    re.IGNORECASE,
)
"""How a part begins that says that the value before it is not what is sought: "which is not an integer"."""


def statement(sentence: str) -> str:
    """What a sentence says in the end, without what it only uses, gives as a reason or rejects.

    "Since $x = -3$ is impossible, x = 5" says "x = 5", and "so x = 5, a contradiction" nothing.
    """
    formulas = [match.span() for match in FORMULA.finditer(sentence)]
    breaks = [
        match.span()
        for match in _BREAK.finditer(sentence)
        if not any(start < match.start() < end for start, end in formulas)
    ]
    starts, ends = [0, *(end for _, end in breaks)], [*(start for start, _ in breaks), len(sentence)]
    parts = [sentence[start:end] for start, end in zip(starts, ends, strict=True)]
    first, last = 0, len(parts)
    while last - first > 1 and _ADDS_REASON.match(parts[last - 1]):
        last -= 1
    while (
        first < last
        and not (first == last - 1 and first and _REASON.match(parts[first - 1]))
        and _is_premise(parts[first], parts[first + 1 : last])
    ):
        first += 1
    for place in range(last - 1, first - 1, -1):
        if _rejects(parts[place]):
            first = place + 1
            break
    return sentence[starts[first] : ends[last - 1]] if first < last else ""


_CONCLUDED = re.compile(
    r"\b(?:so|thus|hence|therefore|consequently|answer|result|must\s+be|we\s+(?:get|find|obtain|conclude)|now|still|after)\b",
    re.IGNORECASE,
)
_SETS_OUT = re.compile(
    rf"{_LEAD}(?:initially|originally|at\s+first|at\s+the\s+(?:start|beginning|outset)|in\s+the\s+beginning|step\s+\d"
    r"|(?:to|let\s+us|let's|we|I)\s+(?:begin|start|know)|we\s+have(?=\s+\W?\d[\d.,]*\s+[a-z]{3}))\b|\W*first(?:ly)?\b",
    re.IGNORECASE,
)
"""How a sentence begins that only sets out what is known."""
_OF_EACH = re.compile(
    r"\b(?:each|every|per|starts?|started|begins?|began|had|gave|gives|first|total\s+number)\b", re.IGNORECASE
)
"""What makes a sentence speak of the beginning, or of one of many."""
_ASKED = re.compile(
    r"\bhow\s+(?:many|much)\s+(?:more\s+)?(\w+)|\b(?:what|find|compute|determine|calculate)\b(?:\s+(?:is|are|was|will))?(?:\s+(?:the|its|their|his|her|be))*"
    r"(?:\s+(?:average|total|new|final|largest|smallest|greatest|least))?\s+(\w+)"
)
_PLANS = re.compile(
    r"\W*(?:(?:first|now|so|then)\W+)*(?:to\s+(?:find|solve|get|compute|calculate|determine|answer)\b|(?:we|I)\s+(?:need|must|have\s+to|will|can|should|use)\b"
    r"|let(?:'s|\s+(?:me|us|\w+\s+be|\w+(?:'s|\s+\w+){1,4}\s+be))\b|call\b|suppose\b|assume\b|(?:first|next|then),?\s+(?:we|I)\b)[^=]*\Z",
    re.IGNORECASE,
)
"""A sentence that says what is to be done or what letters mean."""


def only_given(sentence: str, earlier: str, prompt: str) -> bool:
    """Whether the last sentence of a text only says what is known.

    It concludes nothing, and its values are the last question's of the prompt, or it sets out from them, or a
    plan or a definition stands before it.
    """
    if len(prose(sentence)) < 2 or is_computed(sentence):
        return False
    if _CONCLUDED.search(sentence) or SUMS_UP.search(sentence):
        return False
    found, prompt = values(sentence), last_question(prompt) if prompt else ""
    if not found or not (
        _SETS_OUT.match(sentence)
        or _PLANS.match(earlier[max(map(earlier.rstrip(" .\n").rfind, (". ", "\n", "! "))) + 1 :])
        or (
            prompt
            and all(map(_numbers(prompt).__contains__, _numbers(sentence)))
            and not _is_asked(sentence, found, prompt)
        )
    ):
        return False
    return not any(_computes(earlier, value.text) for value in found)


def _is_asked(sentence: str, found: tuple[Value, ...], prompt: str) -> bool:
    """Whether a sentence names what the prompt asks for: "7 pens", asked how many pens; "the area is 7"."""
    if len(found) > 1 or _OF_EACH.search(sentence):
        return False
    things = _ASKED.findall(prompt.lower())
    behind = re.match(r"\W*(\w+)", sentence[found[0].end :].lower())
    subject = re.findall(r"[a-z]+", sentence[: found[0].start].lower())
    return any(
        many == behind[1] if many and behind else bool(what) and what in subject for many, what in things
    )


def _numbers(text: str) -> set[str]:
    """The values of a text without signs of money and percent, numbers in words included."""
    words = {str(NUMBER_WORDS[word]) for word in prose(text) if word in NUMBER_WORDS}
    return {value.text.strip("$€£% \\") for value in values(text)} | words


def _computes(text: str, value: str) -> bool:
    """Whether `text` has the value behind an "="."""
    at = text.find(value)
    while at >= 0:
        before = text[max(0, at - 12) : at].rstrip(" \n$€£\\([{")
        if before.endswith("=") and not text[at + len(value) :][:1].isdigit():
            return True
        at = text.find(value, at + 1)
    return False


def equation_before(text: str, end: int) -> re.Match[str] | None:
    """The side of an equation, its first group, that stands with its "=" right before `end`."""
    return _EQUATION.search(text, 0, end) if text[:end].rstrip().endswith("=") else None


def is_used(text: str, value: Value) -> bool:
    """Whether a value is one side of an equation that a sentence uses: "by substituting x = 3"."""
    named = equation_before(text, value.start)
    return bool(named or "=" in value.text) and bool(
        _USED.search(text[: named.start() if named else value.start])
    )


def _is_premise(part: str, later: list[str]) -> bool:
    """Whether a part of a sentence only gives what the `later` ones are concluded from."""
    if _REASON.match(part) or ("=" in part and _USES.match(part)):
        return True
    if _STEP.match(part) and later and RESULT.match(later[0]):
        return True
    leads = _SETTING.match(part) or is_hedged(part, "")
    return bool(leads) and not all(map(_ADDS.match, later))


def _rejects(part: str) -> bool:
    if _NOT_OF_KIND.match(part):
        return True
    found = values(part)
    return any(REJECTED.match(part[value.end :]) for value in found) if found else bool(REJECTED.match(part))
