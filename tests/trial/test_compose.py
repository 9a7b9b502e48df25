"""Every configuration that ships composes into the schema; mistakes are named in one line."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest

from limo_ablate.core.errors import UserError
from limo_ablate.core.project import package_folder
from limo_ablate.trial.compose import compose, compose_trials

CONF = package_folder("conf")
CHOICES: dict[str, list[str]] = {}
"""Group -> its choices."""
for _file in sorted(CONF.glob("*/**/*.yaml")):
    CHOICES.setdefault(str(_file.parent.relative_to(CONF)), []).append(_file.stem)
TOGETHER = (
    ("data", "model", "train", "hardware", "launch", "track", "paths", "debug"),
    ("data/difficulty", "select/contamination", "select/score", "eval/judge", "eval/decoding", "eval/common"),
    ("select", "eval"), ("experiment", "data/teacher"),
)  # fmt: skip
"""Groups that do not depend on each other: the first choices of each are composed together, and so on."""
NEEDS = {"select=limo_800": "data/difficulty=limo", "select=limo_rq5": "data/difficulty=limo"}
"""Selections that go by a band, and what has it."""
PLACES = {"eval/common": "@eval", "eval/decoding": "@eval.benchmarks.mini"}
"""Groups that a protocol places, and where."""


def combined(groups: Sequence[str]) -> list[tuple[str, ...]]:
    columns = [[f"{group}{PLACES.get(group, '')}={name}" for name in CHOICES[group]] for group in groups]
    return [tuple(filter(None, row)) for row in itertools.zip_longest(*columns)]


@pytest.mark.slow
@pytest.mark.parametrize("choices", [row for groups in TOGETHER for row in combined(groups)], ids=" ".join)
def test_every_choice_fits_the_schema(choices: Sequence[str]) -> None:
    compose([*choices, *(NEEDS[choice] for choice in choices if choice in NEEDS)])


def test_every_benchmark_fits_the_schema() -> None:
    placed = [
        f"+{group}@eval.benchmarks.{name}={choice}"
        for name in CHOICES["eval/set"]
        for group, choice in (("eval/set", name), ("eval/decoding", "greedy"))
    ]
    assert {*CHOICES["eval/set"]} < compose(placed).eval.benchmarks.keys()


def test_no_group_is_left_out() -> None:
    assert {group for groups in TOGETHER for group in groups} == CHOICES.keys() - {"eval/set", "local"}


def test_a_pool_of_real_text_turns_the_gate_on_and_an_override_off() -> None:
    assert compose([]).select.contamination.policy == "none"
    assert compose(["data=limo"]).select.contamination.policy == "report"
    assert compose(["data=limo", "select=limo_rq1"]).select.contamination.policy == "drop"
    assert compose(["data=limo", "select/contamination=none"]).select.contamination.policy == "none"


def test_the_seed_feeds_everything_that_draws() -> None:
    config = compose(["seed=7"])
    assert (config.select.seed, config.train.seed, config.eval.seed) == (7, 7, 7)
    assert compose(["seed=7", "select.seed=1"]).select.seed == 1


def test_the_paper_s_settings() -> None:
    v3, v1 = compose(["experiment=limo_v3"]), compose(["experiment=limo_v1"])
    assert (v3.select.size, v3.train.global_batch_size, v3.eval.benchmarks["aime"].samples) == (800, 64, 4)
    assert (v1.select.size, v1.train.global_batch_size, v1.eval.benchmarks["aime"].temperature) == (
        817,
        32,
        0.7,
    )
    for config in (v1, v3):
        assert config.model.path == "Qwen/Qwen2.5-32B-Instruct"
        assert (config.train.learning_rate, config.train.epochs, config.train.max_length) == (5e-6, 15, 16384)
        assert config.eval.system_prompt == config.train.system_prompt
        assert config.eval.benchmarks["math"].temperature == 0


def test_a_command_line_override_wins_over_an_experiment() -> None:
    assert compose(["experiment=limo_v3", "select.size=400", "model=qwen2_5_7b"]).select.size == 400


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("selct.size=4", "selct: unknown key; did you mean select?"),
        ("select.sze=4", "select.sze: unknown key; did you mean size?"),
        ("select.quality=L7", "select.quality=L7: not a choice; .* Allowed: any, L1, L2"),
        ("select.size=many", "select.size='many': expected a whole number"),
        ("model=mini_x", "model=mini_x: not a choice; did you mean mini_"),
        ("model=/tmp/x", "model=/tmp/x: not a choice. For a path: model=local model.path=/tmp/x"),
        ("select.difficulty=hrd", "select.difficulty=hrd is no band .* choose any, easy"),
        ("+select.foo=1", "select.foo: unknown key"),
        ("train.steps=null", "exactly one must be set, 0 are"),
        ("train.lora.rank=4", "train.lora"),
        ("select.size={", "has { without }"),
        ("data.name=é", "quote it: 'data.name=\"é\"'"),
        ("select.size=16,64", "select.size=16,64: several values for one trial; -m runs a trial for each"),
        ("model=null", "model=null: Config group override must be a string or a list"),
    ],
)
def test_mistakes_are_named(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        compose([override])


def test_cells_are_composed_as_each_would_be_alone() -> None:
    cells = [
        [f"model={model}", f"select.size={size}", f"seed={seed}"]
        for model, size, seed in itertools.product(("mini_s", "scratch"), (4, 16), (0, 1))
    ]
    assert compose_trials(cells) == [compose(cell) for cell in cells]


def test_hydra_s_flags_say_what_is_composed(tmp_path: Path) -> None:
    for name, decay in (("config", 0.25), ("other", 0.5)):
        text = f"defaults: [limo_ablate, _self_]\ntrain: {{weight_decay: {decay}}}\n"
        (tmp_path / f"{name}.yaml").write_text(text)
    first, last, other = f"--config-path={tmp_path}", f"--config-dir={tmp_path}", "--config-name=other"
    asked = [[first], [first, other], [last], [last, other, "model=mini_s"], []]
    assert [one.train.weight_decay for one in compose_trials(asked)] == [0.25, 0.5, 0.0, 0.5, 0.0]
    with pytest.raises(UserError, match=r"othr.yaml: no such configuration in .* mean other\? There are: "):
        compose([first, "--config-name=othr"])
    with pytest.raises(UserError, match=r"train.weight_deca: unknown key; did you mean weight_decay"):
        compose([first, other, "train.weight_deca=1"])


def test_a_broken_configuration_of_one_s_own_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("defaults: [limo_ablate, {override nothing: x}, _self_]\n")
    with pytest.raises(UserError, match="In 'config': Could not override 'nothing'"):
        compose([f"--config-path={tmp_path}"])


def test_conf_holds_no_absolute_path() -> None:
    assert not [f for f in Path(CONF).rglob("*.yaml") if ": /" in f.read_text()]
