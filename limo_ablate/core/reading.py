"""Reads JSON and YAML that others may have written: bounded, checked, and refused in one line.

A study's folder, a store and a ledger may come from somebody else. Whatever of them is read as JSON or YAML
is read here: no pipe or device, at most `LARGEST` bytes, `DEEPEST` levels, and of the expected type.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from limo_ablate.core.errors import UserError
from limo_ablate.core.files import open_plain
from limo_ablate.core.typed import convert

LARGEST = 64 << 20
"""Bytes of a file: many times what a trial or a study of thousands of trials records."""
LARGEST_YAML = 4 << 20
"""The same for YAML, which takes a hundred times as long to read."""
DEEPEST = 100
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
"""Half of a character that needs two: it can't be printed or written."""


def read_text(path: Path, largest: int = LARGEST) -> str:
    """The text of a file. Raises FileNotFoundError, and UserError where it can't be used."""
    try:
        with open_plain(path) as file:
            size = os.fstat(file.fileno()).st_size  # a buffer of the largest size is not always to be had
            content = file.read(min(size, largest) + 1)
    except NotADirectoryError as error:
        raise FileNotFoundError(*error.args) from error
    if len(content) > largest:
        raise _unreadable(path, f"it has more than {largest >> 20} MiB")
    try:
        return str(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise _unreadable(path, f"byte {error.start} is not UTF-8") from error


def read_json(path: Path, kind: Any = dict[str, Any]) -> Any:
    """The content of a JSON file as the type `kind`, see `core.typed`. Raises as `read_text` does."""
    return parse_json(read_text(path), path, kind)


def parse_json(text: str | bytes, where: Path | str, kind: Any = dict[str, Any]) -> Any:
    """JSON text as the type `kind`; `where` is named in the UserError for what can't be used."""
    try:
        content = json.loads(text)
        if isinstance(text, str) and SURROGATE.search(text):
            json.dumps(content, ensure_ascii=False).encode()
        _check_depth(content)
    except RecursionError as error:
        raise _unreadable(where, "nested too deeply") from error
    except ValueError as error:
        raise _unreadable(where, f"not JSON: {error}") from error
    return checked(content, where, kind)


def _check_depth(content: Any) -> None:
    level = [content]
    for _ in range(DEEPEST):
        parts = (node.values() if isinstance(node, dict) else node for node in level if _is_nested(node))
        if not (level := [part for one in parts for part in one if _is_nested(part)]):
            return
    raise RecursionError


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict | list)


def read_yaml(path: Path, kind: Any = dict[str, Any]) -> Any:
    """The content of a YAML file that limo-ablate has written, so without aliases, as the type `kind`.

    Raises as `read_text` does.
    """
    import yaml

    text, loader = read_text(path, LARGEST_YAML), getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _check_nesting(path, yaml.parse(text, loader))
        content = yaml.load(text, loader)  # noqa: S506 (both are safe)
    except (yaml.YAMLError, ValueError, OverflowError, AttributeError, RecursionError) as error:
        raise _unreadable(path, f"not YAML: {error}") from error
    return checked(content, path, kind)


def _check_nesting(path: Path, events: Any) -> None:
    """LibYAML's loader crashes where nesting never ends."""
    import yaml

    depth = 0
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise _unreadable(path, "nested too deeply")
        if isinstance(event, yaml.AliasEvent):
            raise _unreadable(path, "it has an alias")


def checked(content: Any, where: Path | str, kind: Any) -> Any:
    """`content` as the type `kind`. Raises UserError with what is wrong and where."""
    try:
        return convert(kind, content, "", {})
    except UserError as error:
        raise _unreadable(where, " ".join(str(error).split())[:300]) from error


def _unreadable(where: Path | str, why: object) -> UserError:
    reason = " ".join(str(why).split())[:300]
    return UserError(
        f"{where}: can't be read: {reason}; limo-ablate did not write it like this: restore it, or remove it"
    )
