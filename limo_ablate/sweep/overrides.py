"""Overrides as values: `key=value` text in Hydra's grammar, read and written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from limo_ablate.errors import UserError

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
    parser = OverridesParser.create(loader)
    try:
        return [_given(parser, text) for text in texts]
    except HydraException as error:
        raise UserError(" ".join(str(error).split())) from error


def _given(parser: OverridesParser, text: str) -> Given:
    override: Override = parser.parse_override(text)
    key = override.get_key_element()
    if not override.is_sweep_override():
        return Given(key, text, (override.value(),), swept=False)
    if override.is_interval_sweep():
        raise UserError(f"{text}: an interval has no list of values; write them out, as in {key}=1,2,4")
    values = (parser.parse_override(f"{key}={item}").value() for item in override.sweep_string_iterator())
    return Given(key, text, tuple(values), swept=True)


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
