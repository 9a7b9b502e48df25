"""Finds the answer in \\boxed or \\fbox, with a sign or factor that stands outside the box."""

from __future__ import annotations

import re
from typing import NamedTuple

from limo_ablate.verify.limits import MAX_ANSWER, MAX_BOXES
from limo_ablate.verify.wording import REJECTED, RETRACTED

_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")
BETWEEN = re.compile(
    r"(?:[\s,;.$&()]|\\[\[\]()\\,;! ]|\\q?quad|\\text\{\s*(?:and|or)\s*\}|and|or|和|或|与|、|，|；|\*)*"
)
"""Text between two parts of one answer."""
_GAP = r"(?:\s|\\[,;:! ])*"
_FACTOR = (
    r"(?:\d++(?:\.\d++)?|\\pi(?![a-zA-Z])|\\sqrt\s*(?:\[\d+\])?\s*(?:\{[^{}]*\}|\d)"
    r"|\\[dt]?frac\s*(?:\{[^{}]*\}\s*\{[^{}]*\}|\d\d))"
)
# digits are matched as a whole (++): split in every way, they would take exponential time
_BEFORE = re.compile(
    rf"(?:[=$&≈]|\\[\[(]|\\approx){_GAP}(?P<factors>(?:[-−]|\\pm)?{_GAP}(?:{_FACTOR}{_GAP})*)\Z"
)
_BEHIND = re.compile(
    rf"(?P<factors>(?:{_GAP}(?:{_FACTOR}|\\%|\^\s*(?:\{{[^{{}}]*\}}|\\circ|\w)"
    rf"|/\s*\d++|\\(?:times|cdot)\s*10\s*\^\s*(?:\{{[^{{}}]*\}}|\d))|[a-zA-Z](?![a-zA-Z])|!)+)"
    rf"(?={_GAP}[.,;]?{_GAP}(?:\$|\}}|\\\]|\\\)|=|\Z))"
)
_MINUS = re.compile(r"\$\s*[-−]\s*\$\s*\Z")
_INSIDE = re.compile(
    r"(?:\\sqrt\s*(?:\[\d+\])?|\\[dt]?frac(?:\s*\{[^{}]*\})?)\s*\{\s*\Z|\\(?:log|ln|lg|exp|sin|cos|tan)\s*\Z"
    r"|(?:\\[a-zA-Z]+|[a-zA-Z]|\d{1,20})\s*[\^_]\s*(?:\{\s*)?\Z"
)
"""A root, fraction, function, power or index whose argument the box is."""
_DENIED = re.compile(
    r"(?:(?<!if )(?<!why )\b(?:not|never|cannot)|n['’]t)(?:\s+(?:be|equal(?:\s+to)?|actually|simply))?"
    r"[\s$*:(\\\[]*\Z"
    r"|(?:\\neq?|≠|\s!=)[\s$]*\Z",
    re.IGNORECASE,
)
"""What makes a box after it hold what the answer is not."""
_NEGATION = re.compile(r"not|never|n['’]t|\\ne|≠|!=", re.IGNORECASE)
"""What every denial has; finding it is cheap."""
_LETTER = re.compile(r"[^\W\d_]")
_REST = re.compile(r"\s*\}(?:\s*\{[^{}]*\})?")
_OPENING, _CLOSING = frozenset(("", *"$([\n*:")), ("$", ".", "\n", "**", "\\)", "\\]")
"""What commonly stands around a box that has no factors beside it."""
_DOLLARS = re.compile(r"(?<!\\)\$+")


MAX_DEPTH = 3
"""Roots, fractions and powers around a box that are read."""


class Box(NamedTuple):
    start: int
    end: int
    content: str


def find_boxes(text: str) -> list[Box]:
    """The last non-empty boxes, first to last; of nested boxes, the inner one."""
    boxes: list[Box] = []
    first, framed = text.find("\\boxed"), "\\fbox" in text
    if first < 0 and not framed:
        return boxes
    end = len(text)
    for _ in range(MAX_BOXES):
        start = text.rfind("\\boxed", max(first, 0), end)
        start = max(start, text.rfind("\\fbox", 0, end)) if framed else start
        if start < 0:
            break
        box = _content(text, start)
        outer = bool(box and boxes and box[0] > boxes[0].start)
        if box and box[1].strip(" $\n\t.~_?{}") and not outer and not _is_denied(text, start, box[0]):
            boxes.insert(0, _with_factors(text, Box(start, box[0], box[1].strip())))
        end = start
    return boxes


def _is_denied(text: str, start: int, end: int) -> bool:
    before = text[max(0, start - 40) : start]
    denied = _NEGATION.search(before) and _DENIED.search(before)
    behind = text[end : end + 80]
    if denied or not _LETTER.search(behind):
        return bool(denied)
    return bool(REJECTED.match(behind) or RETRACTED.match(behind))


def ends_in_box(text: str) -> bool:
    """Whether the text breaks off inside its last box."""
    start = max(text.rfind("\\boxed{"), text.rfind("\\fbox{"))
    return start >= 0 and _content(text, start) is None


def _content(text: str, start: int) -> tuple[int, str] | None:
    """(end, content) of the box whose command starts at `start`; None if the text ends inside it.

    Of a box that is longer than any answer, only the beginning is read.
    """
    if text.startswith("\\boxed{", start):
        close = text.find("}", start, start + MAX_ANSWER)
        inner = text[start + 7 : close]
        if close > 0 and "{" not in inner and "\\" not in inner:
            return close + 1, inner
    match = _BOX.match(text, start)
    if not match:
        return None
    begin = match.end()
    if not text.startswith("{", begin):
        bare = re.compile(r"[^\s$.,;\\]+|\\\w+").match(text, begin)
        return (bare.end(), bare[0]) if bare else None
    depth = 0
    for brace in _BRACE.finditer(text, begin, begin + 4 * MAX_ANSWER):
        if brace[0] in "{}":
            depth += 1 if brace[0] == "{" else -1
            if depth == 0:
                return brace.end(), text[begin + 1 : brace.start()]
    if len(text) > begin + 4 * MAX_ANSWER:
        return begin + MAX_ANSWER, text[begin + 1 : begin + MAX_ANSWER]
    closed = re.compile(r"\n(?=.*\S)|\$|\\\]|\\\)", re.DOTALL).search(text, begin, begin + MAX_ANSWER)
    return (closed.start(), text[begin + 1 : closed.start()]) if closed else None


def _with_factors(text: str, box: Box, depth: int = 0) -> Box:
    """The box with the sign and the factors beside it: -\\boxed{5} is -5, \\boxed{5}\\sqrt2 is 5\\sqrt2."""
    alone = text[box.start - 1 : box.start] in _OPENING, text[box.end : box.end + 2].startswith(_CLOSING)
    if alone == (True, True):
        return box
    if inside := _INSIDE.search(text[max(0, box.start - 80) : box.start]):
        opened = inside[0].rstrip().endswith("{")
        rest = _REST.match(text, box.end) if opened else None
        if rest or not opened:
            last = rest[0] if rest else ""
            around = Box(box.start - len(inside[0]), box.end + len(last), f"{inside[0]}({box.content}){last}")
            return _with_factors(text, around, depth + 1) if depth < MAX_DEPTH else around
    if minus := _MINUS.search(text[max(0, box.start - 10) : box.start]):
        return Box(box.start - len(minus[0]), box.end, f"-({box.content})")
    before = None if alone[0] else _BEFORE.search(text[max(0, box.start - 80) : box.start])
    behind = None if alone[1] else _BEHIND.match(text[box.end : box.end + 80])
    in_formula = (before or behind) and _in_formula(text, box.start)
    first = before["factors"] if before and (in_formula or before[0][0] == "=") else ""
    last = behind["factors"] if behind and (in_formula or behind["factors"].lstrip()[0] == "\\") else ""
    if not (first.strip() or last):
        return box
    joins = (first.rstrip()[-1:].isdigit() and box.content[0].isdigit()) or last[:1].isdigit()
    plain = not joins and re.fullmatch(r"[\w.]+|\\\w+", box.content)
    content = box.content if plain else f"({box.content})"
    whole = Box(box.start - len(first), box.end + len(last), f"{first}{content}{last}".strip())
    braced = text.startswith("}", whole.end) and depth < MAX_DEPTH
    return _with_factors(text, whole, depth + 1) if braced else whole


def _in_formula(text: str, at: int) -> bool:
    paragraph = text[max(text.rfind("\n\n", 0, at), at - 1000, 0) : at]
    if len(_DOLLARS.findall(paragraph)) % 2:
        return True
    return any(
        paragraph.rfind(begin) > paragraph.rfind(end) for begin, end in (("\\[", "\\]"), ("\\(", "\\)"))
    )
