"""What a row's values mean: gold answers, flags, numbers, pass rates."""

from __future__ import annotations

import hashlib
import math
import re
from typing import Any

NO_GOLD = ("proof", "notfound")
"""What NuminaMath-1.5 and sets made from it write where there is no answer."""

_HASHES = re.compile(r"(?:^|\n)####\s*([^\s#][^\n]*)\Z")
_ESCAPED = re.compile(r"\\[{}\\]")
_TRUE, _FALSE = ("true", "yes", "1", "1.0"), ("false", "no", "0", "0.0")


class Misfit(Exception):
    """Why a row can't be used."""


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def given_gold(value: Any) -> str | None:
    """A data set's answer as text; None when there is none."""
    text = _plain(value)
    return None if not text or text.lower() in NO_GOLD else text


def _plain(value: Any) -> str | None:
    """27.0 is "27"; several answers are joined by commas."""
    if value is None or isinstance(value, bool | str):
        return None if value is None else str(value).strip()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list | dict):
        parts = [_plain(v) for v in (value.values() if isinstance(value, dict) else value)]
        return ", ".join(p for p in parts if p)
    return str(value)


def stated_gold(solution: str) -> str | None:
    """The answer in a solution's last box, else behind `####` in its last line (GSM8K).

    Nothing else counts: a row without a gold answer is listed, a wrong one would go unseen.
    """
    from limo_ablate.verify.extract import last_boxed

    if boxed := last_boxed(solution):
        return boxed if _closed(solution) else None
    hashes = _HASHES.search(solution.strip())
    return hashes[1].strip() if hashes else None


def _closed(text: str) -> bool:
    """Whether the last box is not cut off by the text's end."""
    start = max(text.rfind("\\boxed"), text.rfind("\\fbox"))
    rest = _ESCAPED.sub("", text[start:])
    return rest.count("{") <= rest.count("}")


def number(value: Any, role: str) -> float | None:
    if value is None or value == "" or value != value:  # pandas writes null as NaN
        return None
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise Misfit(f"{role}: {_short(value)} is not a number")
    return found


def level(value: Any) -> float | None:
    """A number, also from text such as MATH's "Level 5"; None from any other text ("Level ?")."""
    try:
        return number(value.removeprefix("Level").strip() if isinstance(value, str) else value, "level")
    except Misfit:
        return None


def flag(value: Any, role: str) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in ("", "nan", "none", "null"):
        return None
    if text not in (*_TRUE, *_FALSE):
        raise Misfit(f"{role}: {_short(value)} is neither true nor false")
    return text in _TRUE


def right_of(value: Any) -> tuple[float, float]:
    """A pass rate as right ones and all tries: a share counts as one try, "3/32" as thirty-two."""
    left, slash, tried = value.partition("/") if isinstance(value, str) else (value, "", 1)
    right, tries = number(left, "pass_rate"), number(tried, "pass_rate") if slash else 1.0
    if right is None and not slash:
        return 0.0, 0.0
    if right is None or not tries or not 0 <= right <= tries:
        raise Misfit(f"pass_rate: {_short(value)} is not a share between 0 and 1 (or k/n)")
    return right, tries


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
