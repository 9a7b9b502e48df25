import time

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.study.design import Block, Study
from limo_ablate.study.planned import planned_trials, trial_names, trial_specs
from limo_ablate.trial.identity import trial_key

SIZE = Block(name="size", axes={"select.size": (4, 16)}, overrides=("model=mini_s", "select.quality=L5"))
TIER = Block(name="tier", axes={"select.quality": ("L1", "L5")}, overrides=("model=mini_s", "select.size=4"))


def study(*blocks: Block, seeds: tuple[int, ...] = (0, 1)) -> Study:
    return Study(name="s", blocks=blocks, overrides=("track=none",), seeds=seeds)


def test_trials_are_named_by_their_levels_and_the_first_seed_comes_first() -> None:
    found = planned_trials(
        study(Block(name="b", axes={"select.size": (4, 16), "select.quality": ("L1", "L5")}))
    )
    assert [trial.name for trial in found[:4]] == [
        "size4-L1-s0",
        "size4-L5-s0",
        "size16-L1-s0",
        "size16-L5-s0",
    ]
    assert [trial.seed for trial in found] == [0] * 4 + [1] * 4


def test_a_trial_is_composed_with_its_seed_and_overrides_in_order() -> None:
    trial = planned_trials(study(SIZE))[3]
    assert trial.overrides == ("track=none", "model=mini_s", "select.quality=L5", "select.size=16", "seed=1")
    assert (trial.config.select.size, trial.config.train.seed, trial.config.model.name) == (16, 1, "mini_s")
    assert trial.key == trial_key(trial.config)
    assert trial.levels == {"select.size": 16}
    assert trial.labels("s").cell == {
        "track": "none", "model": "mini_s", "select.quality": "L5", "select.size": 16, "seed": 1,
    }  # fmt: skip


def test_two_blocks_that_ask_for_the_same_trial_share_one_trial() -> None:
    found = planned_trials(study(SIZE, TIER, seeds=(0,)))
    assert [trial.blocks for trial in found] == [("size", "tier"), ("size",), ("tier",)]


def test_names_are_unique_and_so_are_folders() -> None:
    same_levels = [
        Block(name=f"with {model}", axes={"select.size": (4, 16)}, overrides=(f"model={model}",))
        for model in ("mini_s", "mini_m")
    ]
    found = planned_trials(study(*same_levels))
    assert found[0].name == "with_mini_s-size4-s0"
    assert len({trial.name for trial in found}) == len({trial.folder for trial in found}) == 8


def test_a_folder_belongs_to_one_configuration() -> None:
    """The same study with another training length does not write over what it had."""
    before = planned_trials(study(SIZE))[0]
    after = planned_trials(
        Study(name="s", blocks=(SIZE,), overrides=("track=none", "train.steps=7"), seeds=(0, 1))
    )[0]
    assert before.name == after.name
    assert before.folder != after.folder


def test_ten_thousand_trials_are_unfolded_and_named_at_once() -> None:
    axes = {
        "a.size": tuple(range(20)),
        "a.tier": ("L1", "L5"),
        "model": tuple("abcde"),
        "rate": tuple(range(10)),
    }
    many = study(Block(name="b", axes=axes), seeds=(0, 1, 2, 3, 4))
    started = time.process_time()
    wanted = list(trial_specs(many))
    named = trial_names(wanted)
    assert time.process_time() - started < 0.6  # measured: 0.1
    assert len(set(named)) == len(wanted) == 10_000
    assert (named[0], wanted[0].overrides[1:]) == (
        "size0-L1-a-rate0-s0",
        ("a.size=0", "a.tier=L1", "model=a", "rate=0", "seed=0"),
    )


def test_names_stay_short_and_unique() -> None:
    long = {f"group.a_key_with_a_long_name_{i}": (0.25, 0.5) for i in range(8)}
    named = trial_names(list(trial_specs(study(Block(name="b", axes=long), seeds=(0,)))))
    assert len(set(named)) == 256
    assert max(map(len, named)) <= 120


def test_levels_of_different_type_have_names_of_their_own() -> None:
    axes = {"a": (1, 1.0, True, "1"), "b": ("x",)}
    named = trial_names(list(trial_specs(study(Block(name="b", axes=axes), seeds=(0,)))))
    assert len(set(named)) == 4


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({"select.siz": (4,)}, "select.siz.*did you mean size"),
        ({"select.quality": ("L5", "L7")}, "L7.*did you mean L5"),
        ({"model": ("mini_m", "mini_x")}, "mini_x.*mini_"),
    ],
)
def test_a_typo_in_any_trial_is_named(axes: dict[str, tuple[object, ...]], said: str) -> None:
    with pytest.raises(UserError, match=said):
        planned_trials(study(Block(name="b", axes=axes)))
