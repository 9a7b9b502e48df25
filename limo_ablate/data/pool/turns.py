"""Conversations: a column of turns, as `messages` (role, content) or `conversations` (from, value).

One question and its answer can be trained on. A row with more turns is refused with its reason, never cut to
some of them; so is one with tool calls or pictures. A system turn is not part of a row: `train.system_prompt`
stands in all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from limo_ablate.data.pool.config import FieldsConfig
from limo_ablate.data.pool.values import BadRow

ROLES = {
    "system": "system", "developer": "system", "user": "user", "human": "user", "assistant": "assistant",
    "gpt": "assistant", "model": "assistant", "bot": "assistant", "chatgpt": "assistant",
}  # fmt: skip
ROLE_KEYS, TEXT_KEYS, REASONING_KEYS = (
    ("role", "from"),
    ("content", "value"),
    ("reasoning_content", "reasoning"),
)
_TURN = re.compile(r"(.+)\.(-?[0-9]+)\.[^.]+")


@dataclass(frozen=True, slots=True)
class Exchange:
    question: str
    answer: str | None
    system: bool
    """Whether a system turn stands before it."""


def is_conversation(value: Any) -> bool:
    """Whether a column holds turns, rather than a list of texts."""
    turns = value if isinstance(value, list) and value else [None]
    return all(isinstance(turn, dict) and _first(turn, ROLE_KEYS) is not None for turn in turns)


def exchange(turns: list[dict[str, Any]]) -> Exchange:
    """The question of a conversation and its answer. Raises BadRow for one that is not that simple."""
    roles = [_role(turn, number) for number, turn in enumerate(turns)]
    systems = next((number for number, role in enumerate(roles) if role != "system"), len(roles))
    spoken = roles[systems:]
    if spoken not in (["user"], ["user", "assistant"]):
        raise BadRow(
            f"{len(spoken)} turns ({', '.join(spoken[:4])}{', ...' if len(spoken) > 4 else ''}): only one "
            "question and its answer can be trained on, and no row is cut to them"
        )
    texts = [_text(turn, number) for number, turn in enumerate(turns)][systems:]
    return Exchange(texts[0], texts[1] if len(texts) > 1 else None, system=systems > 0)


def answer(turns: list[dict[str, Any]]) -> str | None:
    """The answer of a conversation, which may be all that it holds."""
    if len(turns) == 1 and _role(turns[0], 0) == "assistant":
        return _text(turns[0], 0)
    return exchange(turns).answer


def check_all_read(row: dict[str, Any], fields: FieldsConfig) -> bool:
    """Raises BadRow if fields name single turns of a conversation and leave others out; returns whether a
    system turn or text is left out."""
    paths = [path for _, path in fields.columns()]
    named: dict[str, set[int]] = {}
    for base, number in (found.groups() for path in paths if (found := _TURN.fullmatch(path))):
        named.setdefault(base, set()).add(int(number))
    for base, numbers in named.items():
        turns = row.get(base)
        if isinstance(turns, list) and is_conversation(turns):
            _check_named(base, turns, {number % len(turns) for number in numbers})
    earlier = row.get("history")
    if isinstance(earlier, list) and earlier and not any("history" in path for path in paths):
        raise BadRow(f"history: {len(earlier)} earlier turns, which can't be trained on; no row is cut")
    system = row.get("system")
    return isinstance(system, str) and bool(system.strip()) and "system" not in paths


def _check_named(base: str, turns: list[dict[str, Any]], numbers: set[int]) -> None:
    spoken = {number for number, turn in enumerate(turns) if _role(turn, number) != "system"}
    if unread := sorted(spoken - numbers):
        raise BadRow(
            f"{base}: {len(turns)} turns, of which the fields leave out {', '.join(map(str, unread[:5]))}: "
            "no row is cut"
        )


def _role(turn: dict[str, Any], number: int) -> str:
    name = str(_first(turn, ROLE_KEYS))
    if turn.get("tool_calls") or turn.get("function_call"):
        raise BadRow(f"turn {number}: tool calls can't be trained on")
    if name not in ROLES:
        raise BadRow(f"turn {number}: role {name} can't be trained on; roles: {', '.join(ROLES)}")
    return ROLES[name]


def _text(turn: dict[str, Any], number: int) -> str:
    content = _first(turn, TEXT_KEYS)
    if isinstance(content, list):  # parts, each of a type
        parts = [part.get("text", part.get("value")) for part in content if isinstance(part, dict)]
        texts = [part for part in parts if isinstance(part, str)]
        content = "".join(texts) if len(texts) == len(content) else None
    if not isinstance(content, str) or not content.strip():
        raise BadRow(f"turn {number}: no text")
    reasoning = _first(turn, REASONING_KEYS)
    if isinstance(reasoning, str) and reasoning.strip():
        return f"<think>\n{reasoning.strip()}\n</think>\n\n{content}"
    return content


def _first(turn: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next((turn[key] for key in keys if turn.get(key) is not None), None)
