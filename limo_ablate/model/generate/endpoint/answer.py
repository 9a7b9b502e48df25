"""Reads the answer of an endpoint. It comes from others: of bounded size, and never more than text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from limo_ablate.core.text import printable

SHOWN = 200
"""Most characters of what an endpoint says of itself, or of an error."""
MOST_TOKENS = 10**8
"""A larger count of tokens is no count."""
STOPPED = ("stop", "eos", "end_turn", "stop_sequence")
CUT = ("length", "max_tokens")
"""Values of `finish_reason` for an answer that ended by itself, and for one that is cut short."""


class Unreadable(Exception):
    """An answer that is none: garbage, or an error with status 200."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One sample, as it is kept."""

    completion: str
    """The text, with reasoning that comes apart in <think> tags before it."""
    finish: Literal["stop", "length", "refused", "lost", "asked"]
    """`refused`: there is no text to use, `note` says why; `lost`: it may have been paid for, and never came
    whole; `asked`: it has not come yet."""
    note: str | None = None
    tokens: int | None = None
    """Tokens of the answer and of the prompt, as the endpoint counts them; None where it does not."""
    tokens_in: int | None = None
    model: str | None = None
    """What the endpoint calls the model that answered."""
    fingerprint: str | None = None
    """Its `system_fingerprint`, which changes with how the model is served."""
    drawn: str = ""
    """When it came: UTC, ISO 8601."""
    billed_in: int = 0
    billed_out: int = 0
    """Tokens that the budget counts: the endpoint's counts, or the most possible where it has none."""


def read_answer(content: bytes, drawn: str) -> Answer:
    """The answer in the body of a response. Raises Unreadable."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"no JSON: {one_line(content[:SHOWN].decode(errors='replace'))}") from error
    if not isinstance(body, dict):
        raise Unreadable("JSON that is no object")
    if body.get("error"):
        raise Unreadable(f"an error with status 200: {error_text(content)}")
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise Unreadable("no choices[0].message")
    text, why = _text(message), _why_refused(choice, message)
    finish: Literal["stop", "length", "refused"] = "length" if choice.get("finish_reason") in CUT else "stop"
    if why is None and finish == "stop" and not _said(message).strip():
        why = "empty"
    if why is None and _is_broken(text):
        why = "not Unicode"
    usage = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Answer(
        completion="" if why else text,
        finish="refused" if why else finish,
        note=why,
        tokens=_count(usage, "completion_tokens"),
        tokens_in=_count(usage, "prompt_tokens"),
        model=_label(body.get("model")),
        fingerprint=_label(body.get("system_fingerprint")),
        drawn=drawn,
    )


def error_text(content: bytes) -> str:
    """What a response says is wrong, on one line."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    found = body.get("error", body) if isinstance(body, dict) else None
    if isinstance(found, dict):
        found = found.get("message") or found.get("code") or found.get("detail")
    return one_line(found if isinstance(found, str) else content[: 2 * SHOWN].decode(errors="replace"))


def one_line(text: str) -> str:
    return printable(" ".join(text[: 4 * SHOWN].split()))[:SHOWN] or "nothing"


def _text(message: Mapping[str, Any]) -> str:
    reasoning = next(
        (value for key in ("reasoning_content", "reasoning") if isinstance(value := message.get(key), str)),
        "",
    ).strip()
    said = _said(message)
    return f"<think>\n{reasoning}\n</think>\n\n{said}" if reasoning and "</think>" not in said else said


def _said(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):  # parts, of which only texts are used
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def _why_refused(choice: Mapping[str, Any], message: Mapping[str, Any]) -> str | None:
    if isinstance(refusal := message.get("refusal"), str) and refusal:
        return one_line(refusal)
    if message.get("tool_calls"):
        return "a call of a tool"
    finish = choice.get("finish_reason")
    return None if finish in (*STOPPED, *CUT) else f"finish_reason={one_line(str(finish))}"


def _is_broken(text: str) -> bool:
    """Whether it holds halves of characters, which no file takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _count(usage: Mapping[str, Any], key: str) -> int | None:
    value = usage.get(key)
    counts = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS
    return value if counts else None


def _label(value: Any) -> str | None:
    return one_line(value) if isinstance(value, str) else None
