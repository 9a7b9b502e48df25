"""Every key of a trial's configuration, with its type, choices and meaning, and the options of every group.

From the schema and the names of the files of `conf/` alone, so that help and completion are quick and work
where a configuration is broken.
"""

from __future__ import annotations

import ast
import inspect
import types
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from limo_ablate.core.project import conf_folders
from limo_ablate.core.typed import Suggested, choices, hints
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.identity import WITHOUT_EFFECT

ANY = "NAME"
"""Stands in a key for a name that is free: `eval.benchmarks.NAME.path`."""


@dataclass(frozen=True, slots=True)
class Key:
    name: str
    """Dotted, as an override has it."""
    hint: Any
    """The field's type."""
    owner: Any
    """The class that it is a field of."""
    in_key: bool | str
    """Whether its value is part of a trial's key; `unless default`: not at its default."""

    @property
    def type(self) -> str:
        """The type in a user's words."""
        return _type(self.hint)

    @property
    def choices(self) -> tuple[str, ...]:
        """Its values, where they are a list."""
        return tuple(choices(self.hint) or ())

    @property
    def meaning(self) -> str:
        """The docstring under the field, as one line; empty where it has none."""
        return _docstrings(self.owner).get(self.name.rpartition(".")[2], "")


@cache
def keys() -> dict[str, Key]:
    """All keys that hold a value, in the order of the schema."""
    return {key.name: key for key in _keys(TrialConfig, "", (), in_key=True)}


def groups() -> dict[str, list[str]]:
    """Group -> its options, those of the user's project first; `data/difficulty` is a group of a group."""
    found: dict[str, list[str]] = {}
    for folder in conf_folders():
        for file in sorted(folder.rglob("*.yaml")):
            group = file.parent.relative_to(folder).as_posix()
            if group != "." and file.stem not in found.setdefault(group, []):
                found[group].append(file.stem)
    return dict(sorted(found.items()))


def is_known(key: str) -> bool:
    """Whether an override may set `key`: a group, a key or the section of some, or what a mapping holds."""
    if key.partition("@")[0] in groups():
        return True
    parts = key.split(".")
    for name, known in keys().items():
        pairs = list(zip(name.split("."), parts, strict=False))
        holds = len(parts) <= len(name.split(".")) or "mapping" in known.type or "any" in known.type
        if holds and all(one in (ANY, part) for one, part in pairs):
            return True
    return False


def _keys(cls: Any, where: str, inside: tuple[Any, ...], *, in_key: bool | str) -> Iterator[Key]:
    """`in_key`: of the section that the keys stand in."""
    for field in fields(cls):
        name, hint = f"{where}{field.name}", hints(cls)[field.name]
        own = name not in WITHOUT_EFFECT and in_key and field.metadata.get("in_key", in_key)
        below = _dataclass(hint)
        if below is None:
            yield Key(name, hint, cls, own)
        elif below[0] not in inside:  # a reference model may be tuned on data with a reference model
            yield from _keys(below[0], f"{name}.{below[1]}", (*inside, cls), in_key=own)


def _dataclass(hint: Any) -> tuple[Any, str] | None:
    """The class whose keys stand below a field of this type, and what is between them."""
    origin, args = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        return hint, ""
    if origin is dict and is_dataclass(args[1]):
        return args[1], f"{ANY}."
    if origin in (Union, types.UnionType):
        return next((found for option in args if (found := _dataclass(option))), None)
    return None


def _type(hint: Any) -> str:
    """A type in a user's words."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        values = "|".join(choices(hint) or [_type(args[0])])
        return f"{values}|text" if isinstance(args[1], Suggested) else values
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(_type, args)))
    if origin is tuple:
        return "list"
    if (listed := choices(hint)) is not None:
        return "|".join(listed)
    names = {int: "integer", float: "number", str: "text", type(None): "null"}
    return names.get(hint, "mapping" if origin is dict else "any")


@cache
def _docstrings(cls: Any) -> dict[str, str]:
    """Field -> its docstring, of a class and those it inherits from."""
    found: dict[str, str] = {}
    for owner in reversed(cls.__mro__):
        if "__dataclass_fields__" not in vars(owner):
            continue
        body = ast.parse(inspect.cleandoc(inspect.getsource(owner))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                name, value = ast.unparse(field.target), ast.literal_eval(text.value)
                found[name] = " ".join(str(value).split())
    return found
