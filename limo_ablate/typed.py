"""Plain data into frozen dataclasses, with errors a user can act on.

    from_dict(TrainConfig, {"epochs": 15, ...}, "train")

An unknown key, a missing key, a wrong type or a wrong choice is a `UserError` that names the dotted key,
the value, what is allowed and the nearest match.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from limo_ablate.errors import UserError

T = TypeVar("T")


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls)


def nearest(word: str, allowed: Iterable[str]) -> str:
    """`; did you mean X?` when something allowed is close, else a full stop."""
    match = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.5)
    return f"; did you mean {match[0]}?" if match else "."


def from_dict(cls: type[T], data: Mapping[str, Any], where: str = "") -> T:
    """An instance of the dataclass `cls`; `where` is the dotted path its keys are named under."""
    if not isinstance(data, Mapping):
        raise UserError(f"{where or cls.__name__}: expected a mapping, got {data!r}")
    known = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
    for key in data:
        if key not in known:
            name = _join(where, key)
            raise UserError(f"{name}: unknown key{nearest(str(key), known)} Allowed: {', '.join(known)}")
    missing = [
        _join(where, name)
        for name, f in known.items()
        if name not in data and f.default is MISSING and f.default_factory is MISSING
    ]
    if missing:
        raise UserError(f"{', '.join(missing)}: required, but not set")
    hints = _hints(cls)  # type: ignore[arg-type]
    return cls(**{key: _convert(hints[key], value, _join(where, key)) for key, value in data.items()})


def _join(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _convert_union(args, value, where)
    if origin is Literal:
        return _convert_choice(args, value, where)
    if origin is tuple:
        return _convert_tuple(args, value, where)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise _wrong(where, value, "a mapping")
        return {str(k): _convert(args[1], v, _join(where, k)) for k, v in value.items()}
    if is_dataclass(hint):
        return from_dict(hint, value, where)  # type: ignore[arg-type]
    return _convert_scalar(hint, value, where)


def _convert_union(args: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in args:
        return None
    options = [a for a in args if a is not type(None)]
    if len(options) == 1:
        return _convert(options[0], value, where)
    for option in options:
        try:
            return _convert(option, value, where)
        except UserError:
            continue
    raise _wrong(where, value, " or ".join(getattr(o, "__name__", str(o)) for o in options))


def _convert_choice(allowed: tuple[Any, ...], value: Any, where: str) -> Any:
    if value in allowed:
        return value
    choices = [str(a) for a in allowed]
    raise UserError(
        f"{where}={value}: not a choice{nearest(str(value), choices)} Allowed: {', '.join(choices)}"
    )


def _convert_tuple(args: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong(where, value, "a list")
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(_convert(args[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if len(value) != len(args):
        raise _wrong(where, value, f"a list of {len(args)}")
    return tuple(_convert(a, v, f"{where}[{i}]") for i, (a, v) in enumerate(zip(args, value, strict=True)))


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is Any or hint is object:
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)  # `model.path=7` reads as a number
    if isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    raise _wrong(where, value, names.get(hint, hint.__name__))


def _wrong(where: str, value: Any, expected: str) -> UserError:
    return UserError(f"{where}={value!r}: expected {expected}")
