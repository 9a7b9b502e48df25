"""Many configurations out of few: overrides put into what Hydra has composed once.

A `Template` is the plain data of one set of group choices, still with its interpolations. Its sections are
the top-level keys (`select`, `train`, ...). An override replaces the path to its key and shares everything
else, and a section is resolved and typed once for all overrides that can reach it: those of its own keys and
of the sections that its interpolations refer to. So a cell costs microseconds, not milliseconds.

Only what is plain is done here. Anything else, and every mistake, raises `NotPlain`; then
`limo_ablate.trial.compose` takes OmegaConf's way, whose result or error is the one that holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from limo_ablate.core.credentials import refuse_credentials
from limo_ablate.core.errors import UserError
from limo_ablate.core.typed import Converted, convert, hints
from limo_ablate.trial.config import TrialConfig

MISSING = "???"
REFERENCE = re.compile(r"\$\{([^${}]*)\}")
KEY = re.compile(r"\w+(?:\.\w+)*")
DEEPEST = 20
"""References that may lead to each other; more count as a cycle."""


class NotPlain(Exception):
    """Only OmegaConf can compose this configuration."""


@dataclass(frozen=True, slots=True)
class Value:
    """An override of one of our values, as read."""

    key: str
    text: str
    value: Any
    section: str
    """The key's first part."""

    @classmethod
    def of(cls, key: str, text: str, value: Any) -> Value:
        return cls(key, text, value, key.partition(".")[0])


class Sections:
    """Typed sections that templates share, by what they were made of."""

    def __init__(self) -> None:
        self.typed: dict[tuple[Any, ...], Any] = {}
        self.known: Converted = {}


class Template:
    def __init__(self, plain: dict[str, Any], sections: Sections) -> None:
        """`plain`: composed, not resolved. Raises NotPlain when it has other sections than the schema."""
        self._hints = hints(TrialConfig)
        if plain.keys() != self._hints.keys():
            raise NotPlain
        self.plain, self._sections = plain, sections
        self._needs = _needs(plain)
        self._contents = {name: repr([(need, plain[need]) for need in self._needs[name]]) for name in plain}
        self._everything = dict.fromkeys(plain, repr(plain))
        self._reaching: dict[tuple[str, ...], dict[str, list[str]]] = {}

    def trial(self, values: Sequence[Value]) -> TrialConfig:
        """With these overrides. Raises NotPlain."""
        asked: dict[str, list[Value]] = {}
        for value in values:
            asked.setdefault(value.section, []).append(value)
        if not self.plain.keys() >= asked.keys():
            raise NotPlain
        # an override that refers to something may depend on anything
        refers = any("$" in value.text for value in values)
        reaching = dict.fromkeys(self.plain, sorted(asked)) if refers else self._reached(tuple(asked))
        contents = self._everything if refers else self._contents
        try:
            return TrialConfig(
                **{
                    name: self._section(name, contents[name], [v for key in found for v in asked[key]])
                    for name, found in reaching.items()
                }
            )
        except UserError as error:
            raise NotPlain from error

    def _reached(self, asked: tuple[str, ...]) -> dict[str, list[str]]:
        """Section -> those of `asked` that it depends on."""
        if asked not in self._reaching:
            self._reaching[asked] = {
                name: [need for need in needs if need in asked] for name, needs in self._needs.items()
            }
        return self._reaching[asked]

    def _section(self, name: str, content: str, values: list[Value]) -> Any:
        """The section with these overrides; `content`: of all that it depends on besides."""
        key = (name, content, *(value.text for value in values))
        typed = self._sections.typed
        if key not in typed:
            root = self.plain
            for value in values:
                root = assigned(root, value.key.split("."), value.value)
            plain = _resolved(root[name], root)
            refuse_credentials(plain, name)
            typed[key] = convert(self._hints[name], plain, name, self._sections.known)
        return typed[key]


def assigned(node: dict[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    """A copy in which the key at `path` has `value`; mappings are merged. Raises NotPlain for other keys."""
    first, *rest = path
    if first not in node:
        raise NotPlain
    old = node[first]
    if not rest:
        return {**node, first: _merged(old, value)}
    if not isinstance(old, dict):
        raise NotPlain
    return {**node, first: assigned(old, rest, value)}


def _merged(old: Any, new: Any) -> Any:
    """As OmegaConf.update has it: a mapping into a mapping by keys, all else in place of the old."""
    if new == MISSING or (isinstance(new, list) and isinstance(old, dict)):
        raise NotPlain
    if not isinstance(new, dict):
        return new
    if isinstance(old, list) or (isinstance(old, str) and "$" in old) or "$" in str(new):
        raise NotPlain
    if not all(isinstance(key, str) for key in new):
        raise NotPlain
    base = old if isinstance(old, dict) else {}
    return {**base, **{key: _merged(base.get(key), value) for key, value in new.items()}}


def _resolved(node: Any, root: Mapping[str, Any], depth: int = 0) -> Any:
    """`node` with its interpolations replaced; parts that have none are the same objects."""
    if isinstance(node, str):
        return _text(node, root, depth) if "${" in node or node == MISSING else node
    if not isinstance(node, dict | list):
        return node
    parts: Iterable[tuple[Any, Any]] = node.items() if isinstance(node, dict) else enumerate(node)
    changed = {key: new for key, old in parts if (new := _resolved(old, root, depth)) is not old}
    if not changed:
        return node
    if isinstance(node, dict):
        return {**node, **changed}
    return [changed.get(place, item) for place, item in enumerate(node)]


def _text(text: str, root: Mapping[str, Any], depth: int) -> Any:
    if "\\" in text or text == MISSING or "${" in REFERENCE.sub("", text) or depth > DEEPEST:
        raise NotPlain
    if whole := REFERENCE.fullmatch(text):
        return _target(whole[1], root, depth)
    return REFERENCE.sub(lambda found: str(_target(found[1], root, depth)), text)


def _target(inner: str, root: Mapping[str, Any], depth: int) -> Any:
    """What `${inner}` stands for: a scalar of the configuration, or of a resolver (`oc.env:HOME`)."""
    node: Any = root
    if ":" in inner:
        try:
            node = OmegaConf.create({"it": f"${{{inner}}}"}).it
        except OmegaConfBaseException as error:
            raise NotPlain from error
    elif KEY.fullmatch(inner):
        for part in inner.split("."):
            if not isinstance(node, dict) or part not in node:
                raise NotPlain
            node = node[part]
        if isinstance(node, str):
            node = _resolved(node, root, depth + 1)
    else:
        raise NotPlain
    if not (node is None or isinstance(node, bool | int | float | str)):
        raise NotPlain
    return node


def _needs(plain: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Section -> itself and all sections that its interpolations lead to, sorted."""
    needs = {}
    for name, section in plain.items():
        named = (found.partition(".")[0] for found in REFERENCE.findall(str(section)))
        needs[name] = {name, *(other for other in named if other in plain)}
    for _ in plain:
        needs = {name: set().union(*(needs[other] for other in found)) for name, found in needs.items()}
    return {name: tuple(sorted(found)) for name, found in needs.items()}
