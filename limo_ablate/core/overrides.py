"""Parses and formats overrides, `key=value` in Hydra's grammar; flattens values to dotted keys."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ValueType
from hydra.errors import HydraException

from limo_ablate.core.errors import UserError

UNQUOTED = re.compile(r"[A-Za-z_/][\w./-]*", re.ASCII)
OTHER_CHARACTER = re.compile(r"[^A-Za-z0-9_/\\.+$%*@?| :,()\[\]{}'\"-]")
"""A character that Hydra reads in quotes only."""
BRACKETS = ("[]", "{}", "()")
MOST_VALUES = 10_000
"""Values of one sweep: more than a study could run."""
KEYWORDS = ("null", "true", "false", "nan", "inf")
CONFIG_NAME, CONFIG_PATH, CONFIG_DIR = CONFIG_FLAGS = ("--config-name", "--config-path", "--config-dir")
"""Hydra's flags for the file that a configuration starts from, the folder to look into first and the one
to look into last. A trial's overrides hold them too, as `--config-name=NAME`, so that nothing else decides
what is composed."""


@dataclass(frozen=True, slots=True)
class Override:
    """One override."""

    key: str
    text: str
    values: tuple[Any, ...]
    """The values it sweeps over; a single one if it is not a sweep."""
    swept: bool


def parse_overrides(texts: Iterable[str], loader: ConfigLoader | None = None) -> list[Override]:
    """Parses overrides, also sweeps (`a,b`, `range(3)`; with `loader`, `glob(*)`). Raises UserError."""
    return [_parse(text, loader) for text in texts]


@cache  # the cells of a study repeat the same few overrides
def _parse(text: str, loader: ConfigLoader | None) -> Override:
    flag, _, value = text.partition("=")
    if flag in CONFIG_FLAGS:
        return Override(flag, text, (value,), swept=False)
    parser = OverridesParser.create(loader)
    try:
        parsed = parser.parse_override(text)
        parsed.config_loader = loader
        key = parsed.get_key_element()
        if loader is None and parsed.value_type is ValueType.GLOB_CHOICE_SWEEP:
            raise UserError(f"{text}: glob(...) is read with -m only; list the choices: {key}=a,b")
        if not parsed.is_sweep_override():
            values = [parsed.value()]
        else:
            items = _limited(parsed.sweep_string_iterator(), text)
            values = [parser.parse_override(f"{key}={item}").value() for item in items]
    except HydraException as error:
        raise unreadable(text, error) from error
    if not key:
        raise UserError(f"{text}: not an override (key=value): the key is missing")
    if not values:
        raise UserError(f"{text}: gives no values; `limo-ablate --help --all` lists the choices")
    return Override(key, text, tuple(values), parsed.is_sweep_override())


def unreadable(text: str, error: Exception) -> UserError:
    """The error for an override that Hydra can't read: what is wrong with it, and how to quote its value."""
    key, _, value = text.partition("=")
    where = f"{text}: not an override (key=value)"
    if not key:
        return UserError(f"{where}: the key is missing")
    unbalanced = next((pair for pair in BRACKETS if value.count(pair[0]) != value.count(pair[1])), None)
    if unbalanced:
        why = "has {} without {}".format(*sorted(unbalanced, key=value.count, reverse=True))
    elif other := OTHER_CHARACTER.search(value):
        why = f"has {other[0]}"
    else:
        reason = " ".join(str(error).partition("See https")[0].split())
        quoted = "" if {'"', "'"} & set(value) else f"; a text needs quotes: '{key}=\"{value}\"'"
        return UserError(f"{where}: {reason}{quoted}")
    if '"' in value or "'" in value:
        return UserError(f"{where}: the value {why}; put all of it in quotes")
    return UserError(f"{where}: the value {why}; if that is part of it, quote it: '{key}=\"{value}\"'")


def format_override(key: str, value: Any) -> str:
    """`key=value` such that Hydra reads the same value back."""
    return f"{key}={literal(value)}"


def literal(value: Any) -> str:
    """`value` in Hydra's override grammar, quoted where needed."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(literal(item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str) and (not UNQUOTED.fullmatch(value) or value.lower() in KEYWORDS):
        escaped = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value)
        return f"'{escaped}'"
    return str(value)


def flat(node: Any, path: str = "", *, lists: bool = False) -> dict[str, str]:
    """Dotted key -> value as text; lists are values, or with `lists` flattened too."""
    if lists and isinstance(node, list) and node:
        node = dict(enumerate(node))
    if isinstance(node, Mapping) and node:
        parts = (flat(value, f"{path}.{key}".lstrip("."), lists=lists) for key, value in node.items())
        return {key: value for part in parts for key, value in part.items()}
    return {path: node if isinstance(node, str) else json.dumps(node, ensure_ascii=False, default=str)}


def _limited(items: Iterator[str], text: str) -> list[str]:
    """The values of a sweep. Raises UserError for more than a study could run, before they are made."""
    found = list(islice(items, MOST_VALUES + 1))
    if len(found) > MOST_VALUES:
        raise UserError(f"{text}: more than {MOST_VALUES:,} values; give fewer")
    return found
