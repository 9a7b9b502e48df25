"""Reads gold answers as data sets give them: also whole solutions, code and prose."""

from __future__ import annotations

import re

from limo_ablate.verify.answer import read_answer
from limo_ablate.verify.cache import cached
from limo_ablate.verify.characters import with_backslashes
from limo_ablate.verify.extract import extract
from limo_ablate.verify.limits import MAX_ANSWER, MAX_GOLD
from limo_ablate.verify.nodes import Words
from limo_ablate.verify.statements import by_phrase, in_words
from limo_ablate.verify.values import prose

SHORT_TEXT = 12
"""Words of the longest gold answer that is compared as words."""

_SOLUTION = re.compile(
    r"\\(?:boxed|fbox)\b|####|<answer>|</think>|\banswer\s+is\b|\b[Aa]ns\b|【答案】|答案|故选"
)
_CODE = re.compile(
    r"```|^[ \t]*[\[{]\s{0,9}[\"'][^\"']*[\"']\s*:|^[ \t]*(?:import|from)\s+\w+|#include|</(?!su[bp]>)\w+>"
    r"|\bprint\s*\(|\bconsole\.log\b|\b(?:def|class|function)\s+\w+\s*[(:{]|\breturn\b[^\n]{0,200}[;\n]"
    r"|\bfor\s+\w+\s+in\s+(?:range\b|\w+\s*[\]:)])|\blambda\s+\w+\s*:"
    r"|^[ \t]*(?:int|let|const|var|float|double|char)\s+\w+\s*="
    r"|\b(?:SELECT|INSERT|UPDATE|DELETE|CREATE)\b.{0,400}?\b(?:FROM|INTO|SET|TABLE)\b",
    re.DOTALL | re.MULTILINE,
)


@cached
def read_gold(gold: str) -> str:
    """The answer of a gold answer that is a solution: in a box, in tags, after #### or an answer phrase."""
    if len(gold) > MAX_GOLD:
        return gold
    gold = gold if gold.isprintable() else with_backslashes(gold)
    if _SOLUTION.search(gold):
        answer = extract(gold)
        return gold if isinstance(answer, str) else answer.text
    if len(gold) > 60 and len(prose(gold)) > SHORT_TEXT:
        return by_phrase(gold) or gold
    return gold


_HAN = re.compile(r"[\u2e80-\u9fff]")
_NAME_FIRST = re.compile(
    r"(?!The|An?\b|It|This|That|There|All|Any|Each|Both|No|If|When|More|Less)([A-Z][a-z]+)\s"
    r"(?:will|is|was|has|had|can|does|did|[a-z]+(?:ed|s))\b(?!.*\b(?:not|no|never|neither|[A-Z]))[^\n]*"
)
"""A sentence whose subject is the only name in it."""


@cached
def stated_in(sentence: str) -> str | None:
    """What an answer in prose comes to: 5 for "The sum is 5", odd for "It is odd", Petya for "Petya won".

    Chinese is read by its phrases alone: 使和为 10 is a condition.
    """
    if (
        not 3 < len(sentence) <= MAX_GOLD
        or len(prose(sentence)) < 2
        or _HAN.search(sentence)
        or _CODE.search(sentence)
    ):
        return None
    if len(prose(sentence)) <= SHORT_TEXT and (name := _NAME_FIRST.fullmatch(sentence.strip())):
        return name[1]
    found = extract(sentence)
    if isinstance(found, str) or found.text == sentence.strip():
        return in_words(sentence)
    return found.text


@cached
def is_beyond(gold: str) -> bool:
    """Whether a gold answer is neither mathematics nor short text, so that only the same text equals it."""
    if len(gold) > MAX_ANSWER or _CODE.search(gold):
        return True
    node = read_answer(gold).node
    return (node is None or isinstance(node, Words)) and len(prose(gold)) > SHORT_TEXT
