"""Finds the answer in a completion: in a box, in an answer phrase, in its last sentence, or by guessing.

Only boxes and new questions are searched for in the whole text, everything else in its tail, so a megabyte
takes milliseconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from limo_ablate.verify import statements
from limo_ablate.verify.boxes import BETWEEN, ends_in_box, find_boxes
from limo_ablate.verify.characters import with_backslashes
from limo_ablate.verify.limits import MAX_TAIL
from limo_ablate.verify.text import squeeze
from limo_ablate.verify.turns import Thinking, final_part, turns
from limo_ablate.verify.values import FORMULA, formula_text, is_bare

Extract = Literal["boxed", "stated", "lenient"]
How = Literal["box", "stated", "whole", "formula", "number"]


@dataclass(frozen=True, slots=True)
class Extraction:
    text: str
    how: How
    boxes: tuple[str, ...] = ()
    """All boxes, first to last, if text stands between them: each may hold one of several answers."""


Absent = Literal["no_answer", "unfinished"]
WITHOUT_ANSWER: dict[Absent, str] = {
    "no_answer": "no answer found",
    "unfinished": "it breaks off before it states an answer",
}
"""Rules of a completion without an answer, and what they mean."""

_VALUE_AT_END = re.compile(
    r"(?:=|\bis|\bare|\bequals|\bget|\bto\ be|\btotal\ of|为|是|得)\s*(?P<value>[^=\n]{1,80}?)[.。]?\s*$"
)
_LETTER = re.compile(r"\W*[A-J]\W*")
_NUMBER = re.compile(r"[-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:\s?/\s?\d+)?%?|[-−]?\.\d+")


def extract(
    completion: str,
    mode: Extract = "stated",
    *,
    prompt: str | None = None,
    finished: bool = True,
    thinking: Thinking = "auto",
) -> Extraction | Absent:
    """The answer's text, or the rule (`no_answer`, `unfinished`) where `completion` has none.

    `boxed`: only \\boxed or \\fbox. `stated`: a box, else an answer phrase ("the answer is", "#### x",
    "**Answer:**", "答案是"), else a completion that is nothing but an answer, or a last sentence that states
    one. `lenient`: else the last formula that is not in `prompt`, else the last number.

    A text that is not `finished` was cut off: only a box or an answer phrase before the cut counts.
    """
    if "\f" in completion or "\b" in completion or "\v" in completion:
        completion = with_backslashes(completion)
    text, breaks_off = final_part(completion, prompt, thinking)
    finished = finished and not breaks_off
    for turn in turns(text):
        if answer := _stated(turn, mode, finished or turn is not text):
            return answer
        ended = turn is not text or (finished and not ends_in_box(text))
        if mode != "boxed" and ended and (answer := _unphrased(turn[-MAX_TAIL:], prompt or "")):
            return answer
    if mode == "lenient" and text.strip() and (answer := _guess(text[-MAX_TAIL:], prompt or "")):
        return answer
    return "no_answer" if finished and not ends_in_box(text) else "unfinished"


def _stated(text: str, mode: Extract, finished: bool) -> Extraction | None:
    boxed = _boxed(text)
    if mode == "boxed":
        return boxed[0] if boxed else None
    if boxed:
        return _stated_later(text[boxed[1] :], boxed[0].text) or boxed[0]
    answer = statements.by_phrase(text[-MAX_TAIL:], finished)
    return Extraction(answer, "stated") if answer else None


def _stated_later(behind: str, boxed: str) -> Extraction | None:
    """A plain value that an answer phrase states on the last line: it is newer than the box."""
    line = behind.rstrip().rpartition("\n")[2]
    if len(line) < 8 or not (answer := statements.by_phrase(line[:400])):
        return None
    same_kind = bool(_LETTER.fullmatch(answer)) == bool(_LETTER.fullmatch(boxed))
    plain = is_bare(answer) or _LETTER.fullmatch(answer)
    return Extraction(answer, "stated") if plain and same_kind else None


def last_boxed(text: str) -> str | None:
    """The content of the last non-empty box."""
    part, _ = final_part(text)
    boxed = _boxed(part)
    return boxed[0].text if boxed else None


def _boxed(text: str) -> tuple[Extraction, int] | None:
    """The last box, and where it ends; boxes next to it ("and", commas or space between) belong to it."""
    boxes = find_boxes(text)
    if not boxes:
        return None
    if len(boxes) == 1:
        return Extraction(boxes[0].content, "box"), boxes[0].end
    group = [boxes[-1]]
    for box in reversed(boxes[:-1]):
        if not BETWEEN.fullmatch(text[box.end : group[0].start][:80]):
            break
        group.insert(0, box)
    answers = list(dict.fromkeys(box.content for box in group))
    contents = tuple(dict.fromkeys(box.content for box in boxes))
    several = contents if len(contents) > len(answers) == 1 else ()
    return Extraction(", ".join(answers), "box", several), boxes[-1].end


def _unphrased(tail: str, prompt: str) -> Extraction | None:
    if answer := statements.letter_at_end(tail):
        return Extraction(answer, "stated")
    if answer := statements.by_last_sentence(tail, prompt):
        return Extraction(answer, "stated")
    answer = statements.whole(tail, prompt)
    return Extraction(answer, "whole") if answer and not statements.repeats(answer, prompt) else None


def _guess(tail: str, prompt: str) -> Extraction | None:
    """The last formula, or a value after "=" or "is" at the end of the last line; else the last number."""
    asked = {squeeze(formula_text(match)) for match in FORMULA.finditer(prompt)}
    if asked:
        tail = FORMULA.sub(lambda match: " " if squeeze(formula_text(match)) in asked else match[0], tail)
    formulas = list(FORMULA.finditer(tail))
    rest = tail[formulas[-1].end() :] if formulas else tail
    match = _VALUE_AT_END.search(rest.rstrip().rpartition("\n")[2])
    if match and _NUMBER.search(match["value"]):
        return Extraction(match["value"].strip(), "formula")
    if formulas:
        return Extraction(_last_formulas(tail, formulas), "formula")
    numbers = _NUMBER.findall(tail)
    return Extraction(numbers[-1], "number") if numbers else None


def _last_formulas(tail: str, formulas: list[re.Match[str]]) -> str:
    """The last formula and those joined to it, as in $x = 3$ or $x = 5$."""
    first = len(formulas) - 1
    while first:
        joined = tail[formulas[first - 1].end() : formulas[first].start()][:40].strip()
        if not joined or not BETWEEN.fullmatch(joined):
            break
        first -= 1
    return ", ".join(formula_text(match) for match in formulas[first:])
