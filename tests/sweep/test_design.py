from pathlib import Path

import pytest

from limo_ablate.errors import UserError
from limo_ablate.sweep.design import SWEEPS, Block, Study, load_study, multirun_study

TEXT = """
name: small
overrides: [data=miniature]
seeds: [0, 1]
blocks:
  - name: grid
    axes: {select.size: [4, 16], select.quality: [L1, L5]}
    overrides: [model=mini_m]
  - name: model
    axes: {model: [mini_s, mini_m]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small.yaml").write_text(TEXT)
    return tmp_path


def load(folder: Path, *extra: str) -> Study:
    return load_study("small", extra, folder)


def test_a_factorial_block_crosses_its_axes() -> None:
    block = Block(name="b", axes={"a": (1, 2), "b": ("x", "y")})
    assert block.points() == [
        {"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"},
    ]  # fmt: skip


def test_an_ofat_block_varies_one_factor_around_its_base() -> None:
    block = Block(name="b", design="ofat", base={"a": 1, "b": "x", "c": 0}, axes={"a": (1, 2), "b": ("y",)})
    assert block.points() == [
        {"a": 1, "b": "x", "c": 0}, {"a": 2, "b": "x", "c": 0}, {"a": 1, "b": "y", "c": 0},
    ]  # fmt: skip


def test_a_study_is_read_from_its_file(folder: Path) -> None:
    study = load(folder)
    assert study.seeds == (0, 1)
    assert study.blocks[0].axes == {"select.size": (4, 16), "select.quality": ("L1", "L5")}
    assert load_study(str(folder / "small.yaml")) == study


@pytest.mark.parametrize("path", sorted(SWEEPS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_studies_that_ship_are_valid_and_named_as_their_files(path: Path) -> None:
    assert load_study(path.stem).name == path.stem


def test_an_extra_override_of_an_axis_replaces_its_levels(folder: Path) -> None:
    for text in ("select.size=64,256", "select.size=[64,256]"):
        grid, model = load(folder, text).blocks
        assert grid.axes["select.size"] == (64, 256)
        assert model == load(folder).blocks[1]


def test_an_extra_override_holds_for_every_cell_and_wins_over_the_blocks(folder: Path) -> None:
    grid, model = load(folder, "model=mini_l", "track=none").blocks
    assert grid.overrides == ("model=mini_m", "model=mini_l", "track=none")
    assert model.axes == {"model": ("mini_l",)}
    assert model.overrides == ("track=none",)


def test_extra_overrides_reach_the_study_itself(folder: Path) -> None:
    study = load(folder, "seeds=[5,6]", "name=other", "ledger='sqlite:///x.db'")
    assert (study.seeds, study.name, study.ledger) == ((5, 6), "other", "sqlite:///x.db")
    assert load(folder, "seeds=7").seeds == (7,)


def test_a_numeral_in_scientific_notation_is_a_number(folder: Path) -> None:
    (folder / "small.yaml").write_text("name: n\nblocks: [{name: b, axes: {train.learning_rate: [1e-5]}}]")
    assert load(folder).blocks[0].axes["train.learning_rate"] == (1e-5,)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seeds:", "seed:", "small.yaml.seed: unknown key; did you mean seeds"),
        ("axes: {model", "axis: {model", r"blocks\[1\].axis: unknown key; did you mean axes"),
        ("seeds: [0, 1]", "seeds: [0, x]", r"seeds\[1\]='x': expected a whole number"),
        ("seeds: [0, 1]", "seeds: []", "seeds is empty"),
        ("[4, 16]", "[]", "axes.select.size has no values"),
        ("name: model", "name: model\n    design: factoral", "did you mean factorial"),
        ("name: model", "name: model\n    design: ofat", "needs base.model"),
        ("name: model", "name: model\n    base: {model: mini_s}", "base belongs to design: ofat"),
        ("name: model", "name: grid", "two blocks are named 'grid'"),
        (
            "seeds: [0, 1]",
            "seeds: [0]\nfigures: [{title: t, block: gird, x: model, line: model, score: mini}]",
            "figure 't' is of block gird, which it has not; did you mean grid",
        ),
        ("axes: {model", "axes: {seed: [1], model", "seed is no factor"),
        ("[data=miniature]", "[data=miniature, seed=1]", "seed is no factor"),
        ("[data=miniature]", "['select.size=4,16']", "what varies belongs into axes"),
        ("[data=miniature]", "[data]", "data: no override"),
        ("name: small", "name: a/b", "name=a/b"),
        ("name: small", "name: [", "not readable as YAML"),
    ],
)
def test_what_is_wrong_in_a_study_is_named(folder: Path, old: str, new: str, said: str) -> None:
    assert old in TEXT
    (folder / "small.yaml").write_text(TEXT.replace(old, new, 1))
    with pytest.raises(UserError, match=said):
        load(folder)


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("seeds=[a]", "seeds are whole numbers"),
        ("train.steps=10,20", "no axis of small; axes: model, select.quality, select.size"),
        ("select.size=[]", "no values"),
    ],
)
def test_what_is_wrong_in_an_extra_override_is_named(folder: Path, extra: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        load(folder, extra)


def test_an_unknown_study_gives_the_nearest(folder: Path) -> None:
    with pytest.raises(UserError, match=r"smal: no such study .* did you mean small"):
        load_study("smal", folder=folder)


def test_a_multirun_is_a_study_of_one_block() -> None:
    study = multirun_study("my run", ["select.size=4,16", "model=mini_s", "seed=0,1"])
    assert study.name == "my-run"
    assert study.seeds == (0, 1)
    assert study.blocks[0].axes == {"select.size": (4, 16)}
    assert study.blocks[0].overrides == ("model=mini_s",)
    assert multirun_study("x", ["seed=3"]).seeds == (3,)
    assert multirun_study("x", []).blocks[0].points() == [{}]
