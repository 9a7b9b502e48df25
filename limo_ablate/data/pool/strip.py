"""Cuts off what stands around a problem: the texts or regular expressions of `fields.strip_prefix`, ..."""

from __future__ import annotations

from functools import cache
from typing import Any

from limo_ablate.core.errors import UserError

REGEX = "re:"
"""Begins a regular expression; anything else is a text."""
SECONDS = 1.0
"""Time that one regular expression may take on one problem."""


@cache
def compiled(key: str, given: str) -> Any:
    """The pattern of a key's value, anchored where the key says. Raises UserError for one that is none."""
    import regex  # has time limits, which `re` has not

    source = given.removeprefix(REGEX) if given.startswith(REGEX) else regex.escape(given)
    anchored = {"strip_prefix": rf"\A\s*(?:{source})\s*", "strip_suffix": rf"\s*(?:{source})\s*\Z"}
    try:
        return regex.compile(anchored.get(key, source))
    except regex.error as error:
        raise UserError(f"fields.{key}={given}: not a regular expression: {error}") from error


def strip(text: str, parts: dict[str, str]) -> tuple[str, list[str]]:
    """The text without what each key says, and the keys whose value it does not have."""
    missing = []
    for key, given in parts.items():
        try:
            text, count = compiled(key, given).subn("", text, timeout=SECONDS)
        except TimeoutError:
            raise UserError(
                f"fields.{key}={given}: takes over {SECONDS:g} s on one problem; write a simpler expression"
            ) from None
        if not count:
            missing.append(key)
    return (text.strip() if len(missing) < len(parts) else text), missing
