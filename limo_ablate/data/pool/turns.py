"""Conversations: a column of turns, as `messages` (role, content) or `conversations` (from, value).

The last turn is the answer that is trained on; all before it stay with the problem, as a dialog, in the form
that chat templates take (role, content, tool_calls). Its text, for the gate and for people, is a transcript.
Rows that can't be read whole are refused with their reason, never cut to some of their turns.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from limo_ablate.data.pool.config import FieldsConfig
from limo_ablate.data.pool.values import DEEPEST, BadRow, is_deep

ROLES = {
    "system": "system", "developer": "system", "user": "user", "human": "user", "assistant": "assistant",
    "gpt": "assistant", "model": "assistant", "bot": "assistant", "chatgpt": "assistant", "tool": "tool",
    "observation": "tool", "function": "tool", "ipython": "tool",
    "function_call": "call", "tool_call": "call",
}  # fmt: skip
"""Names of roles in data sets -> ours; a `call` is an assistant's turn that only calls a tool."""
ROLE_KEYS, TEXT_KEYS, REASONING_KEYS = (
    ("role", "from"),
    ("content", "value"),
    ("reasoning_content", "reasoning", "thinking"),
)
MEDIA = {"image": "a picture", "audio": "a sound", "video": "a video", "file": "a file"}
"""Part of a content's type -> what it is."""
TRAINED_ON = ("weight", "train", "training", "loss")
"""Keys of a turn by which data sets say whether it is trained on (OpenAI, axolotl, ms-swift)."""
_PLACEHOLDER = re.compile(r"<(image|audio|video)>")
"""Stands in a text where a picture was, which another column has."""
_TURN = re.compile(r"(.+)\.(-?[0-9]+)\.[^.]+")
Turn = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Exchange:
    question: str
    """The only question, or a transcript of all that stands before the answer."""
    answer: str | None
    dialog: str | None = None
    """JSON of the turns before the answer and the tools, where there is more than one question."""
    system: bool = False
    """Whether a system turn or text is left out."""


def is_conversation(value: Any) -> bool:
    """Whether a column holds turns, rather than a list of texts."""
    if not isinstance(value, list):
        return False
    turns = value or [None]
    return all(isinstance(turn, dict) and _first(turn, ROLE_KEYS) is not None for turn in turns)


def exchange(asked: Any, answered: Any, row: dict[str, Any], fields: FieldsConfig) -> Exchange | None:
    """What is asked and answered in a row, where that is a conversation; None for a question alone.

    `asked`, `answered`: values of the problem and of the solution, None where that is the same field.
    """
    if isinstance(asked, str):
        if not row.get("history") and not row.get("system"):
            return None
    elif not is_conversation(asked):
        return None
    history, own = _history(row, fields), _system_text(row, fields)
    if isinstance(asked, str):
        if not history and not (own and fields.system_turns == "keep"):
            return None
        asked = [{"role": "user", "content": asked}]
    tools = _tools(row)
    turns = [*history, *_turns(asked), *(_turns(answered) if is_conversation(answered) else [])]
    systems = next((place for place, turn in enumerate(turns) if turn["role"] != "system"), len(turns))
    system, spoken = [turn["content"] for turn in turns[:systems]], turns[systems:]
    system = system or own
    _check(spoken)
    if isinstance(answered, str) and spoken[-1]["role"] == "assistant":
        raise BadRow("the conversation ends with an answer, and fields.solution is another text")
    answer = spoken.pop()["content"] if spoken[-1]["role"] == "assistant" else None
    kept = system if fields.system_turns == "keep" else []
    before = [{"role": "system", "content": "\n\n".join(kept)}] if kept else []
    dialog = None
    if before or tools or len(spoken) > 1:
        if is_deep([tools, *spoken]):
            raise BadRow(f"tools or calls nested more than {DEEPEST} deep")
        dialog = json.dumps({"turns": [*before, *spoken], "tools": tools}, ensure_ascii=False, sort_keys=True)
    question = spoken[0]["content"] if len(spoken) == 1 and not before else _transcript([*before, *spoken])
    return Exchange(question, answer, dialog, system=bool(system) and not kept)


def check_no_media(text: str, row: dict[str, Any]) -> None:
    """Raises BadRow for a text with the place of a picture, a sound or a video that another column has."""
    if "<" in text and (found := _PLACEHOLDER.search(text)):
        kind = found[1]
        if column := next((name for name in (kind, f"{kind}s") if row.get(name)), None):
            raise BadRow(f"problem: has {MEDIA[kind]} ({found[0]}, column {column}); only text can be read")


def answer_of(value: Any) -> Any:
    """A conversation's last answer; any other value as it is."""
    if not is_conversation(value):
        return value
    turn = _turns(value)[-1]
    return turn["content"] if turn["role"] == "assistant" else None


def check_all_read(row: dict[str, Any], fields: FieldsConfig, named: dict[str, set[int]]) -> bool:
    """Raises BadRow if fields name single turns of a conversation, `named`, and leave others out; returns
    whether a system turn or text is left out."""
    for base, numbers in named.items():
        turns = row.get(base)
        if isinstance(turns, list) and is_conversation(turns):
            _check_named(base, turns, {number % len(turns) for number in numbers})
    return bool(_system_text(row, fields))


def named_turns(fields: FieldsConfig) -> dict[str, set[int]]:
    """Column -> the numbers of the turns that fields name one by one."""
    named: dict[str, set[int]] = {}
    for found in (_TURN.fullmatch(path) for _, path in fields.columns()):
        if found:
            named.setdefault(found[1], set()).add(int(found[2]))
    return named


def _check(spoken: list[Turn]) -> None:
    """Raises BadRow for turns after the system's that are no conversation to be answered."""
    roles = [turn["role"] for turn in spoken]
    if not roles:
        raise BadRow("the conversation has only a system turn: nothing is asked")
    if roles[0] != "user":
        raise BadRow(f"the conversation begins with {roles[0]}, not with the user")
    if "system" in roles:
        raise BadRow(f"turn {roles.index('system')}: a system turn after others")
    if spoken[-1].get("tool_calls"):
        raise BadRow("the conversation ends with a call of a tool, without an answer after it")


def _check_named(base: str, turns: list[dict[str, Any]], numbers: set[int]) -> None:
    spoken = {number for number, turn in enumerate(turns) if _role(turn, number) != "system"}
    if unread := sorted(spoken - numbers):
        raise BadRow(
            f"{base}: {len(turns)} turns, of which the fields leave out {', '.join(map(str, unread[:5]))}; "
            f"fields.problem={base} reads all"
        )


def _history(row: dict[str, Any], fields: FieldsConfig) -> list[Turn]:
    """Earlier turns of alpaca's rows: pairs of texts, or turns."""
    earlier = row.get("history")
    if not isinstance(earlier, list) or not earlier or any("history" in path for _, path in fields.columns()):
        return []
    if is_conversation(earlier):
        return _turns(earlier)
    turns: list[Turn] = []
    for pair in earlier:
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)):
            raise BadRow("history: neither pairs of question and answer nor turns")
        turns += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
    return turns


def _system_text(row: dict[str, Any], fields: FieldsConfig) -> list[str]:
    system = row.get("system")
    if not isinstance(system, str) or not system.strip():
        return []
    return [] if "system" in [path for _, path in fields.columns()] else [system]


def _tools(row: dict[str, Any]) -> list[Any]:
    tools = row.get("tools")
    return _json(tools, "tools", list) if tools else []


def _turns(values: list[dict[str, Any]]) -> list[Turn]:
    return [_turn(value, number) for number, value in enumerate(values)]


def _turn(value: dict[str, Any], number: int) -> Turn:
    role = _role(value, number)
    calls = value.get("tool_calls") or ([value["function_call"]] if value.get("function_call") else [])
    _check_trained_on(role, value, number)
    if role == "call":
        called = _json(_first(value, TEXT_KEYS), f"turn {number}", (dict, list))
        role, calls = "assistant", called if isinstance(called, list) else [called]
        value = {**value, "content": None, "value": None}
    if not calls:
        return {"role": role, "content": _text(value, number)}
    if role != "assistant":
        raise BadRow(f"turn {number}: {role} calls a tool")
    text = _first(value, TEXT_KEYS)
    content = _text(value, number) if text and not _is_blank(text) else _thought(value)
    return {"role": role, "content": content, "tool_calls": [_call(call, number) for call in calls]}


def _check_trained_on(role: str, value: dict[str, Any], number: int) -> None:
    """Raises BadRow for an answer that is marked as not to be trained on: all of a conversation's are."""
    mark = next((key for key in TRAINED_ON if value.get(key) in (0, False)), None)
    if mark is not None and role in ("assistant", "call"):
        raise BadRow(
            f"turn {number}: {mark}={value[mark]}, an answer that is not to be trained on; remove the mark: "
            "train.loss_on=last trains on the last answer alone"
        )


def _call(call: Any, number: int) -> dict[str, Any]:
    """A call; what parquet writes for the arguments that only other calls have, null, is left out."""
    call = _json(call, f"turn {number}", dict) if isinstance(call, str) else call
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise BadRow(f"turn {number}: a call of a tool without its name")
    arguments = function.get("arguments") or {}
    if isinstance(arguments, str):
        arguments = _json(arguments, f"turn {number}", dict)
    elif isinstance(arguments, dict):
        arguments = {name: value for name, value in arguments.items() if value is not None}
    return {"type": "function", "function": {"name": function["name"], "arguments": arguments}}


def _json(value: Any, where: str, kind: type | tuple[type, ...]) -> Any:
    try:
        parsed = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError) as error:
        raise BadRow(f"{where}: not JSON: {error}") from error
    if not isinstance(parsed, kind):
        raise BadRow(f"{where}: a {type(parsed).__name__} in place of a call or list of tools")
    return parsed


def _transcript(turns: list[Turn]) -> str:
    lines = []
    for turn in turns:
        calls = [call["function"] for call in turn.get("tool_calls", ())]
        said = [f"{call['name']}({json.dumps(call['arguments'], ensure_ascii=False)})" for call in calls]
        text = "\n".join(part for part in (turn["content"], *said) if part)
        lines.append(f"{turn['role'].capitalize()}: {text}")
    return "\n\n".join(lines)


def _role(turn: dict[str, Any], number: int) -> str:
    name = str(_first(turn, ROLE_KEYS)).lower()
    if name not in ROLES:
        raise BadRow(f"turn {number}: role {name} can't be trained on; roles: {', '.join(ROLES)}")
    return ROLES[name]


def _text(turn: dict[str, Any], number: int) -> str:
    content = _first(turn, TEXT_KEYS)
    if isinstance(content, list):  # parts, each of a type
        content = "".join(_part(part, number) for part in content)
    if not isinstance(content, str) or not content.strip():
        raise BadRow(f"turn {number}: no text")
    return f"{_thought(turn)}{content}"


def _is_blank(text: Any) -> bool:
    return isinstance(text, str) and not text.strip()


def _thought(turn: Turn) -> str:
    """The reasoning before a turn's text, in the tags that most models have; empty without."""
    reasoning = _first(turn, REASONING_KEYS)
    if not isinstance(reasoning, str) or not reasoning.strip():
        return ""
    return f"<think>\n{reasoning.strip()}\n</think>\n\n"


def _part(part: Any, number: int) -> str:
    """The text of one part of a turn. Raises BadRow for a picture, a sound, ..."""
    text = part.get("text", part.get("value")) if isinstance(part, dict) else None
    if isinstance(text, str):
        return text
    kind = str(part.get("type")) if isinstance(part, dict) else ""
    media = next((name for sign, name in MEDIA.items() if sign in kind), None)
    what = f"has {media} ({kind})" if media else f"has a part without a text ({kind or type(part).__name__})"
    raise BadRow(f"turn {number}: {what}; only text can be read")


def _first(turn: dict[str, Any], keys: tuple[str, ...]) -> Any:
    return next((turn[key] for key in keys if turn.get(key) is not None), None)
