"""Finds the answer in a completion: in a box, in an answer phrase, or in the last formula or number.

Only boxes are searched for in the whole text, everything else in its tail, so a megabyte takes milliseconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from limo_ablate.verify.limits import MAX_ANSWER, MAX_BOXES, MAX_TAIL

Extract = Literal["boxed", "stated", "any"]
How = Literal["box", "stated", "whole", "formula", "number"]


@dataclass(frozen=True, slots=True)
class Extraction:
    text: str
    how: How
    boxes: tuple[str, ...] = ()
    """All boxes, first to last, if text stands between them: each may hold one of several answers."""


END_OF_TURN = (
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|end_of_text|>",
    "</s>",
    "<｜end▁of▁sentence｜>",
)
"""Markers after which text belongs to another turn."""

_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")
_BETWEEN_BOXES = re.compile(
    r"(?:[\s,;.$&()]|\\[\[\]()\\,;! ]|\\q?quad|\\text\{\s*(?:and|or)\s*\}|and|or|和|或|与|、|，|；|\*)*"
)
_PHRASE = re.compile(
    r"""(?:
      \#\#\#\#\s* (?!\#)
    | (?:final\s+|correct\s+)? \b(?:answers?|ans|choice|option)\b
        (?: \s+ to \s+ (?:the|this) \s+ (?:problem|question) )?
        \W{0,4} (?: \s*(?:is|are|=|:|：|would\s+be|must\s+be|equals)\s* \W{0,3}? )+
        (?:thus|therefore|simply|option|choice)?
    | (?:\*\*)?(?:final\ answer)(?:\*\*)? \s* [:：]? (?=\s*\n)
    | (?:最终)?(?:答案|正确选项|结果)(?:应该|应|就)?\s*(?:是|为|选|:|：)+\s*
    | 【答案】\s* | (?:故|应|因此|所以|答案)?选(?!项)择?\s*[:：]?\s* | 故答案为\s*[:：]?\s*
    | (?<![回解作])答\s*[:：]\s*
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_CLAUSE_END = re.compile(
    r"\n\s*\n|\n(?=\s*[A-Z*#\\【-])|\.(?=\s+[A-Z])|\.\s*$|[。；]"
    r"|,?\s+(?:because|since|which|as\s+required|of\s+the|so\s+that|I\s+hope)\b",
)
_FORMULA = re.compile(r"\$\$(.+?)\$\$|\\\[(.+?)\\\]|\\\((.+?)\\\)|(?<!\\)\$([^$\n]+?)(?<!\\)\$", re.DOTALL)
_VALUE_AT_END = re.compile(
    r"(?:=|\bis|\bare|\bequals|\bget|\bto\ be|\btotal\ of|为|是|得)\s*(?P<value>[^=\n]{1,80}?)[.。]?\s*$"
)
_NUMBER = re.compile(r"[-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:\s?/\s?\d+)?%?|[-−]?\.\d+")
_LETTER_AT_END = re.compile(
    r"(?:^|[\s*])\(?\**([A-J])\**\)\s*\**\.?\s*$"
    r"|\b([A-J])\**\)?\s+is\s+(?:the\s+)?(?:correct|right|best)(?:\s+(?:answer|choice|option))?\.?\s*$"
    r"|\b(?:choose|select|pick)\s+(?:option\s+)?\(?\**([A-J])\b\**\)?\.?\s*$"
)


def extract(completion: str, mode: Extract = "stated") -> Extraction | None:
    """The answer's text, or None where `completion` has none that `mode` accepts.

    `boxed`: only \\boxed or \\fbox. `stated`: a box, else the last stated answer ("the answer is", "#### x",
    "**Answer:**", "答案是"), else a completion that is nothing but an answer, else the last formula.
    `any`: else the last number.
    """
    text = final_part(cut_turn(completion))
    if boxed := _boxes(text):
        return boxed
    if mode == "boxed":
        return None
    tail = text[-MAX_TAIL:]
    answer = _stated(tail) or _letter(tail) or _whole(tail) or _formula(tail)
    return answer or (_last_number(tail) if mode == "any" else None)


def last_boxed(text: str) -> str | None:
    """The content of the last non-empty box, even if the text breaks off inside it."""
    extraction = _boxes(final_part(cut_turn(text)))
    return extraction.text if extraction else None


def cut_turn(text: str) -> str:
    ends = [at for marker in END_OF_TURN if (at := text.find(marker)) > 0]
    return text[: min(ends)] if ends else text


def final_part(text: str) -> str:
    """The text in the last <answer> tag, or after the last </think>; else all of `text`."""
    at = text.rfind("<answer>")
    if at >= 0 and (inside := text[at + 8 :].partition("</answer>")[0].strip()):
        return inside
    behind = text[text.rfind("</think>") + 8 :] if "</think>" in text else text
    return behind if behind.strip() else text


def _boxes(text: str) -> Extraction | None:
    """The last box; boxes next to it (only "and", commas or space between) belong to the same answer."""
    boxes = _find_boxes(text)
    if not boxes:
        return None
    group = [boxes[-1]]
    for box in reversed(boxes[:-1]):
        if not _BETWEEN_BOXES.fullmatch(text[box[1] : group[0][0]][:80]):
            break
        group.insert(0, box)
    answers = list(dict.fromkeys(content for _, _, content in group))
    contents = tuple(dict.fromkeys(content for _, _, content in boxes))
    return Extraction(", ".join(answers), "box", contents if len(contents) > len(answers) == 1 else ())


def _find_boxes(text: str) -> list[tuple[int, int, str]]:
    """(start, end, content) of the last non-empty boxes, first to last; of nested boxes, the inner one."""
    boxes: list[tuple[int, int, str]] = []
    end = len(text)
    for _ in range(MAX_BOXES):
        start = max(text.rfind("\\boxed", 0, end), text.rfind("\\fbox", 0, end))
        if start < 0:
            break
        box = _content(text, start)
        if box and box[1].strip(" $\n\t.") and not (boxes and box[0] > boxes[0][0]):
            boxes.insert(0, (start, box[0], box[1].strip()))
        end = start
    return boxes


def _content(text: str, start: int) -> tuple[int, str] | None:
    """(end, content) of the box whose command starts at `start`."""
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
    rest = re.split(r"\n|\$|\\\]|\\\)", text[begin + 1 : begin + MAX_ANSWER], maxsplit=1)[0]
    return begin + 1 + len(rest), rest


def _stated(tail: str) -> Extraction | None:
    matches = list(_PHRASE.finditer(tail))
    for phrase in reversed(matches[-8:]):
        clause = _clause(tail[phrase.end() :])
        if clause:
            return Extraction(clause, "stated")
    return None


def _clause(rest: str) -> str:
    """The text up to the end of the sentence; a formula is never cut."""
    rest = rest.lstrip(" \t\n:：*")
    if block := re.match(r"\$\$(.+?)\$\$|\\\[(.+?)\\\]", rest, re.DOTALL):
        return (block[1] or block[2]).strip()
    spans = [m.span() for m in _FORMULA.finditer(rest)]
    for end in _CLAUSE_END.finditer(rest):
        if not any(start < end.start() < stop for start, stop in spans):
            rest = rest[: end.start()]
            break
    return _only_formulas(rest.strip().rstrip(".*").strip())


def _only_formulas(clause: str) -> str:
    """The first formula of a clause with more than four words; otherwise the clause ("$5$ for all $x$")."""
    formulas = [next(g for g in m.groups() if g) for m in _FORMULA.finditer(clause)]
    words = re.findall(r"[A-Za-z]{2,}", _FORMULA.sub(" ", clause))
    return formulas[0] if formulas and len(words) > 4 else clause


def _whole(tail: str) -> Extraction | None:
    """A completion that is nothing but its answer: one short line without a sentence."""
    line = tail.strip()
    if not line or "\n" in line or len(line) > 400:
        return None
    words = re.findall(r"(?<!\\)\b[A-Za-z]{2,}", re.sub(r"\\[a-zA-Z]+", " ", line))
    bare = len(words) <= 3 or re.match(r"\W{0,3}(?:option\s+)?[A-J]\W", line)
    return Extraction(line, "whole") if bare else None


def _letter(tail: str) -> Extraction | None:
    """An option's letter that ends the text: "(B)", "B is correct", "I choose B"."""
    letter = _LETTER_AT_END.search(tail)
    return Extraction(letter[1] or letter[2] or letter[3], "stated") if letter else None


def _formula(tail: str) -> Extraction | None:
    """The last formula, or a value after "=" or "is" at the end of the last line, if it comes later."""
    formulas = list(_FORMULA.finditer(tail))
    rest = tail[formulas[-1].end() :] if formulas else tail
    match = _VALUE_AT_END.search(rest.rstrip().rpartition("\n")[2])
    if match and _NUMBER.search(match["value"]):
        return Extraction(match["value"].strip(), "formula")
    return Extraction(_last_formulas(tail, formulas), "formula") if formulas else None


def _last_formulas(tail: str, formulas: list[re.Match[str]]) -> str:
    """The last formula and those joined to it, as in $x = 3$ or $x = 5$."""
    first = len(formulas) - 1
    while first and _BETWEEN_BOXES.fullmatch(
        tail[formulas[first - 1].end() : formulas[first].start()][:40].strip()
    ):
        joined = tail[formulas[first - 1].end() : formulas[first].start()].strip()
        if not joined:
            break
        first -= 1
    return ", ".join(next(g for g in match.groups() if g).strip() for match in formulas[first:])


def _last_number(tail: str) -> Extraction | None:
    numbers = _NUMBER.findall(tail)
    return Extraction(numbers[-1], "number") if numbers else None
