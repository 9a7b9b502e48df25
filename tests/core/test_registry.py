"""Entry points of other packages: merged lazily, clashes and broken ones refused in one line."""

import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Annotated

import pytest

from limo_ablate.core import registry as module
from limo_ablate.core.errors import UserError
from limo_ablate.core.registry import Entry, Registry
from limo_ablate.core.typed import Suggested, from_dict, installed

GROUP = "limo_ablate.tests"
COLOURS: Registry[str] = Registry("colour", {"red": Entry("string:digits", "the first")}, group=GROUP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paint:
    colour: Annotated[str, COLOURS]
    second: Annotated[str, COLOURS] | None = None
    either: Annotated[str, Suggested(COLOURS, "-")] = "anything"


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    rooms: dict[str, Paint]


@pytest.fixture
def provide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """provide("blue", "paints 1.0", source): a package with that entry, in a module of that source."""
    points: list[tuple[EntryPoint, str]] = []
    monkeypatch.setattr(module, "_all_points", lambda: points)
    monkeypatch.syspath_prepend(str(tmp_path))
    module._source_digest.cache_clear()

    def add(name: str, package: str, source: str = "made = 7\n") -> Path:
        file = tmp_path / f"paints_{len(points)}_{tmp_path.name}.py"
        file.write_text(source)
        points.append((EntryPoint(name, f"{file.stem}:made", GROUP), package))
        return file

    return add


def test_an_installed_entry_is_one_more_choice(provide) -> None:  # type: ignore[no-untyped-def]
    file = provide("blue", "paints 1.0")
    assert COLOURS.names() == ["red", "blue"]
    assert from_dict(Paint, {"colour": "blue"}).colour == "blue"
    assert file.stem not in sys.modules, "it is imported when it is used"
    assert COLOURS.load("blue") == 7  # type: ignore[comparison-overlap]
    assert COLOURS.words("blue") == "blue (paints 1.0)"


def test_two_of_one_name_are_refused(provide) -> None:  # type: ignore[no-untyped-def]
    provide("blue", "paints 1.0")
    provide("blue", "inks 2.0")
    with pytest.raises(
        UserError, match=r"^colour blue: inks 2\.0 and paints 1\.0 both provide it .*uninstall"
    ):
        COLOURS.names()


def test_a_built_in_name_is_not_taken(provide) -> None:  # type: ignore[no-untyped-def]
    provide("red", "paints 1.0")
    with pytest.raises(UserError, match=r"^colour red: paints 1\.0 and limo-ablate itself both provide it"):
        COLOURS.load("red")


def test_a_broken_one_is_an_error_when_it_is_used(provide) -> None:  # type: ignore[no-untyped-def]
    provide("blue", "paints 1.0", "import nothing_of_that_name\n")
    assert from_dict(Paint, {"colour": "blue"}).colour == "blue"
    with pytest.raises(
        UserError, match=r"^colour blue: paints_0.*:made of paints 1\.0 can't be imported: Mod"
    ):
        COLOURS.load("blue")


def test_what_is_installed_and_chosen_is_in_the_key(provide) -> None:  # type: ignore[no-untyped-def]
    file = provide("blue", "paints 1.0")
    ours = House(rooms={"hall": Paint(colour="red", second="red", either="-red")})
    assert installed(ours) == {}
    theirs = House(rooms={"hall": Paint(colour="red", either="-blue")})
    first = installed(theirs)
    assert first["installed"][f"{GROUP}:blue"]["package"] == "paints 1.0"
    assert first == installed(Paint(colour="blue")) == installed(Paint(colour="red", second="blue"))
    file.write_text("made = 8\n")
    module._source_digest.cache_clear()
    assert installed(theirs) != first


def test_a_module_without_source_is_said(provide) -> None:  # type: ignore[no-untyped-def]
    provide("blue", "paints 1.0").unlink()
    with pytest.raises(
        UserError, match=r"^colour blue: the source of paints_0.* of paints 1\.0 can't be read"
    ):
        COLOURS.identity("blue")
