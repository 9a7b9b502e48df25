"""Training rows of several turns, by the model's chat template.

The last turn is a response like any other. With `train.loss_on=every`, the earlier turns of the assistant
have a loss as well: each is what follows the prompt that evaluation would have given at that point. A dialog
that the template can't hold, or writes otherwise later on, is left out and counted with its reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal, TypeAlias

from limo_ablate.core.errors import UserError
from limo_ablate.model.train.chat import Tools, conversation
from limo_ablate.model.train.response import Responses
from limo_ablate.verify.turns import TAGS

Spans: TypeAlias = list[tuple[int, int]]
"""Where tokens of a prompt have a loss: first, and behind the last."""


class CanNotHold(Exception):
    """Why a template can't hold a dialog."""


class Dialogs:
    """Encodes dialogs; what is left out is counted in `responses.found`."""

    def __init__(self, responses: Responses, loss_on: Literal["last", "every"]) -> None:
        self.responses, self.loss_on = responses, loss_on
        self.left_out = 0

    def encode(self, dialog: str, solution: str) -> tuple[list[int], list[int], Spans] | None:
        """(prompt ids, response ids, spans of the prompt that have a loss); None for one that is left out."""
        read = json.loads(dialog)
        turns, tools = read["turns"], read["tools"] or None
        try:
            (pair,) = self.responses.encode([turns], [solution], tools)
            prompt, spans = self._prompt(turns, tools)
        except (UserError, CanNotHold) as error:
            self.left_out += 1
            self.responses.found[f"left out: {error}"] += 1
            return None
        return prompt if spans else pair[0], pair[1], spans

    def _prompt(self, turns: list[dict[str, Any]], tools: Tools) -> tuple[list[int], Spans]:
        """Ids of the prompt in pieces of which some have a loss, and where these are."""
        encoder, system = self.responses.encoder, self.responses.system_prompt
        asked = conversation(turns, system or None)
        (text,) = encoder.rendered([asked], tools, add_generation_prompt=True)
        _check_whole(asked, encoder.shown(text))
        cuts = list(self._cuts(asked, tools, text)) if self.loss_on == "every" else []
        places = [0, *(place for cut in cuts for place in cut), len(text)]
        pieces = encoder.pieces([text[begin:end] for begin, end in pairwise(places)])
        ends = [0]
        for ids in pieces:
            ends.append(ends[-1] + len(ids))
        return [number for ids in pieces for number in ids], list(zip(ends[1::2], ends[2::2], strict=False))

    def _cuts(self, asked: list[dict[str, Any]], tools: Tools, text: str) -> Iterator[tuple[int, int]]:
        """Where the earlier turns of the assistant begin and end in the prompt's text."""
        for place, turn in enumerate(asked):
            if turn["role"] != "assistant":
                continue
            (before,) = self.responses.encoder.rendered([asked[:place]], tools, add_generation_prompt=True)
            end = text.find(self.responses.end_text, len(before))
            if not text.startswith(before) or end < 0:
                raise CanNotHold(
                    "the chat template writes an earlier turn otherwise than it asks for it; "
                    "train.loss_on=last trains on the last one alone"
                )
            yield len(before), end + len(self.responses.end_text)


def _check_whole(turns: list[dict[str, Any]], text: str) -> None:
    """Raises CanNotHold if the template has left out a turn, or a call of a tool."""
    at = 0
    for turn in turns:
        calls = [call["function"]["name"] for call in turn.get("tool_calls", ())]
        for part in (_answer(turn), *calls):
            found = text.find(part.strip(), at)
            if found < 0:
                what = "a call of a tool" if part in calls else f"a turn of the {turn['role']}"
                raise CanNotHold(f"the chat template leaves out {what}")
            at = found


def _answer(turn: dict[str, Any]) -> str:
    """A turn's text behind its thinking, which templates leave out of earlier turns."""
    content: str = turn["content"]
    for _, end in TAGS["auto"] if turn["role"] == "assistant" else ():
        content = content.rpartition(end)[2] if end in content else content
    return content
