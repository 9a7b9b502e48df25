"""Conversations as token ids, by a model's chat template, of texts that may come from anyone.

A control token in a text (`<|im_end|>` in a problem) is encoded as the characters that it is; only the
template's own are tokens. Texts without any, nearly all, have the ids that the tokenizer gives them. Names of
roles that are no tokens of the tokenizer (`[INST]` of some models) can't be told from text.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from limo_ablate.core.errors import UserError
from limo_ablate.core.time_limit import TimeLimitExceeded, within_processor_time

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

SECONDS, SECONDS_EACH = 30.0, 0.05
"""Processor time that a template may take: at all, and more for each conversation; it needs a millisecond."""


@dataclass(frozen=True, slots=True)
class Prompt:
    text: str
    ids: list[int]
    escaped: bool = False
    """Whether the text has control tokens that are encoded as text."""


class ChatEncoder:
    """Encodes prompts and texts for one tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self._ids = _control_tokens(tokenizer)
        longest_first = sorted(self._ids, key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        nonce = secrets.token_hex(8)  # which no text can contain
        self._template = {content: f"\U000f0000{nonce}:{n}\U000f0001" for content, n in self._ids.items()}
        """Control token -> what stands for it where the template has it."""
        self._text = {content: f"\U000f0000{nonce};{n}\U000f0001" for content, n in self._ids.items()}
        """Control token -> what stands for it where a text has it, while the template is filled in."""

    def prompts(self, problems: Sequence[str], system_prompt: str | None) -> list[Prompt]:
        """The prompt for each problem, up to where the answer begins.

        Raises UserError where the chat template fails or does not end.
        """
        system = [{"role": "system", "content": system_prompt}] if system_prompt else []
        plain = [[*system, {"role": "user", "content": problem}] for problem in problems]
        escaped = [any(self._control.search(turn["content"]) for turn in turns) for turns in plain]
        texts = render(self.tokenizer, [self._escaped(turns) for turns in plain], add_generation_prompt=True)
        ids = _encode(self.tokenizer.backend_tokenizer, texts)
        return [
            self._escaped_prompt(text) if marked else Prompt(text, own)
            for text, own, marked in zip(texts, ids, escaped, strict=True)
        ]

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

    def _escaped(self, turns: list[dict[str, str]]) -> list[dict[str, str]]:
        return [
            {**turn, "content": self._control.sub(lambda found: self._text[found[0]], turn["content"])}
            for turn in turns
        ]

    def _escaped_prompt(self, rendered: str) -> Prompt:
        marked = self._control.sub(lambda found: self._template[found[0]], rendered)
        for content, placeholder in self._text.items():
            marked, rendered = (text.replace(placeholder, content) for text in (marked, rendered))
        return Prompt(rendered, self._as_text(marked), escaped=True)

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


def render(
    tokenizer: PreTrainedTokenizerFast, conversations: list[list[dict[str, str]]], **settings: Any
) -> list[str]:
    """The text of each conversation. Raises UserError where the chat template fails or does not end."""
    name = tokenizer.name_or_path
    limit = SECONDS + SECONDS_EACH * len(conversations)
    try:
        _check_template(tokenizer)
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


def _check_template(tokenizer: PreTrainedTokenizerFast) -> None:
    """Raises UserError for `**` and `round` (a power of ten): one power of large numbers runs for years, and
    nothing can interrupt it."""
    from jinja2 import Environment

    name, templates = tokenizer.name_or_path, tokenizer.chat_template
    for template in templates.values() if isinstance(templates, dict) else [templates or ""]:
        words = Environment().lex(template)  # noqa: S701 (nothing is rendered)
        if any((kind, word) in (("operator", "**"), ("name", "round")) for _, kind, word in words):
            raise UserError(f"{name}: its chat template computes a power; use another model")


def _encode(backend: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    backend.no_truncation()  # some tokenizers are saved with a limit
    backend.no_padding()
    # Uses all cores, unless TOKENIZERS_PARALLELISM=false.
    return [encoding.ids for encoding in backend.encode_batch_fast(list(texts), add_special_tokens=False)]
