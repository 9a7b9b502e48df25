"""How a response continues its prompt in training, and where the chat template has it otherwise.

A row is trained on as the ids of the prompt, which evaluation generates from, and those of the solution with
the end of the turn. Templates that write an assistant's turn differently, and solutions that don't fit what
the prompt has opened, are counted and told once, with what there is to choose.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

from limo_ablate.core.errors import UserError
from limo_ablate.core.text import counted
from limo_ablate.model.train.chat import Asked, ChatEncoder, Tools, Turn, turn_end
from limo_ablate.verify.turns import TAGS

AGAIN = "and the solution opens it again; set model.template.enable_thinking=true"
UNFINISHED = (
    "all of an answer is taken for thinking, and no answer is read; choose solutions with their thinking, "
    "a model whose template does not open it, or eval.thinking=none"
)
TURN = "or train.response=turn, which trains on the turn as the template writes it"
OWN = "or train.response=solution, which trains on the solution as it stands"
SHOWN = 60
"""Characters of a template's text that a line shows."""
Ids: TypeAlias = tuple[list[int], list[int]]
"""Ids of a row's prompt and of its response."""
log = logging.getLogger(__name__)


class Responses:
    """Encodes the rows of a training, and counts what is to be told about them."""

    def __init__(
        self, encoder: ChatEncoder, system_prompt: str | None, mode: Literal["solution", "turn"] = "solution"
    ) -> None:
        self.encoder, self.system_prompt, self.mode = encoder, system_prompt, mode
        self.rows = 0
        self.found: Counter[str] = Counter()
        """What was found -> number of rows; with a full sentence each."""
        self.end_text, self.end = turn_end(encoder.tokenizer)

    def encode(
        self, problems: Sequence[Asked], solutions: Sequence[str], tools: Tools = None
    ) -> Iterator[Ids]:
        """(prompt ids, response ids with the end of turn) of each row.

        Raises UserError where the chat template fails, and for mode `turn` where its turn does not continue
        the prompt, or has no end.
        """
        self.rows += len(problems)
        turns = self.encoder.turns(problems, self.system_prompt, solutions, tools)
        own = [
            self._joined(turn.prompt.text, solution) for turn, solution in zip(turns, solutions, strict=True)
        ]
        if self.mode == "turn":
            self._require_whole_turns(turns)
        told = self._left_out if self.mode == "turn" else self._difference
        for turn, solution, response in zip(turns, solutions, own, strict=True):
            if line := told(turn, solution, response):
                self.found[line] += 1
        if self.mode == "turn":
            responses = self.encoder.tails(turns)
        else:
            responses = [[*ids, *self.end] for ids in self.encoder.texts(own)]
        yield from zip((turn.prompt.ids for turn in turns), responses, strict=True)

    def lines(self) -> list[str]:
        """What there is to say, the most frequent first."""
        rows = counted(self.rows, "row")
        return [f"{number} of {rows}: {line}" for line, number in self.found.most_common()]

    def tell(self) -> None:
        for line in self.lines():
            log.warning("%s: %s", self.encoder.tokenizer.name_or_path, line)

    def _joined(self, prompt: str, solution: str) -> str:
        """The solution without the tag that begins its thinking where the prompt ends with that."""
        tags, closed = _at_end(prompt)
        if tags is None:
            return solution
        (begin, end), inside = tags, solution.lstrip()
        if closed:
            if inside.startswith(begin):
                self.found[f"the prompt ends with {end}, {AGAIN}"] += 1
            return solution
        if end not in solution:
            self.found[f"the prompt opens {begin}, and the solution has no {end}: {UNFINISHED}"] += 1
        if not inside.startswith(begin):
            return solution
        self.found[f"the solution begins with {begin}, with which the prompt ends: it stands once"] += 1
        space = prompt[len(prompt.rstrip()) :]
        return inside.removeprefix(begin).removeprefix(space)

    def _require_whole_turns(self, turns: Sequence[Turn]) -> None:
        if any(turn.tail is None for turn in turns):
            what = "an answered conversation does not begin with its prompt"
        elif not all(turn.tail for turn in turns):
            what = f"an answer is left out, or does not end in {self.end_text!r}"
        else:
            return
        raise UserError(
            f"train.response=turn: in the chat template of {self.encoder.tokenizer.name_or_path} {what}; "
            "use train.response=solution"
        )

    def _left_out(self, turn: Turn, solution: str, response: str) -> str | None:
        """What of the solution is not in the turn that the template writes."""
        written = self.encoder.shown(turn.tail or "")
        if _squeezed(response) in _squeezed(written):
            return None
        if dropped := _dropped_thinking(solution, written):
            return f"{dropped}, which is not trained on; train.response=solution trains on it"
        return f"the chat template writes the solution differently; it is trained on as written there, {OWN}"

    def _difference(self, turn: Turn, solution: str, response: str) -> str | None:
        """How the template writes the turn, where that is not the response after the prompt."""
        prompt, whole = turn.prompt.text, turn.whole
        if whole.startswith(prompt + response):
            return None
        pairs = enumerate(zip(prompt, whole, strict=False))
        inside = whole[next((n for n, (a, b) in pairs if a != b), min(len(prompt), len(whole))) :]
        if _squeezed(whole).startswith(_squeezed(prompt + response)):
            return f"the chat template changes the solution's spaces; it is trained on as it stands, {TURN}"
        at = inside.find(response.strip())
        if at > 0 and turn.tail is not None and inside[:at].strip():
            return self._added(inside[:at])
        if dropped := _dropped_thinking(solution, inside):
            return f"{dropped}, and it is trained on"
        if at >= 0 and _at_end(prompt)[0]:
            return None  # said already: the solution has no thinking
        return f"the chat template writes the solution differently; it is trained on as it stands, {TURN}"

    def _added(self, text: str) -> str:
        thinking = any(begin in text for begin, _ in TAGS["auto"])
        can = thinking and "enable_thinking" in str(self.encoder.tokenizer.chat_template)
        choice = "choose model.template.enable_thinking=false, whose prompt has it, " if can else "choose "
        shown = repr(text if len(text) <= SHOWN else text[:SHOWN] + "...")
        return (
            f"the chat template has {shown} before an answer, which is not trained on; "
            f"{choice}{TURN if can else TURN.removeprefix('or ')}"
        )


def _at_end(prompt: str) -> tuple[tuple[str, str] | None, bool]:
    """The tags of a thinking that the prompt opens at its end, and whether it closes it there as well."""
    text = prompt.rstrip()
    for begin, end in TAGS["auto"]:
        if text.endswith(begin):
            return (begin, end), False
        if text.endswith(end) and text.removesuffix(end).rstrip().endswith(begin):
            return (begin, end), True
    return None, False


def _dropped_thinking(solution: str, written: str) -> str | None:
    """That the template has dropped the thinking, where of the solution only the answer is `written`."""
    close = next((end for _, end in TAGS["auto"] if end in solution), None)
    answer = solution.rpartition(close)[2].strip() if close else ""
    return f"the chat template drops what stands before {close}" if answer and answer in written else None


def _squeezed(text: str) -> str:
    return "".join(text.split())
