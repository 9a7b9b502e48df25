"""Overrides as values: `key=value` text in Hydra's grammar, read and written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from limo_ablate.core.errors import UserError

PLAIN = re.compile(r"[A-Za-z_/][\w./-]*")
RESERVED = ("null", "true", "false", "nan", "inf")


@dataclass(frozen=True, slots=True)
class Given:
    """One override as it was given."""

    key: str
    text: str
    values: tuple[Any, ...]
    """What it sweeps over; of length one when it is no sweep."""
    swept: bool


def parse(texts: Iterable[str], loader: ConfigLoader | None = None) -> list[Given]:
    """Reads overrides, also sweeps (`a,b`, `range(3)`, with `loader` `glob(*)`). Raises UserError."""
    return [_given(text, loader) for text in texts]


@cache  # the cells of a study repeat the same few overrides
def _given(text: str, loader: ConfigLoader | None) -> Given:
    parser = OverridesParser.create(loader)
    try:
        override = parser.parse_override(text)
        key = override.get_key_element()
        if not override.is_sweep_override():
            values = [override.value()]
        else:
            items = override.sweep_string_iterator()
            values = [parser.parse_override(f"{key}={item}").value() for item in items]
    except HydraException as error:
        raise UserError(f"{text}: no override (key=value): {' '.join(str(error).split())}") from error
    if not key:
        raise UserError(f"{text}: no override (key=value): the key is missing")
    return Given(key, text, tuple(values), override.is_sweep_override())


def override(key: str, value: Any) -> str:
    """`key=value` such that Hydra reads the same value back."""
    return f"{key}={literal(value)}"


def literal(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(literal(item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, str) and (not PLAIN.fullmatch(value) or value.lower() in RESERVED):
        escaped = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value)
        return f"'{escaped}'"
    return str(value)
