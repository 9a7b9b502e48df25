"""The part of a completion that may hold its answer: without other turns, and without thinking."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Literal, NamedTuple

from limo_ablate.verify.limits import MAX_QUESTIONS

Thinking = Literal["auto", "think", "begin_of_thought", "channels", "none"]

TAGS: dict[str, tuple[tuple[str, str], ...]] = {
    "think": (("<think>", "</think>"), ("<thinking>", "</thinking>")),
    "begin_of_thought": (("<|begin_of_thought|>", "<|end_of_thought|>"),),
    "channels": (("<|channel|>analysis", "<|channel|>final<|message|>"),),
    "none": (),
}
"""How models mark their thinking: name -> pairs of tags that begin and end it."""
TAGS["auto"] = tuple(pair for pairs in TAGS.values() for pair in pairs)

END_OF_TURN = (
    "<|im_end|>",
    "<|im_start|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|end_of_text|>",
    "<|return|>",
    "<end_of_turn>",
    "</s>",
    "<eoa>",
    "<｜end▁of▁sentence｜>",
)
"""Markers after which text belongs to another turn."""

_END_OF_TURN = re.compile("|".join(map(re.escape, END_OF_TURN)))
_NEW_QUESTION = re.compile(
    r"\n[ \t]*(?:\#+[ \t]*|\*\*)?(?:Question|Problem|Q|Exercise|Instruction|Input|User|Human|问题|题目)"
    r"[ \t]*(?:\*\*)?[:：]"
)
_USER_TURN = re.compile(
    r"<\|im_start\|>\s*user|<\|user\|>|\[INST\]|<start_of_turn>user|user<\|end_header_id\|>"
)
_BARE_CHANNEL = re.compile(r"analysis(?=[A-Z])")
"""The start of the first channel in text that was decoded without special tokens."""


class Part(NamedTuple):
    text: str
    unfinished: bool
    """Whether the completion breaks off while it thinks; `text` is then what stands before that."""


def last_question(prompt: str) -> str:
    """A prompt without the worked examples before its question."""
    starts = (match.end() for pattern in (_NEW_QUESTION, _USER_TURN) for match in pattern.finditer(prompt))
    return prompt[max(starts, default=0) :]


def cut_turn(text: str) -> str:
    end = _END_OF_TURN.search(text, 1) if "<" in text else None
    return text[: end.start()] if end else text


def final_part(completion: str, prompt: str | None = None, thinking: Thinking = "auto") -> Part:
    """The text after the thinking, in the last <answer> tag if there is one.

    A chat template may have opened the thinking at the end of `prompt`.
    """
    text, unfinished = _without_thinking(cut_turn(completion), (prompt or "").rstrip(), thinking)
    at = text.rfind("<answer>") if "<" in text else -1
    if at >= 0 and (inside := text[at + 8 :].partition("</answer>")[0].strip()):
        text = inside
    return Part(text, unfinished)


def split_thinking(
    completion: str, prompt: str | None = None, thinking: Thinking = "auto"
) -> tuple[str, str]:
    """A completion's thinking, with its tags, and what follows it. Thinking that did not end is not split
    off."""
    text = cut_turn(completion)
    rest, unfinished = _without_thinking(text, (prompt or "").rstrip(), thinking)
    length = 0 if unfinished else len(text) - len(rest)
    return completion[:length], completion[length:]


def _without_thinking(text: str, prompt: str, thinking: Thinking) -> tuple[str, bool]:
    for begin, end in TAGS[thinking] if "<" in text or prompt.endswith(">") else ():
        ended = text.rfind(end) + len(end) if end in text else 0
        begun = text.rfind(begin, ended)
        if begun >= 0:
            return text[ended:begun], True
        if ended:
            return text[ended:], False
        if prompt.endswith(begin):
            return "", True
    if thinking in ("auto", "channels") and _BARE_CHANNEL.match(text):
        analysis, _, answer = text.rpartition("assistantfinal")
        return answer if analysis else "", not analysis
    return text, False


def turns(text: str) -> Iterator[str]:
    """`text` up to each of the first new questions that it asks itself, shortest first, then all of it."""
    if "\n" in text:
        for question in islice(_NEW_QUESTION.finditer(text), MAX_QUESTIONS):
            if head := text[: question.start()].rstrip():
                yield head
    yield text
