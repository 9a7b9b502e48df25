"""Converts plain data to frozen dataclasses, with errors that a user can act on.

    from_dict(TrainConfig, {"epochs": 15, ...}, "train")

An unknown key, a missing key, a wrong type or a wrong choice is a `UserError` that names the dotted key,
the value, the allowed ones and the nearest match.

A choice is a `Literal`, or an entry of a registry: `Annotated[str, ENGINES]`.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from limo_ablate.core.errors import UserError
from limo_ablate.core.registry import Registry

T = TypeVar("T")
Converted = dict[tuple[int, Any], tuple[Any, Any]]
"""(id of a mapping, dataclass) -> the mapping, kept alive so that its id stays unique, and the instance."""
LARGEST = 10**308
"""Whole numbers beyond it are no float."""


@dataclass(frozen=True, slots=True)
class Suggested:
    """Marks a text that may name an entry of a registry, behind a prefix too, or be something else.

    `Annotated[str, Suggested(RULES, "-")]`: the class itself says what else is allowed.
    """

    registry: Registry[Any]
    prefix: str = ""


@cache
def hints(cls: Any) -> dict[str, Any]:
    """Name -> type of each field of a dataclass."""
    return get_type_hints(cls, include_extras=True)


@cache
def _required(cls: Any) -> tuple[str, ...]:
    return tuple(f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING)


def nearest(word: str, allowed: Iterable[str]) -> str:
    """`; did you mean X?` if an allowed word is close to `word`, else a full stop."""
    match = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.5)
    return f"; did you mean {match[0]}?" if match else "."


def from_dict(cls: type[T], data: Mapping[str, Any], where: str = "") -> T:
    """An instance of the dataclass `cls`; `where` is the dotted path that errors name its keys under."""
    instance: T = _dataclass(cls, data, where, {})
    return instance


def convert(hint: Any, value: Any, where: str, known: Converted) -> Any:
    """`value` as the type `hint`; a mapping in `known` gives the same instance again."""
    return _convert(hint, value, where, known)


def _dataclass(cls: Any, data: Any, where: str, known: Converted) -> Any:
    if (seen := known.get((id(data), cls))) is not None:
        return seen[1]
    if not isinstance(data, Mapping):
        raise UserError(f"{where or cls.__name__}: expected a mapping, got {data!r}")
    types_ = hints(cls)
    for key in data:
        if key not in types_:
            name = _join(where, key)
            raise UserError(f"{name}: unknown key{nearest(str(key), types_)} Allowed: {', '.join(types_)}")
    if missing := [_join(where, name) for name in _required(cls) if name not in data]:
        raise UserError(f"{', '.join(missing)}: required, but not set")
    values = {key: _convert(types_[key], value, _join(where, key), known) for key, value in data.items()}
    instance = cls(**values)
    known[id(data), cls] = (data, instance)
    return instance


@cache
def _entries(cls: Any) -> tuple[str, ...]:
    """Names that a record has to have."""
    kinds = hints(cls)
    return tuple(
        name for name, kind in kinds.items() if cls.__total__ and get_origin(kind) is not NotRequired
    )


def _typed_dict(cls: Any, data: Any, where: str, known: Converted) -> dict[str, Any]:
    """A record whose known keys are checked; it may have others."""
    if not isinstance(data, Mapping):
        raise _wrong(where, data, "a mapping")
    kinds = hints(cls)
    if missing := [_join(where, name) for name in _entries(cls) if name not in data]:
        raise UserError(f"{', '.join(missing)}: missing")
    return {
        key: _convert(kinds[key], value, _join(where, key), known) if key in kinds else value
        for key, value in data.items()
    }


def _join(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)


@cache
def _parts(hint: Any) -> tuple[Any, tuple[Any, ...], bool]:
    return get_origin(hint), get_args(hint), is_dataclass(hint)


def _convert(hint: Any, value: Any, where: str, known: Converted) -> Any:
    if value.__class__ is hint:
        return value
    origin, args, structured = _parts(hint)
    if structured:
        return _dataclass(hint, value, where, known)
    if is_typeddict(hint):
        return _typed_dict(hint, value, where, known)
    if origin is NotRequired:
        return _convert(args[0], value, where, known)
    if origin in (Union, types.UnionType):
        return _convert_union(args, value, where, known)
    if origin is Literal:
        return _convert_choice(args, value, where)
    if origin is Annotated:
        return _convert_annotated(args, value, where, known)
    if origin is tuple:
        return _convert_tuple(args, value, where, known)
    if origin is list:
        return list(_convert_tuple((args[0], ...), value, where, known))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise _wrong(where, value, "a mapping")
        return {str(k): _convert(args[1], v, _join(where, k), known) for k, v in value.items()}
    return _convert_scalar(hint, value, where)


def _convert_union(args: tuple[Any, ...], value: Any, where: str, known: Converted) -> Any:
    if value is None and type(None) in args:
        return None
    options = [a for a in args if a is not type(None)]
    if len(options) == 1:
        return _convert(options[0], value, where, known)
    dataclasses = [option for option in options if is_dataclass(option)]
    if isinstance(value, Mapping) and len(dataclasses) == 1:
        return _convert(dataclasses[0], value, where, known)
    for option in options:
        try:
            return _convert(option, value, where, known)
        except UserError:
            continue
    raise _wrong(where, value, " or ".join(map(_type_name, options)))


def _type_name(option: Any) -> str:
    if get_origin(option) is tuple:
        return "a list"
    if get_origin(option) is Annotated:
        return _type_name(get_args(option)[0])
    if get_origin(option) is Literal:
        return " or ".join(map(str, get_args(option)))
    return "a mapping" if is_dataclass(option) else getattr(option, "__name__", str(option))


def _convert_choice(allowed: tuple[Any, ...], value: Any, where: str) -> Any:
    if value in allowed:
        return value
    choices = [str(a) for a in allowed]
    raise UserError(
        f"{where}={value}: not a choice{nearest(str(value), choices)} Allowed: {', '.join(choices)}"
    )


def _convert_annotated(args: tuple[Any, ...], value: Any, where: str, known: Converted) -> Any:
    base, mark = args[:2]
    if isinstance(mark, Registry) and not (isinstance(value, str) and value in mark):
        return _convert_choice(tuple(mark.names()), value, where)
    return _convert(base, value, where, known)


def choices(hint: Any) -> list[str] | None:
    """The values that a field of this type may have, as a user writes them; None where any may be."""
    origin, args = get_origin(hint), get_args(hint)
    if hint is bool:
        return ["true", "false"]
    if origin is Literal:
        return [str(value) for value in args]
    if origin is Annotated:
        mark = args[1].registry if isinstance(args[1], Suggested) else args[1]
        return mark.names() if isinstance(mark, Registry) else None
    if origin in (Union, types.UnionType):
        found = [choices(option) for option in args]
        return next((names for names in found if names is not None), None)
    return None


def installed(*configs: Any) -> dict[str, Any]:
    """What a key needs for the entries of other packages that these configurations choose.

    `{"installed": {entry: package, target, digest of its source}}`, or nothing where there are none: what
    decides a result by a registry has it among the inputs of its key.
    """
    found: dict[str, Any] = {}
    for registry, name in (pair for config in configs for pair in _chosen(config)):
        if identity := registry.identity(name):
            found[f"{registry.group}:{name}"] = identity
    return {"installed": found} if found else {}


def _chosen(value: Any) -> Iterator[tuple[Registry[Any], str]]:
    """(registry, name) of everything inside a configuration that is chosen from one."""
    if isinstance(value, Mapping):
        for one in value.values():
            yield from _chosen(one)
    elif isinstance(value, tuple):
        for one in value:
            yield from _chosen(one)
    elif is_dataclass(value) and not isinstance(value, type):
        for name, mark in _marks(value.__class__):
            chosen = getattr(value, name)
            if mark is None:
                yield from _chosen(chosen)
            elif chosen is not None:
                registry = mark.registry if isinstance(mark, Suggested) else mark
                prefix = mark.prefix if isinstance(mark, Suggested) else ""
                yield registry, chosen.removeprefix(prefix)


@cache
def _marks(cls: Any) -> tuple[tuple[str, Registry[Any] | Suggested | None], ...]:
    """Each field of a class, with the registry it is chosen from, if it is."""
    return tuple((name, _mark(hint)) for name, hint in hints(cls).items())


def _mark(hint: Any) -> Registry[Any] | Suggested | None:
    if get_origin(hint) is Annotated:
        mark = get_args(hint)[1]
        return mark if isinstance(mark, Registry | Suggested) else None
    if get_origin(hint) in (Union, types.UnionType):
        return next((mark for option in get_args(hint) if (mark := _mark(option)) is not None), None)
    return None


def _convert_tuple(args: tuple[Any, ...], value: Any, where: str, known: Converted) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong(where, value, "a list")
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(_convert(args[0], v, f"{where}[{i}]", known) for i, v in enumerate(value))
    if len(value) != len(args):
        raise _wrong(where, value, f"a list of {len(args)}")
    pairs = enumerate(zip(args, value, strict=True))
    return tuple(_convert(a, v, f"{where}[{i}]", known) for i, (a, v) in pairs)


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is Any or hint is object:
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST:
        return float(value)
    if hint is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)  # Hydra reads `model.path=7` as a number
    if isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    raise _wrong(where, value, names.get(hint, hint.__name__))


def _wrong(where: str, value: Any, expected: str) -> UserError:
    return UserError(f"{where}{'=' * bool(where)}{value!r}: expected {expected}")
