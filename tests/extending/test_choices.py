"""A choice stands in one place: what is added to its registry is found wherever it is read."""

from types import SimpleNamespace
from typing import Any

import pytest

from limo_ablate.core import registry as registries
from limo_ablate.core.errors import UserError
from limo_ablate.core.registry import Entry
from limo_ablate.core.typed import choices, convert, hints
from limo_ablate.data.pool.config import FieldsConfig, ProblemsConfig
from limo_ablate.data.pool.schemas import Reading, recognise
from limo_ablate.data.select.config import SelectConfig
from limo_ablate.model.generate.config import ENGINES, EngineConfig
from limo_ablate.model.train.config import TrainConfig
from limo_ablate.report import sections as page
from limo_ablate.report.part_errors import PartErrors
from limo_ablate.report.section import Section
from limo_ablate.study.block import Block, Pruning
from limo_ablate.study.imported.config import ImportConfig
from limo_ablate.trial.compose import compose
from limo_ablate.trial.config import TrackConfig
from limo_ablate.trial.evaluate.config import BenchmarkConfig
from limo_ablate.trial.keys import _type
from limo_ablate.trial.launch_config import LaunchConfig
from tests.extending.build_page import CHOICES, PACKAGE, PAGE, tables
from tests.extending.build_page import page as built

FIELDS = {
    "`eval.engine`": (EngineConfig, "engine"),
    "`eval.benchmarks.NAME.grader`": (BenchmarkConfig, "grader"),
    "`data.source`": (ProblemsConfig, "source"),
    "`launch.executor`": (LaunchConfig, "executor"),
    "`track.kind`": (TrackConfig, "kind"),
    "`select.perturb`": (SelectConfig, "perturb"),
    "`train.schedule`": (TrainConfig, "schedule"),
    "a block's `design`": (Block, "design"),
    "a block's `sampler`": (Block, "sampler"),
    "a pruner's `rule`": (Pruning, "rule"),
    "`format` of imported logs": (ImportConfig, "format"),
}
DUMMY = Entry("tests.extending.test_choices:made", "made for this test", words="a made one")


def made(*_: Any) -> Section:
    return Section("dummy", "Dummy")


def add(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setitem(CHOICES[key].builtin, "dummy", DUMMY)


@pytest.mark.parametrize("key", FIELDS)
def test_an_added_entry_is_found_everywhere(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cls, name = FIELDS[key]
    hint = hints(cls)[name]
    with pytest.raises(UserError, match="not a choice"):
        convert(hint, "dummy", name, {})
    add(monkeypatch, key)
    assert convert(hint, "dummy", name, {}) == "dummy"
    with pytest.raises(UserError, match=rf"^{name}=dumy: not a choice; did you mean dummy\? .*dummy"):
        convert(hint, "dumy", name, {})
    assert "dummy" in (choices(hint) or ())
    assert "dummy" in _type(hint), "help"
    assert "| `dummy` | made for this test |" in tables()
    assert CHOICES[key].words("dummy") == "a made one"
    assert CHOICES[key].load("dummy") is made


def test_an_added_rule_is_found_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    add(monkeypatch, "`select.order`, `select.best`")
    assert compose(["select.order=-dummy"]).select.order == "-dummy"
    with pytest.raises(UserError, match=r"select.best=dumy: not a rule; did you mean dummy\? .*dummy"):
        compose(["select.best=dumy"])
    assert "dummy" in (choices(hints(SelectConfig)["order"]) or ())
    assert "| `dummy` | made for this test |" in tables()


def test_an_added_section_stands_before_the_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = CHOICES["sections of the report"]
    monkeypatch.setattr(registry, "builtin", {"methods": DUMMY})
    add(monkeypatch, "sections of the report")
    order = []
    monkeypatch.setattr(registry, "load", lambda name: lambda view: order.append(name))
    view: Any = SimpleNamespace(imported=None)
    assert list(page.sections(view, PartErrors())) == []
    assert order == ["dummy", "methods"]


def test_an_added_schema_is_tried_like_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "schema of rows, as `data=auto` finds it"
    with pytest.raises(UserError, match=r"none of the known schemas \(preference, .*, columns\)"):
        recognise([{"a": 1}])
    add(monkeypatch, key)
    reading = Reading(FieldsConfig(problem="a", answer="a"))
    load = CHOICES[key].load
    monkeypatch.setattr(
        CHOICES[key], "load", lambda name: (lambda _: reading) if name == "dummy" else load(name)
    )
    assert recognise([{"a": 1}]) == ("dummy", reading)
    assert "| `dummy` | made for this test |" in tables()


def test_every_choice_is_checked_here() -> None:
    others = {
        "`select.order`, `select.best`",
        "sections of the report",
        "schema of rows, as `data=auto` finds it",
    }
    assert set(FIELDS) | others == set(CHOICES)


def test_the_page_has_the_package_and_the_tables_as_they_are() -> None:
    text = PAGE.read_text()
    assert text == built(text), "run: python -m tests.extending.build_page"
    files = [f"{path.relative_to(PACKAGE)}" for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]
    assert [name for name in [*files, "pyproject.toml"] if f"\n# {name}\n" not in text] == []


@pytest.mark.parametrize("registry", CHOICES.values(), ids=CHOICES)
def test_every_built_in_entry_can_be_loaded(registry: registries.Registry[Any]) -> None:
    for name in registry.builtin:
        assert registry.load(name) is not None


def test_an_installed_entry_that_is_gone_goes_by_its_name() -> None:
    assert ENGINES.words("gone") == "gone"
