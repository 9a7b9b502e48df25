import pytest

from limo_ablate.errors import UserError
from limo_ablate.identity import trial_key
from limo_ablate.sweep.cells import cells
from limo_ablate.sweep.design import Block, Study

SIZE = Block(name="size", axes={"select.size": (4, 16)}, overrides=("model=mini_s", "select.quality=L5"))
TIER = Block(name="tier", axes={"select.quality": ("L1", "L5")}, overrides=("model=mini_s", "select.size=4"))


def study(*blocks: Block, seeds: tuple[int, ...] = (0, 1)) -> Study:
    return Study(name="s", blocks=blocks, overrides=("track=none",), seeds=seeds)


def test_cells_are_named_by_their_levels_and_the_first_seed_comes_first() -> None:
    found = cells(study(Block(name="b", axes={"select.size": (4, 16), "select.quality": ("L1", "L5")})))
    assert [cell.name for cell in found[:4]] == ["size4-L1-s0", "size4-L5-s0", "size16-L1-s0", "size16-L5-s0"]
    assert [cell.seed for cell in found] == [0] * 4 + [1] * 4


def test_a_cell_is_composed_with_its_seed_and_overrides_in_order() -> None:
    cell = cells(study(SIZE))[3]
    assert cell.overrides == ("track=none", "model=mini_s", "select.quality=L5", "select.size=16", "seed=1")
    assert (cell.config.select.size, cell.config.train.seed, cell.config.model.name) == (16, 1, "mini_s")
    assert cell.key == trial_key(cell.config)
    assert cell.levels == {"select.size": 16}
    assert cell.labels("s").cell == {
        "track": "none", "model": "mini_s", "select.quality": "L5", "select.size": 16, "seed": 1,
    }  # fmt: skip


def test_two_blocks_that_ask_for_the_same_trial_share_one_cell() -> None:
    found = cells(study(SIZE, TIER, seeds=(0,)))
    assert [cell.blocks for cell in found] == [("size", "tier"), ("size",), ("tier",)]


def test_names_are_unique_and_so_are_folders() -> None:
    same_levels = [
        Block(name=f"with {model}", axes={"select.size": (4, 16)}, overrides=(f"model={model}",))
        for model in ("mini_s", "mini_m")
    ]
    found = cells(study(*same_levels))
    assert found[0].name == "with_mini_s-size4-s0"
    assert len({cell.name for cell in found}) == len({cell.folder for cell in found}) == 8


def test_a_folder_belongs_to_one_configuration() -> None:
    """The same study with another training length does not write over what it had."""
    before = cells(study(SIZE))[0]
    after = cells(Study(name="s", blocks=(SIZE,), overrides=("track=none", "train.steps=7"), seeds=(0, 1)))[0]
    assert before.name == after.name
    assert before.folder != after.folder


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"select.siz": (4,)}, "select.siz.*did you mean size"),
        ({"select.quality": ("L5", "L7")}, "L7.*did you mean L5"),
        ({"model": ("mini_m", "mini_x")}, "mini_x.*mini_"),
    ],
)
def test_a_typo_in_any_cell_is_named(axes: dict[str, tuple[object, ...]], said: str) -> None:
    with pytest.raises(UserError, match=said):
        cells(study(Block(name="b", axes=axes)))
