"""Parses the values of a row: gold answers, flags, numbers, pass rates."""

from __future__ import annotations

import hashlib
import json
import math
import re
from contextlib import suppress
from fractions import Fraction
from typing import Any

NO_GOLD = ("proof", "notfound")
"""Values that NuminaMath-1.5, and data sets made from it, have in place of a missing answer."""
ANY = "|"
"""Stands between gold answers of which any is right, as the grader `any_of` reads them."""
DEEPEST = 32
"""Levels of lists and objects."""
LONG_GOLD = 60
"""Characters from which a gold answer with a box in it is taken for a solution."""

_HASHES = re.compile(r"(?:^|\n)####\s*([^\s#][^\n]*)\Z")
_ESCAPED = re.compile(r"\\[{}\\]")
_NUMBER = re.compile(r"-?(?:[0-9]{1,40}|[0-9]{1,3}(?:,[0-9]{3}){1,9})(?:\.[0-9]{1,40})?")
_FRACTION = re.compile(
    r"(-?)(?:([0-9]{1,40})/([0-9]{1,40})|\\[dt]?frac(?:\{([0-9]{1,40})\}\{([0-9]{1,40})\}|([0-9])([0-9])))"
)
_TRUE, _FALSE = ("true", "yes", "1", "1.0"), ("false", "no", "0", "0.0")


class BadRow(Exception):
    """A row can't be used; the message says why."""


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def gold_text(value: Any, answers: str | None = None) -> str | None:
    """A data set's answer as text; None if there is none. Of a solution, what it states counts.

    `answers`: `fields.answers`; None takes all of a list of numbers. Raises BadRow for several texts where it
    is None: they may be the parts of an answer, or ways to write it.
    """
    values = _listed(value)
    if len(values) == 1:
        text = _answer_text(values[0])
        return (_stated_part(text) or None) if text and text.lower() not in NO_GOLD else None
    if answers is None and isinstance(value, list) and all(isinstance(v, int | float) for v in values):
        answers = "all"
    parts = [text for text in map(_answer_text, values) if text and text.lower() not in NO_GOLD]
    if answers == "all" or len(set(parts)) < 2:
        return _stated_part(", ".join(parts if answers == "all" else parts[:1])) or None
    if answers is None:
        raise BadRow(
            f"answer: {_shortened(value)}: set fields.answers=all if all parts are required, any if one is "
            "enough, or name the part that is meant, as in fields.answer=answer.0"
        )
    if isinstance(value, dict):
        keys = ", ".join(map(str, list(value)[:5]))
        raise BadRow(f"answer: an object with {keys}; name its list, as in fields.answer=answer.KEY")
    if marked := next((part for part in parts if ANY in part), None):
        raise BadRow(f"answer: {_shortened(marked)} has a {ANY}, which stands between the answers")
    return ANY.join(dict.fromkeys(parts))


def is_deep(value: Any) -> bool:
    """Whether lists and objects are nested so deep that code which follows them might fail."""
    level = [value]
    for _ in range(DEEPEST):
        lists = [part for part in level if isinstance(part, list | dict)]
        level = [part for one in lists for part in (one.values() if isinstance(one, dict) else one)]
    return bool(level)


def _listed(value: Any) -> list[Any]:
    """The parts of an answer: itself, or those of a list or object, or of a list that is written as JSON."""
    if isinstance(value, str) and value.lstrip().startswith('["'):
        with suppress(ValueError, RecursionError):
            value = json.loads(value)
    if isinstance(value, list | dict):
        if is_deep(value):
            raise BadRow(f"answer: lists or objects nested more than {DEEPEST} deep")
        parts = value.values() if isinstance(value, dict) else value
        return [inner for part in parts for inner in _listed(part)]
    return [value]


def _answer_text(value: Any) -> str | None:
    """An answer as text: 27.0 becomes "27"."""
    if isinstance(value, str):
        return value.strip()
    if value is None or isinstance(value, bool):
        return None if value is None else str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, bytes | tuple):  # of parquet: no text, and an entry of a map
        raise BadRow(f"answer: {_shortened(value)} is neither text nor a number")
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _stated_part(gold: str) -> str:
    """Of a gold answer that is a solution, what it states; any other one as it is."""
    if "####" in gold or (len(gold) > LONG_GOLD and gold.count("\\boxed") == 1):
        return stated_gold(gold) or gold
    return gold


def same_gold(gold: str | None) -> str | int | Fraction | None:
    """The number that a gold answer is, else its text: 1/2, \\frac12 and 0.5 are one answer."""
    if gold and len(gold) <= 40 and gold.isascii() and gold.isdigit():
        return int(gold)  # equals the fraction, and is a quarter of the time
    text = (gold or "").strip().strip("$").strip()
    if found := _FRACTION.fullmatch(text):
        sign, *digits = found.groups()
        above, below = (part for part in digits if part)
        return Fraction(f"{sign}{above}") / int(below) if int(below) else text
    return Fraction(text.replace(",", "")) if _NUMBER.fullmatch(text) else gold and text


def stated_gold(solution: str) -> str | None:
    """The answer in a solution's last box, else after `####` in its last line (GSM8K).

    Nothing else counts: a row without a gold answer is reported, but a wrong gold answer would go unnoticed.
    """
    from limo_ablate.verify.extract import last_boxed

    if boxed := last_boxed(solution):
        return boxed if _is_closed(solution) else None
    hashes = _HASHES.search(solution.strip())
    return hashes[1].strip() if hashes else None


def _is_closed(text: str) -> bool:
    """Whether the last box is closed, not cut off by the end of the text."""
    start = max(text.rfind("\\boxed"), text.rfind("\\fbox"))
    rest = _ESCAPED.sub("", text[start:])
    return rest.count("{") <= rest.count("}")


def number(value: Any, role: str) -> float | None:
    if value is None or value == "" or value != value:  # pandas writes null as NaN
        return None
    try:
        parsed = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        parsed = math.nan
    if not math.isfinite(parsed):
        raise BadRow(f"{role}: {_shortened(value)} is not a number")
    return parsed


def level(value: Any) -> float | None:
    """A number, also in text such as MATH's "Level 5"; None for other text ("Level ?")."""
    try:
        return number(value.removeprefix("Level").strip() if isinstance(value, str) else value, "level")
    except BadRow:
        return None


def flag(value: Any, role: str) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in ("", "nan", "none", "null"):
        return None
    if text not in (*_TRUE, *_FALSE):
        raise BadRow(f"{role}: {_shortened(value)} is neither true nor false")
    return text in _TRUE


def parse_pass_rate(value: Any) -> tuple[float, float]:
    """(number right, number of tries) of a pass rate: a share counts as one try, "3/32" as thirty-two."""
    left, slash, total = value.partition("/") if isinstance(value, str) else (value, "", 1)
    right, tries = number(left, "pass_rate"), number(total, "pass_rate") if slash else 1.0
    if right is None and not slash:
        return 0.0, 0.0
    if right is None or not tries or not 0 <= right <= tries:
        raise BadRow(f"pass_rate: {_shortened(value)} is not a share between 0 and 1 (or k/n)")
    return right, tries


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
