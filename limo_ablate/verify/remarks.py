"""What people add to an answer: conditions on its letters, ordinal endings, numbers of its parts."""

from __future__ import annotations

import re
from collections.abc import Callable

from limo_ablate.verify.text import flatten

_ORDINAL = re.compile(
    r"(\d)(?:\s*\^\s*\{?\s*|)(?:\\(?:text|mathrm|rm|textrm|mbox)\s*\{\s*)?(st|nd|rd|th)(?![a-zA-Z])[\s}$]*+"
    r"(?:(?=(?:\\text\s*\{\s*)?(?i:place|position|day|week|month|hour|minute|floor|grade|century)\b)"
    r"|(?![a-zA-Z]|\\t))"
)
"""The ending of a number in order; one before a noun names another thing: the 5th prime is 11."""
_LETTER = r"(?!\\pi\b)(?:\\[a-z]+|[a-zA-Z])(?:_\{?\w+\}?)?"
_LETTERS = rf"{_LETTER}(?:\s*(?:,|and)\s*{_LETTER})*"
_SET = r"\\?(?:mathbb\s*\{?\s*)?[ZNRQ]\s*\}?(?:\s*[\^_]\s*(?:\{[^{}]*\}|[+*\d]))*"
_KIND = (
    r"(?:(?:an?|any|arbitrary|some|positive|non-?negative|nonzero|real|whole|natural|rational|complex)\s+)*"
    r"(?:integers?|reals?|numbers?|constants?|scalars?|parameters?)"
)
_BOUND = r"(?:>|\\g(?:e|eq|eqslant|t)(?![a-z])|>=)\s*(?:0|1)(?![\d.])"
"""Where an index starts; other bounds change the answer."""
_REMARKS = re.compile(
    rf"(?:(?:\s*[,;.(]+\s*|\s+)(?:where|with|and|for|here|when|if)\s+"
    rf"(?:(?:{_LETTERS})\s*(?:(?:is|are)\s+{_KIND}|\\in\s*{_SET})|{_LETTER}\s*{_BOUND})"
    rf"|\s*\(\s*{_LETTERS}\s*\\in\s*{_SET}|\s*[,;]\s*{_LETTER}\s*(?:\\in\s*{_SET}|(?:is|are)\s+{_KIND})"
    rf"|\s*[,;(]\s*[knm]\s*{_BOUND}"
    rf"|[\s,;(]*\b(?:for\s+)?(?:all|any|every|each|some)\s+(?:{_KIND}\s*)?(?:values\s+of\s+)?"
    rf"(?:{_LETTERS})?\s*(?:\\in\s*{_SET}|{_BOUND})?"
    rf"|[\s,;(]*\\forall\s*(?:{_LETTERS})\s*(?:\\in\s*{_SET}|{_BOUND})?"
    rf")\s*[).]*\s*$"
)
_INNER_REMARK = re.compile(
    rf"\s*\bfor\s+(?:all|any|every|each)\s+{_LETTER}(?:\s*\\in\s*{_SET})?(?=\s*(?:,|;|and\b|or\b))"
)
"""A remark on one of several answers: "f(x) = 1 for all x, and f(x) = x"."""
_LEADING_REMARK = re.compile(
    rf"\s*(?:for\s+(?:all|any|every|each)|\\forall)\s*{_LETTER}(?:\s*\\in\s*{_SET})?\s*[,:]\s*(?=\S)"
)
_REMARK_SIGNS = re.compile(r"where|with|for|if|when|is |are |\\in(?![a-z])|\\forall|\\g[et]|>")
MAX_REMARKS = 3


def without_remarks(text: str) -> str:
    """`text` without conditions such as "where k is an integer" and the ending of 12th."""
    if "th" in text or "st" in text or "nd" in text or "rd" in text:
        text = _ORDINAL.sub(_bare_ordinal, text)
    if len(text) > 400 or not _REMARK_SIGNS.search(text):
        return text
    flat = flatten(text)
    leading = _LEADING_REMARK.match(flat)
    bare = _INNER_REMARK.sub("", flat[leading.end() :] if leading else flat)
    for _ in range(MAX_REMARKS):
        match = _REMARKS.search(bare)
        if not match or not _is_about(match[0], bare[: match.start()]):
            break
        bare = bare[: match.start()]
    return text if bare == flat else bare


def arbitrary_letters(text: str) -> frozenset[str]:
    """The t of "(1 + 2t, t) for some integer t", which may have another name."""
    if len(text) > 400 or not _REMARK_SIGNS.search(text):
        return frozenset()
    remark = _REMARKS.search(flatten(text))
    return frozenset(_NAMED.findall(remark[0])) if remark else frozenset()


_NAMED = re.compile(r"(?<![a-zA-Z\\])(?![ZNRQCa](?![a-zA-Z_]))[a-zA-Z](?![a-zA-Z])")
_NO_LETTER = re.compile(r"\\[a-zA-Z]+|[^a-zA-Z]+")


def _is_about(remark: str, answer: str) -> bool:
    """Whether a remark speaks of a letter of the answer, or of none in particular."""
    letters = set(_NAMED.findall(remark))
    return bool(answer.strip(" ,;(")) and (not letters or bool(letters & set(_NO_LETTER.sub("", answer))))


_STARTS = re.compile(rf"[knm]\s*{_BOUND}[\s).}}]*\Z")
_RANGES = re.compile(
    r"\\in\s*\\?(?:mathbb\s*\{?\s*)?(?P<set>[ZNRQC])(?![a-z])\s*\}?(?P<sign>\s*[\^_]\s*\{?\s*[+*\d>=]+)?"
    r"|\b(?P<kind>positive|non-?negative|negative|even|odd)?\s*\b(?P<noun>integer|whole|natural|rational|real|complex)s?\b"
)
_WHOLE = {"positive": "N+", "even": "2Z", "odd": "odd Z", "negative": "-N"}
_SETS_OF_NOUNS = {"whole": "N", "natural": "N", "rational": "Q", "real": "R", "complex": "C"}


def disagree_on_ranges(gold: str, answer: str) -> bool:
    """Whether both texts say of which kind a letter is, and not the same: "k in Z" against "k in N"."""
    if not _REMARK_SIGNS.search(gold) or not _REMARK_SIGNS.search(answer):
        return False
    g, a = ({_range(match) for match in _RANGES.finditer(text[:400])} for text in (gold, answer))
    alike = g & a or ("N" in g and a & {"N+", "N0"}) or ("N" in a and g & {"N+", "N0"})
    starts = [_STARTS.search(text) for text in (gold, answer)]
    if starts[0] and starts[1] and _first(starts[0][0]) != _first(starts[1][0]):
        return True
    return bool(g and a and not alike)


def _first(bound: str) -> int:
    """The least integer above a bound: n > 0 and n >= 1 are the same."""
    return int(bound.rstrip(" ).}")[-1]) + (not ("=" in bound or "\\ge" in bound))


def _range(match: re.Match[str]) -> str:
    kind = (match["kind"] or "").replace("-", "")
    if match["set"]:
        sign = (match["sign"] or "").strip("^_{ ")
        positive = sign[:1] in ("+", "*", ">") and match["set"] in "ZN"
        return "N0" if sign == "0" else "N+" if positive and ">=" not in sign else match["set"] + sign
    if match["noun"] == "integer":
        return "N0" if kind == "nonnegative" else _WHOLE.get(kind, "Z")
    return kind + _SETS_OF_NOUNS[match["noun"]]


def _bare_ordinal(match: re.Match[str]) -> str:
    digit, ending = match[1], match[2]
    if ending != "th" and ending != {"1": "st", "2": "nd", "3": "rd"}.get(digit):
        return match[0]
    opened = match[0].count("{") > match[0].count("}")
    return f"{digit} \\text{{" if opened else f"{digit} "


_ROMAN = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii")
_NUMBERINGS: tuple[Callable[[int], str], ...] = (
    lambda k: f"({k + 1})",
    lambda k: f"({chr(ord('a') + k)})",
    lambda k: f"({_ROMAN[k]})",
    lambda k: chr(ord("①") + k),
    lambda k: f"{k + 1}) ",
    lambda k: f"{k + 1}. ",
    lambda k: f"{chr(ord('a') + k)}) ",
)
MAX_PARTS = 8


def numbered_parts(flat: str) -> list[str] | None:
    """The answers in "(1) 3; (2) 5", in order; None if `flat` is not several numbered parts."""
    if len(flat) < 4 or flat[0] not in "(①1a":
        return None
    for numbering in _NUMBERINGS:
        if not flat.startswith(numbering(0)):
            continue
        starts = [0]
        for k in range(1, MAX_PARTS):
            at = flat.find(numbering(k), starts[-1] + 1)
            if at < 0:
                break
            starts.append(at)
        ends = [*starts[1:], len(flat)]
        parts = [
            flat[start + len(numbering(k).strip()) : end].strip(" ,;.")
            for k, (start, end) in enumerate(zip(starts, ends, strict=True))
        ]
        if len(parts) > 1 and all(_is_answer(part) for part in parts):
            return parts
    return None


def _is_answer(part: str) -> bool:
    """Whether the text between two numbers is an answer, not the operator of a formula."""
    return any(c.isalnum() for c in part) and part[0] not in "+*/^=<>" and part[-1] not in "+-*/^=<>("


_CIRCLED = re.compile(r"(?:[①-⑳](?:[\s,、]|and|和)*)+")


def circled_numbers(flat: str) -> list[int] | None:
    """[2, 3] from ②③; None for other text."""
    if not _CIRCLED.fullmatch(flat):
        return None
    return [ord(c) - ord("①") + 1 for c in flat if "①" <= c <= "⑳"]
