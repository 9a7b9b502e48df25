"""Conversations as token ids, by a model's chat template, of texts that may come from anyone.

A control token in a text (`<|im_end|>` in a problem) is encoded as the characters that it is; only the
template's own are tokens. Texts without any, nearly all, have the ids that the tokenizer gives them. Names of
roles that are no tokens of the tokenizer (`[INST]` of some models) can't be told from text.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from limo_ablate.core.errors import UserError
from limo_ablate.core.time_limit import TimeLimitExceeded, within_processor_time
from limo_ablate.model.config import TemplateConfig

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

AS_IT_IS = TemplateConfig()
Asked: TypeAlias = str | Sequence[dict[str, Any]]
"""A problem: its text, or the turns of a dialog up to its answer."""
Tools: TypeAlias = list[Any] | None
FIXED = "role"
"""The key of turns whose values are ours."""
PINNED = (
    "{%- macro strftime_now(format) %}{{ pinned_dates[format] if format in pinned_dates else "
    "raise_exception('a date in a format that is not in the template') }}{%- endmacro %}\n"
)
"""Stands before a template that prints today's date: transformers takes no function as an argument."""
SECONDS, SECONDS_EACH = 30.0, 0.05
"""Processor time that a template may take: at all, and more for each conversation; it needs a millisecond."""


@dataclass(frozen=True, slots=True)
class Prompt:
    text: str
    ids: list[int]
    escaped: bool = False
    """Whether the text has control tokens that are encoded as text."""


@dataclass(frozen=True, slots=True)
class Turn:
    """An answer as the chat template writes it after its prompt."""

    prompt: Prompt
    whole: str
    """The conversation with the answer."""
    tail: str | None
    """What follows the prompt, up to the end of the turn, with placeholders for texts' control tokens. Empty
    if the template does not end the turn; None if the conversation does not begin with the prompt."""


class ChatEncoder:
    """Encodes prompts and texts for one tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, template: TemplateConfig = AS_IT_IS) -> None:
        self.tokenizer, self.template = tokenizer, template
        self._ids = _control_tokens(tokenizer)
        longest_first = sorted(self._ids, key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        nonce = secrets.token_hex(8)  # which no text can contain
        self._template = {content: f"\U000f0000{nonce}:{n}\U000f0001" for content, n in self._ids.items()}
        """Control token -> what stands for it where the template has it."""
        self._text = {content: f"\U000f0000{nonce};{n}\U000f0001" for content, n in self._ids.items()}
        """Control token -> what stands for it where a text has it, while the template is filled in."""

    def prompts(
        self, problems: Sequence[Asked], system_prompt: str | None, tools: Tools = None
    ) -> list[Prompt]:
        """The prompt for each problem, up to where the answer begins.

        Raises UserError where the chat template fails, does not end, or leaves the system prompt out.
        """
        if system_prompt:
            self._check_system_prompt(problems[:1], system_prompt)
        plain = _conversations(problems, system_prompt)
        texts = self.rendered(plain, tools, add_generation_prompt=True)
        return self._encoded(texts, [self._has_control([*turns, *(tools or ())]) for turns in plain])

    def _check_system_prompt(self, problems: Sequence[Asked], system_prompt: str) -> None:
        problems = [problem if isinstance(problem, str) else "?" for problem in problems]
        without = self.rendered(_conversations(problems, None), add_generation_prompt=True)
        try:
            rendered = self.rendered(_conversations(problems, system_prompt), add_generation_prompt=True)
        except UserError as error:
            reason = str(error).rpartition("failed: ")[2]
        else:
            missing = rendered == without and not any(system_prompt.strip() in text for text in rendered)
            reason = "it leaves it out" if missing and problems else ""
        if reason:
            raise UserError(
                f"{self.tokenizer.name_or_path}: its chat template takes no system prompt ({reason}); set "
                "train.system_prompt=null, which eval.system_prompt follows"
            )

    def turns(
        self,
        problems: Sequence[Asked],
        system_prompt: str | None,
        answers: Sequence[str],
        tools: Tools = None,
    ) -> list[Turn]:
        """Each answer as the chat template writes it; raises UserError as `prompts` does."""
        prompts = self.prompts(problems, system_prompt, tools)
        asked = _conversations(problems, system_prompt)
        answered = [
            [*turns, {"role": "assistant", "content": answer}]
            for turns, answer in zip(asked, answers, strict=True)
        ]
        begun = self.rendered(asked, tools, add_generation_prompt=True)
        ended = self.rendered(answered, tools)
        end, _ = turn_end(self.tokenizer)
        return [
            Turn(prompt, self.shown(whole), _tail(whole, text, end))
            for prompt, text, whole in zip(prompts, begun, ended, strict=True)
        ]

    def tails(self, turns: Sequence[Turn]) -> list[list[int]]:
        """Ids of the tail that each turn has."""
        return self.pieces([turn.tail or "" for turn in turns])

    def raw(self, texts: Sequence[str]) -> list[Prompt]:
        """Each text as a prompt without a template: after BOS where the tokenizer begins texts with it."""
        bos = self.tokenizer.bos_token if begins_with_bos(self.tokenizer) else None
        prompts = self.plain(texts)
        if bos is None:
            return prompts
        begin = int(self.tokenizer.bos_token_id)
        return [Prompt(bos + prompt.text, [begin, *prompt.ids], prompt.escaped) for prompt in prompts]

    def filled_in(self, texts: Sequence[str]) -> list[Prompt]:
        """Each text as a prompt whose control tokens are tokens, with BOS as in `raw` where it has none."""
        bos = self.tokenizer.bos_token if begins_with_bos(self.tokenizer) else None
        begun = [text if bos is None or text.startswith(bos) else bos + text for text in texts]
        ids = _encode(self.tokenizer.backend_tokenizer, begun)
        return [Prompt(text, own) for text, own in zip(begun, ids, strict=True)]

    def plain(self, texts: Sequence[str]) -> list[Prompt]:
        """Each text as it is, without a template."""
        ids = _encode(self.tokenizer.backend_tokenizer, texts)
        return [
            Prompt(text, self._as_text(text), escaped=True)
            if self._control.search(text)
            else Prompt(text, own)
            for text, own in zip(texts, ids, strict=True)
        ]

    def texts(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, without any control token."""
        return [prompt.ids for prompt in self.plain(texts)]

    def _has_control(self, turns: list[dict[str, Any]]) -> bool:
        return any(self._control.search(text) for text in _strings(turns))

    def rendered(
        self, conversations: list[list[dict[str, Any]]], tools: Tools = None, **settings: Any
    ) -> list[str]:
        """The conversations' texts, with placeholders for the control tokens of their turns and tools."""
        if tools:
            settings["tools"] = self._escaped(tools)
        return render(self.tokenizer, self._escaped(conversations), self.template, **settings)

    def _escaped(self, value: Any) -> Any:
        return _changed(value, lambda text: self._control.sub(lambda found: self._text[found[0]], text))

    def pieces(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of parts of what `rendered` gives."""
        marked = [any(placeholder in text for placeholder in self._text.values()) for text in texts]
        return [prompt.ids for prompt in self._encoded(texts, marked)]

    def _encoded(self, rendered: Sequence[str], marked: Sequence[bool]) -> list[Prompt]:
        """`marked`: whether a text has placeholders."""
        ids = _encode(self.tokenizer.backend_tokenizer, rendered)
        return [
            self._escaped_prompt(text) if escaped else Prompt(text, own)
            for text, own, escaped in zip(rendered, ids, marked, strict=True)
        ]

    def _escaped_prompt(self, rendered: str) -> Prompt:
        marked = self._control.sub(lambda found: self._template[found[0]], rendered)
        return Prompt(self.shown(rendered), self._as_text(self.shown(marked)), escaped=True)

    def shown(self, text: str) -> str:
        """`text`, of `rendered`, with control tokens of texts in place of their placeholders."""
        for content, placeholder in self._text.items():
            text = text.replace(placeholder, content)
        return text

    def _as_text(self, text: str) -> list[int]:
        """Ids of a text in which what stands for the template's control tokens is them, and nothing else."""
        return _encode(self._renamed, [text])[0]

    @cached_property
    def _renamed(self) -> Tokenizer:
        """The tokenizer with its control tokens under the names of `_template`, and the same ids.

        Raises UserError where that can't be.
        """
        from tokenizers import Tokenizer

        described = json.loads(self.tokenizer.backend_tokenizer.to_str())
        for token in described["added_tokens"]:
            token["content"] = self._template.get(token["content"], token["content"])
        described |= {"post_processor": None, "model": _renamed_model(described["model"], self._template)}
        renamed = Tokenizer.from_str(json.dumps(described))
        for content, number in self._ids.items():
            if renamed.token_to_id(self._template[content]) != number:
                raise UserError(
                    f"{self.tokenizer.name_or_path}: its tokenizer can't encode {content} as text, which a "
                    "text of the data contains; remove it there"
                )
        return renamed


def _tail(whole: str, prompt: str, end: str) -> str | None:
    """See `Turn.tail`."""
    if not whole.startswith(prompt):
        return None
    place = whole.rfind(end, len(prompt))
    return whole[len(prompt) : place + len(end)] if place >= 0 else ""


def _renamed_model(model: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """A tokenizer's model in which no text leads to a token of `names`."""
    vocabulary = model["vocab"]
    if isinstance(vocabulary, dict):
        renamed: Any = {names.get(token, token): number for token, number in vocabulary.items()}
    else:  # a unigram model's pieces with their scores
        renamed = [[names.get(piece, piece), score] for piece, score in vocabulary]
    changed = {"vocab": renamed}
    if model.get("unk_token") in names:
        changed["unk_token"] = names[model["unk_token"]]
    if "merges" in model:
        pairs = [tuple(merge.split(" ") if isinstance(merge, str) else merge) for merge in model["merges"]]
        changed["merges"] = [pair for pair in pairs if not {*pair, "".join(pair)} & names.keys()]
    return model | changed


def _control_tokens(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    """Text -> id of the special tokens, and of the added ones by which the template marks turns: some models
    have roles that are not declared as special."""
    turns = [{"role": role, "content": "x"} for role in ("user", "assistant", "user")]
    try:
        (marks,) = render(tokenizer, [turns])
    except UserError:  # it has no such conversations
        marks = ""
    added = tokenizer.added_tokens_decoder.items()
    return {token.content: n for n, token in added if token.special or token.content in marks}


def conversation(problem: Asked, system_prompt: str | None) -> list[dict[str, Any]]:
    """The turns up to where the answer begins; a system turn of its own stands in place of the prompt."""
    turns = [{"role": "user", "content": problem}] if isinstance(problem, str) else list(problem)
    if system_prompt is None or turns[0]["role"] == "system":
        return turns
    return [{"role": "system", "content": system_prompt}, *turns]


def _conversations(problems: Sequence[Asked], system_prompt: str | None) -> list[list[dict[str, Any]]]:
    return [conversation(problem, system_prompt or None) for problem in problems]


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    """`value` with all texts changed that a template may print; those of roles and types are its own."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(key): part if key == FIXED else _changed(part, change) for key, part in value.items()}
    return [_changed(part, change) for part in value] if isinstance(value, list) else value


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in (*value, *value.values()) if isinstance(value, dict) else value:
            yield from _strings(part)


def turn_end(tokenizer: PreTrainedTokenizerFast) -> tuple[str, list[int]]:
    """Text and ids with which an assistant's turn ends in the chat template, or else the tokenizer's EOS.

    Of several special tokens in a row these are those up to EOS, or the first one. Raises UserError if there
    are none: the model could not learn to end a response.
    """
    answer = "ANSWER"
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": answer}]
    (text,) = render(tokenizer, [turns])
    special = {token.content: n for n, token in tokenizer.added_tokens_decoder.items() if token.special}
    names = "|".join(map(re.escape, sorted(special, key=len, reverse=True))) or "(?!)"
    found = re.search(f"(?:{names})+", text.rpartition(answer)[2])
    tokens = re.findall(names, found[0]) if found else []
    eos = tokenizer.eos_token
    tokens = tokens[: tokens.index(eos) + 1] if eos in tokens else tokens[:1] or [eos]
    if tokens == [None]:
        raise UserError(
            f"{tokenizer.name_or_path}: the tokenizer has no EOS token, and its chat template ends a turn "
            "without a special token; set eos_token"
        )
    return "".join(tokens), [int(special.get(token, tokenizer.eos_token_id)) for token in tokens]


def begins_with_bos(tokenizer: PreTrainedTokenizerFast) -> bool:
    """Whether the tokenizer puts BOS before a text, as its model was trained to have it."""
    return tokenizer.bos_token_id is not None and tokenizer("")["input_ids"][:1] == [tokenizer.bos_token_id]


def render(
    tokenizer: PreTrainedTokenizerFast,
    conversations: list[list[dict[str, str]]],
    template: TemplateConfig = AS_IT_IS,
    **settings: Any,
) -> list[str]:
    """The text of each conversation. Raises UserError where the chat template fails or does not end."""
    name = tokenizer.name_or_path
    limit = SECONDS + SECONDS_EACH * len(conversations)
    try:
        settings |= _filled_in_at(tokenizer, template) | template.given()
        texts: list[str] = within_processor_time(
            limit, lambda: tokenizer.apply_chat_template(conversations, tokenize=False, **settings)
        )
    except TimeLimitExceeded as error:
        raise UserError(f"{name}: its chat template took more than {limit:g} s; use another model") from error
    except UserError:
        raise
    except Exception as error:  # a template may raise anything
        raise UserError(f"{name}: its chat template failed: {type(error).__name__}: {error}") from error
    return texts


def _filled_in_at(tokenizer: PreTrainedTokenizerFast, settings: TemplateConfig) -> dict[str, Any]:
    """The tokenizer's chat template with the date of `settings`, as arguments of `apply_chat_template`.

    Raises UserError for an argument that the template does not have, and for `**` and `round` (a power of
    ten): one power of large numbers runs for years, and nothing can interrupt it.
    """
    from jinja2 import Environment

    if tokenizer.chat_template is None:
        return {}
    name, template = tokenizer.name_or_path, tokenizer.get_chat_template()
    words = {(kind, word) for _, kind, word in Environment().lex(template)}  # noqa: S701 (nothing is rendered)
    if words & {("operator", "**"), ("name", "round")}:
        raise UserError(f"{name}: its chat template computes a power; use another model")
    if unknown := sorted(key for key in settings.given() if ("name", key) not in words):
        key = "enable_thinking" if unknown[0] == "enable_thinking" else f"arguments.{unknown[0]}"
        raise UserError(f"model.template.{key}: the chat template of {name} has no such argument; remove it")
    if ("name", "strftime_now") not in words:
        return {"chat_template": template}
    today = date.fromisoformat(settings.date)
    formats = (word[1:-1] for kind, word in words if kind == "string" and "%" in word)
    return {
        "chat_template": PINNED + template,
        "pinned_dates": {text: today.strftime(text) for text in formats},
    }


def _encode(backend: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    backend.no_truncation()  # some tokenizers are saved with a limit
    backend.no_padding()
    # Uses all cores, unless TOKENIZERS_PARALLELISM=false.
    return [encoding.ids for encoding in backend.encode_batch_fast(list(texts), add_special_tokens=False)]
