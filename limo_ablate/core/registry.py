"""Registries: the values that a configuration key may have, each listed once and open to other packages.

    SCHEDULES: Registry[Schedule] = Registry(
        "schedule", {"cosine": Entry("limo_ablate.model.train.plan:cosine", "half a cosine, down to 0")}
    )

A field annotated `Annotated[str, SCHEDULES]` is checked against the registry, so the schema, its error text,
the help, the tables of the docs and the report's words all come from this one list. What an entry stands for
is imported when it is first used.

A registry with a `group` also has the Python entry points of that group: any installed package may add to it
(docs/extending.md). Whatever a package adds is part of the key of all that it decides, by the package's
version and the digest of the module's source (`Registry.identity`); our own entries add nothing to any key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from limo_ablate.core.errors import UserError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")
OURS = "limo_ablate."
"""Prefix of our registries' entry-point groups."""


@dataclass(frozen=True, slots=True)
class Entry:
    target: str
    """`module:attribute` of the implementation."""
    about: str
    """One line for help and docs."""
    words: str = ""
    """Name in the report; empty: the entry's own name."""
    package: str | None = None
    """Name and version of the package that adds it; None for our own."""


class Registry(Generic[T]):
    def __init__(self, what: str, builtin: Mapping[str, Entry], group: str | None = None) -> None:
        """`what` names the choice in messages; `group` is the entry-point group, None if closed to
        packages."""
        self.what, self.group = what, group
        self.builtin = dict(builtin)

    def __contains__(self, name: object) -> bool:
        return name in self.builtin or name in self._installed()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def names(self) -> list[str]:
        """All names, our own first. Raises UserError where packages claim the same name."""
        return [*self.builtin, *self._installed()]

    def entry(self, name: str) -> Entry:
        """Raises UserError, which lists the names there are."""
        found = self.builtin.get(name) or self._installed().get(name)
        if found is None:
            raise UserError(f"{self.what} {name}: there is none. Known: {', '.join(self.names())}")
        return found

    def load(self, name: str) -> T:
        """What the entry stands for. Raises UserError where it comes from a package and can't be imported."""
        entry = self.entry(name)
        self._installed()  # refuses a package that claims one of our own names
        module, _, attribute = entry.target.partition(":")
        try:
            loaded: Any = import_module(module)
            for part in attribute.split("."):
                loaded = getattr(loaded, part)
        except Exception as error:
            if entry.package is None:
                raise
            raise UserError(
                f"{self.what} {name}: {entry.target} of {entry.package} can't be imported: "
                f"{type(error).__name__}: {error}"
            ) from error
        made: T = loaded
        return made

    def check_installed(self, name: str) -> None:
        """Raises UserError where the module of another package's entry is missing; imports only packages
        around it."""
        entry = self.entry(name)
        module = entry.target.partition(":")[0]
        if entry.package is None:
            return
        try:
            spec = find_spec(module)
        except ModuleNotFoundError:
            spec = None
        if spec is None:
            raise UserError(f"{self.what} {name}: {entry.package} has no module {module}; install it again")

    def words(self, name: str) -> str:
        """What the report calls it. An entry whose package is not installed here goes by its name."""
        entry = self.builtin.get(name) or self._installed().get(name)
        if entry is None or entry.package is None:
            return (entry and entry.words) or name
        return f"{name} ({entry.package})"

    def identity(self, name: str) -> dict[str, str] | None:
        """What an installed entry adds to the key of all that it decides; None for our own.

        Raises UserError where the module's source can't be read.
        """
        if name in self.builtin or (entry := self._installed().get(name)) is None:
            return None
        assert entry.package is not None
        return {"package": entry.package, "target": entry.target, "source": _source_digest(self, name, entry)}

    def table(self, head: str) -> str:
        """The built-in entries as a table of the docs, `head` above the names."""
        rows = [f"| `{name}` | {entry.about} |" for name, entry in self.builtin.items()]
        return "\n".join([f"| {head} | meaning |", "|---|---|", *rows])

    def _installed(self) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        for point, package in _points(self.group) if self.group else ():
            other = self.builtin.get(point.name) or found.get(point.name)
            if other is not None:
                theirs = other.package or "limo-ablate itself"
                raise UserError(
                    f"{self.what} {point.name}: {package} and {theirs} both provide it (entry points of "
                    f"{self.group}); uninstall one of them, or rename its entry"
                )
            found[point.name] = Entry(point.value, f"from {package}", package=package)
        return found


def adds_entries() -> bool:
    """Whether any other package adds an entry to any registry."""
    return bool(_all_points())


def _points(group: str) -> list[tuple[EntryPoint, str]]:
    return [(point, package) for point, package in _all_points() if point.group == group]


@cache
def _all_points() -> list[tuple[EntryPoint, str]]:
    """The entry points of our groups, each with its package; read once a process."""
    from importlib.metadata import entry_points  # slow, and no completion of a key needs it

    everything = entry_points()
    ours = sorted(group for group in everything.groups if group.startswith(OURS))
    points = [point for group in ours for point in everything.select(group=group)]
    return [(point, f"{point.dist.name} {point.dist.version}" if point.dist else "?") for point in points]


@cache
def _source_digest(registry: Registry[Any], name: str, entry: Entry) -> str:
    module = entry.target.partition(":")[0]
    try:
        spec = find_spec(module)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"no module named {module}")
        return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()[:16]
    except Exception as error:
        raise UserError(
            f"{registry.what} {name}: the source of {module} of {entry.package} can't be read: "
            f"{type(error).__name__}: {error}"
        ) from error
