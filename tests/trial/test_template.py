"""Configurations out of a template are those that Hydra and OmegaConf make, and so are the errors."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir

from limo_ablate.core.errors import UserError
from limo_ablate.core.project import package_folder
from limo_ablate.trial import compose as composing
from limo_ablate.trial.compose import compose_trials, to_trial
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.identity import trial_key, trial_keys
from limo_ablate.trial.template import NotPlain, Sections, Template

GROUPS = [
    (),
    ("model=mini_s",),
    ("model=qwen2_5_7b",),
    ("experiment=limo_v3",),
    ("experiment=limo_v3", "model=qwen2_5_7b"),
    ("experiment=limo_v1", "hardware=fsdp2", "model=qwen2_5_3b"),
    ("data=limo", "select=limo_rq1", "train=lora", "eval=sober"),
    ("debug=fast", "track=none"),
    ("eval/judge=qwen2_5_7b", "model@eval.judge.model=mini_l"),
]
VALUES = [
    "seed=3", "select.seed=5", "train.seed=null", "select.size=16", "select.size=null", "select.size=0",
    "select.quality=L1", "select.difficulty=hard", "select.difficulty=2.5", "train.learning_rate=1e-4",
    "train.system_prompt=null", "train.system_prompt='Think: step'", "eval.system_prompt=${train.loss}",
    "train.epochs=3", "train.steps=null", "paths.benchmarks=/there", "paths.artifacts=a/${seed}",
    "paths.studies=${paths.artifacts}/x", "track.mode=${oc.env:HOME}", "eval.seed=${select.seed}",
    "eval.batch_size=7", "train.dev={rows: 2, every: 3, keep: best}", "train.dev.rows=4", "train.lora.rank=4",
    "select.score.weights={elaborated: 0.5}", "select.score.weights.elaborated=2", "select.size=many",
    "data.fields={problem: p, answer: null}", "eval.benchmarks.mini.groups={all: [1, 9]}", "select.nothing=1",
    "eval.benchmarks.mini.groups=null", "eval.benchmarks={}", "train.betas=[0.5, 0.6]", "train.betas=[0.5]",
    "train.betas=1", "data.difficulty.bands={mine: [1, 2]}", "select.tokens=match", "train.loss=???",
    "select.perturb=${nowhere}", "select.teacher=${.order}", "select.teacher='\\${order}'", "model.path=7",
    "select.stratify={by: source, shares: equal}", "nothing.at.all=1", "hardware.threads=2", "launch.slots=2",
    "select.seed=${train.seed}", "train.seed=${select.seed}", "data.where={level: [1, 2]}", "seed=x",
]  # fmt: skip


def _by_hydra(overrides: Sequence[str]) -> TrialConfig:
    with initialize_config_dir(str(package_folder("conf")), version_base="1.3"):
        return to_trial(hydra_compose("config", overrides=list(overrides)))


def _outcomes(cells: Sequence[Sequence[str]]) -> list[Any]:
    """Each cell's configuration, or the text of its error."""
    composed, outcomes = composing._Composed(), []
    with composing._hydra():
        for cell in cells:
            try:
                outcomes.append(composed.trial(cell))
            except UserError as error:
                outcomes.append(str(error))
    return outcomes


def _cells(count: int, seed: int) -> list[tuple[str, ...]]:
    draw = random.Random(seed)
    return [(*draw.choice(GROUPS), *draw.sample(VALUES, draw.randint(0, 4))) for _ in range(count)]


def test_every_configuration_and_every_error_is_the_plain_way_s(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [*((value,) for value in VALUES), *_cells(25, seed=0)]
    quick = _outcomes(cells)

    def refuse(*_: object) -> Template:
        raise NotPlain

    monkeypatch.setattr(composing, "Template", refuse)
    plain = _outcomes(cells)
    assert sum(isinstance(outcome, TrialConfig) for outcome in plain) > len(cells) / 3
    for cell, one, other in zip(cells, quick, plain, strict=True):
        assert one == other, cell


def test_many_at_once_are_what_hydra_makes_of_each() -> None:
    drawn = [cell for cell in _cells(40, seed=1) if "data.difficulty" not in str(cell)]  # Hydra wants a +
    cells = [
        cell for cell, made in zip(drawn, _outcomes(drawn), strict=True) if isinstance(made, TrialConfig)
    ]
    for cell, config in zip(cells[:6], compose_trials(cells), strict=False):
        assert config == _by_hydra(cell), cell


def test_a_seed_reaches_what_refers_to_it_unless_that_is_set() -> None:
    cells = [["seed=3"], ["seed=3", "train.seed=1"], ["select.seed=${train.seed}", "train.seed=4"]]
    seeds = [(c.select.seed, c.train.seed, c.eval.seed) for c in compose_trials(cells)]
    assert seeds == [(3, 3, 3), (3, 1, 3), (4, 4, 0)]


def test_an_override_refers_to_what_its_own_cell_has() -> None:
    cells = [[f"hardware={h}", "select.teacher=${hardware.name}"] for h in ("cpu", "cpu2")]
    assert [config.select.teacher for config in compose_trials(cells)] == ["cpu", "cpu2"]


def test_a_choice_in_a_group_that_stands_alone_is_read_without_composing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    composed = []
    original = composing._compose
    monkeypatch.setattr(composing, "_compose", lambda groups: composed.append(groups) or original(groups))
    models = ["mini_s", "mini_m", "mini_l", "qwen2_5_7b", "scratch"]
    names = [c.model.name for c in compose_trials([["experiment=limo_v3", f"model={m}"] for m in models])]
    assert (names, len(composed)) == (models, 1)
    compose_trials([[f"train={t}"] for t in ("limo", "lora")])  # one builds on the other
    assert len(composed) == 3


def test_what_an_override_does_not_reach_is_shared() -> None:
    one, other = compose_trials([["select.size=4"], ["select.size=8", "seed=0"]])
    assert one.data is other.data
    assert one.select.score is other.select.score
    assert one.select is not other.select


def test_a_template_takes_no_part_in_what_is_not_plain() -> None:
    with pytest.raises(NotPlain):
        Template({"select": {}}, Sections())


def test_keys_of_many_are_those_of_each() -> None:
    cells = [["select.size=0"], ["select.size=0", "select.quality=L1"], ["select.size=4"], ["seed=1"]]
    configs = compose_trials(cells)
    keys = trial_keys(configs)
    assert keys == [trial_key(config) for config in configs]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
