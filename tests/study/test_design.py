import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from limo_ablate.core.errors import UserError
from limo_ablate.core.project import package_folder
from limo_ablate.study.budget import Budget
from limo_ablate.study.contrast import Contrast, measured
from limo_ablate.study.design import Block, Figure, Study, load_study, multirun_study
from limo_ablate.study.ledger_url import check_ledger
from limo_ablate.study.planned import planned_trials
from limo_ablate.study.points import points
from limo_ablate.study.search.propose import propose
from limo_ablate.study.search.search import searches

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
    return load_study(str(folder / "small.yaml"), extra)


def test_a_factorial_block_crosses_its_axes() -> None:
    block = Block(name="b", axes={"a": (1, 2), "b": ("x", "y")})
    assert points(block) == [
        {"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"},
    ]  # fmt: skip


def test_an_ofat_block_varies_one_factor_around_its_base() -> None:
    block = Block(name="b", design="ofat", base={"a": 1, "b": "x", "c": 0}, axes={"a": (1, 2), "b": ("y",)})
    assert points(block) == [
        {"a": 1, "b": "x", "c": 0}, {"a": 2, "b": "x", "c": 0}, {"a": 1, "b": "y", "c": 0},
    ]  # fmt: skip


def test_a_study_is_read_from_its_file(folder: Path) -> None:
    study = load(folder)
    assert study.seeds == (0, 1)
    assert study.blocks[0].axes == {"select.size": (4, 16), "select.quality": ("L1", "L5")}
    assert load_study(str(folder / "small.yaml")) == study


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(package_folder("sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_studies_that_ship_are_named_as_their_files_and_compose(path: Path) -> None:
    study = load_study(path.stem, ["seeds=0"])
    assert study.name == path.stem
    assert study.question
    found = [
        *planned_trials(study),
        *(trial for search in searches(study) for trial in propose(search, [], 1)),
    ]
    assert len({trial.name for trial in found}) == len(found) > 0
    known = {block.name for block in study.blocks}
    assert {block for trial in found for block in trial.blocks} == known
    for figure in study.figures:
        assert measured(figure.score)[0].split("/")[0] in found[0].config.eval.benchmarks


WHOLE = """
name: whole
question: everything at once
blocks:
  - name: grid
    axes:
      select.size, train.epochs: [[4, 16], [64, 1]]
      select.order: [random, score]
      select.best: [longest, score]
    when: {select.best: {select.order: score}}
    exclude: [{select.size: 4, select.order: score}]
    seeds: [5, 6]
    overrides: [train.steps=null]
  - name: screen
    design: fractional
    resolution: 3
    axes: {select.size: [4, 64], select.quality: [L1, L5], model: [mini_s, mini_m]}
  - {name: chance, design: random, n: 3, axes: {train.learning_rate: {low: 1e-4, high: 1e-2, log: true}}}
  - name: search
    design: optuna
    sampler: gp
    n: 5
    axes:
      train.learning_rate: {low: 1e-4, high: 1e-2, log: true}
      train.steps: {low: 10, high: 90, step: 20}
    objectives: [{score: mini, direction: maximize}]
    pruner: {rule: wilcoxon}
  - name: tuned
    axes: {select.quality: [L1, L5]}
    tune: {axes: {train.learning_rate: {low: 1e-4, high: 1e-2, log: true}}, n: 3, score: mini/easy}
contrasts: [{name: c, block: screen, factor: model, a: mini_s, b: mini_m, score: mini}]
budget: {gpu_hours: 2}
"""


def test_every_design_is_read_and_written_again(folder: Path) -> None:
    """study.yaml, from which others join and the report is drawn, is the same study."""
    (folder / "whole.yaml").write_text(WHOLE)
    study = load_study(str(folder / "whole.yaml"))
    (folder / "again.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(asdict(study))), sort_keys=False))
    again = load_study(str(folder / "again.yaml"))
    assert again == study
    assert [trial.name for trial in planned_trials(again)] == [trial.name for trial in planned_trials(study)]
    assert searches(again) == searches(study)


def test_seeds_of_a_block_are_whole_replicates_of_it(folder: Path) -> None:
    (folder / "whole.yaml").write_text(WHOLE)
    whole = planned_trials(load_study(str(folder / "whole.yaml")))
    seeds = {(trial.blocks[0], trial.seed) for trial in whole}
    assert seeds == {("grid", 5), ("grid", 6), ("screen", 0), ("chance", 0)}
    asked = planned_trials(load_study(str(folder / "whole.yaml"), ["seeds=3"]))
    assert {trial.seed for trial in asked} == {3}


def test_a_key_that_varies_together_with_others_is_chosen_among_its_levels(folder: Path) -> None:
    (folder / "whole.yaml").write_text(WHOLE)
    grid = load_study(str(folder / "whole.yaml"), ["select.order=random", "train.epochs=16"]).blocks[0]
    assert grid.axes["select.size, train.epochs"] == ([4, 16],)
    assert points(grid) == [{"select.size": 4, "train.epochs": 16, "select.order": "random"}]
    with pytest.raises(UserError, match=r"train\.epochs varies together.*5 is not among its levels.*16, 1"):
        load_study(str(folder / "whole.yaml"), ["train.epochs=16,5"])


def test_a_budget_is_given_on_the_command_line(folder: Path) -> None:
    assert load(folder, "budget.gpu_hours=10").budget == Budget(gpu_hours=10.0)
    (folder / "whole.yaml").write_text(WHOLE)
    both = load_study(str(folder / "whole.yaml"), ["budget.hours=0.5"]).budget
    assert both == Budget(gpu_hours=2.0, hours=0.5)
    assert load_study(str(folder / "whole.yaml"), ["budget=null"]).budget is None


def test_an_extra_override_of_an_axis_replaces_its_levels(folder: Path) -> None:
    for text in ("select.size=64,256", "select.size=[64,256]"):
        grid, model = load(folder, text).blocks
        assert grid.axes["select.size"] == (64, 256)
        assert model == load(folder).blocks[1]


def test_an_extra_override_holds_for_every_trial_and_wins_over_the_blocks(folder: Path) -> None:
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
        ("[model=mini_m]", "[ledger=x]", "ledger is a key of the study, not of its trials"),
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
            "figure 't' names block gird, which does not exist; did you mean grid",
        ),
        ("axes: {model", "axes: {seed: [1], model", "seed can't be a factor"),
        ("[data=miniature]", "[data=miniature, seed=1]", "seed can't be a factor"),
        ("[data=miniature]", "['select.size=4,16']", "what varies belongs in axes"),
        ("[data=miniature]", "[data]", "data: not an override"),
        ("name: small", "name: a/b", "name=a/b"),
        ("name: small", "name: '..'", "name=..: a study's name is a folder's name"),
        ("name: small", f"name: {'x' * 101}", "use at most 100 letters"),
        ("name: small", "name: null", "name=None: expected text"),
        ("seeds: [0, 1]", "seeds: [0, 0]", r"study small: seeds=\[0, 0\]: 0 is listed twice"),
        ("name: model", "name: model\n    seeds: [1, 1]", "block 'model': seeds=.* 1 is listed twice"),
        ("name: model", f"name: {'x' * 101}", "its name has 101 characters"),
        (
            "name: model",
            "name: model\n    overrides: [++model=mini_l]",
            "model is an axis, whose levels hold",
        ),
        ("[data=miniature]", "[++seed=3]", "seed can't be a factor"),
        ("name: small", "name: [", "not readable as YAML"),
        (
            "model: [mini_s, mini_m]",
            "model: {low: 1, hig: 2}",
            "axes.model.hig: unknown key; did you mean high",
        ),
        ("model: [mini_s, mini_m]", "model: 5", r"axes.model=5: expected a list or a mapping"),
        (
            "seeds: [0, 1]",
            "contrasts: [{name: c, block: model, factor: modl, a: mini_s, b: mini_m, score: mini}]",
            "contrast 'c': modl is not an axis; did you mean model",
        ),
        (
            "seeds: [0, 1]",
            "contrasts: [{name: c, block: model, factor: model, a: mini_s, b: mini_x, score: mini}]",
            "contrast 'c': mini_x is not a level of model; levels: mini_s, mini_m",
        ),
        ("name: model", "name: ' grid'", "two blocks are named 'grid'"),
    ],
)
def test_what_is_wrong_in_a_study_is_named(folder: Path, old: str, new: str, said: str) -> None:
    assert old in TEXT
    (folder / "small.yaml").write_text(TEXT.replace(old, new, 1))
    with pytest.raises(UserError, match=said):
        load(folder)


def test_a_contrast_keeps_the_levels_that_are_left(folder: Path) -> None:
    compared = "factor: select.quality, a: L1, b: L5, score: mini, at: {select.size: [4, 16]}"
    text = TEXT + f"contrasts: [{{name: c, block: grid, {compared}}}]\n"
    (folder / "small.yaml").write_text(text)
    (contrast,) = load(folder).contrasts
    assert contrast.at == {"select.size": [4, 16]}
    (contrast,) = load(folder, "select.size=16,64").contrasts
    assert contrast.at == {"select.size": [16]}
    assert load(folder, "select.size=64").contrasts == ()
    assert load(folder, "select.quality=L1,L2").contrasts == ()
    for wrong, said in (
        ("at: {select.size: [4, 8]}", "8 is not a level of select.size; levels: 4, 16"),
        ("at: {select.sise: 4}", "select.sise is not an axis; did you mean select.size"),
        ("at: {select.quality: L1}", "select.quality can be only one of factor, interaction and at"),
    ):
        (folder / "small.yaml").write_text(text.replace("at: {select.size: [4, 16]}", wrong))
        with pytest.raises(UserError, match=said):
            load(folder)


TIERS = TEXT.replace("[L1, L5]", "[L1, L2, L5]")
COMPARED = TIERS + "contrasts: [{name: c, block: grid, score: mini, "


def test_lists_of_levels_are_a_contrast_for_each_pair(folder: Path) -> None:
    def names(compared: str, *overrides: str) -> list[str]:
        (folder / "small.yaml").write_text(f"{COMPARED}factor: select.quality, {compared}}}]\n")
        return [contrast.name for contrast in load(folder, *overrides).contrasts]

    assert names("a: L1, b: [L2, L5]") == ["c: L2 against L1", "c: L5 against L1"]
    assert names("a: [L1, L2, L5], b: [L1, L2, L5]") == [
        "c: L2 against L1", "c: L5 against L1", "c: L5 against L2",
    ]  # fmt: skip
    assert names("a: L1, b: [L2, L5]", "select.quality=L1,L5") == ["c: L5 against L1"]


def test_what_a_contrast_cannot_compare_is_named(folder: Path) -> None:
    tier, size = "factor: select.quality, a: L1, b: L5", "factor: select.size, a: 4, b: 16"
    for wrong, said in (
        ("factor: select.quality, a: [L1], b: [L1]", r"a and b are both \['L1'\]"),
        (
            f"{size}, trend: true",
            "trend needs listed levels of select.size, at least one of .* 4 and 16",
        ),
        (f"{tier}, trend: true", "trend: a=L1 and b=L5 must be numbers above 0"),
        (
            f"{tier}, interaction: {{select.size: [4, 4]}}",
            "interaction names one other axis",
        ),
        (f"{tier}, interaction: {{select.size: [4, 8]}}", "8 is not a level of select.size; levels: 4, 16"),
        (f"{tier}, interaction: {{select.size: 4}}", r"interaction.select.size=4: expected a list"),
        (f"{tier}, interaction: {{select.quality: [L1, L2]}}", "select.quality can be only one of factor"),
        (f"{tier}, score: [mini, mini]", "must name each benchmark or group once"),
        (f"{tier}, score: [mini, mini/hard]", "mini/hard is a part of another score"),
        (f"{tier}, score: [mini/easy, mini/hard.finished]", "a mean is over scores of one kind"),
    ):
        text = f"{COMPARED}{wrong}}}]\n"
        (folder / "small.yaml").write_text(text.replace("score: mini, ", "") if "score" in wrong else text)
        with pytest.raises(UserError, match=said):
            load(folder)


def test_contrasts_of_every_kind_are_read_and_written_again(folder: Path) -> None:
    kinds = (
        "factor: select.size, a: 4, b: 64, trend: true, interaction: {select.quality: [L1, L5]}",
        "factor: select.quality, a: L1, b: [L2, L5], at: {select.size: [4, 16]}",
    )
    text = TIERS.replace("[4, 16]", "[4, 16, 64]", 1)
    rows = [
        f"{{name: c{n}, block: grid, score: [mini/easy, mini/hard], {kind}}}" for n, kind in enumerate(kinds)
    ]
    (folder / "small.yaml").write_text(f"{text}contrasts: [{', '.join(rows)}]\n")
    study = load(folder)
    (folder / "again.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(asdict(study)))))
    assert load_study(str(folder / "again.yaml")) == study
    assert len(study.contrasts) == 3
    assert len(load(folder, "select.size=4,64").contrasts) == 2, "a line needs a level between"
    assert len(load(folder, "select.quality=L1,L2").contrasts) == 1


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ("seeds=[a]", "seeds are whole numbers"),
        ("train.steps=10,20", "not an axis of small; axes: model, select.quality, select.size"),
        ("select.size=[]", "no values"),
        ("seeds=[0,0]", "0 is listed twice"),
        ("++select.size=4", r"select.size is an axis of small; select.size=... without \+ replaces its"),
        ("~model", "model is an axis of small"),
        ("+seeds=[1]", "the seeds are the study's"),
        ("name=null", "name=null: a study has one name"),
        ("name=a,b", "name=a,b: a study has one name"),
        ("name=..", "name=..: a study's name"),
        ("select.size=[", r"select.size=\[: not an override .* has \[ without \]"),
        ("budget.gpu=3", "a budget is set by budget.gpu_hours=NUMBER or budget.hours=NUMBER"),
        ("budget.hours=-1", "budget.hours=-1: must be a positive number"),
    ],
)
def test_what_is_wrong_in_an_extra_override_is_named(folder: Path, extra: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        load(folder, extra)


def test_an_unknown_study_gives_the_nearest(folder: Path) -> None:
    with pytest.raises(UserError, match=r"minature: no such study .* did you mean miniature"):
        load_study("minature")
    with pytest.raises(UserError, match=r"smal.yaml: no such file"):
        load_study(str(folder / "smal.yaml"))


def test_a_multirun_is_a_study_of_one_block() -> None:
    study = multirun_study("my run", ["select.size=4,16", "model=mini_s", "seed=0,1"])
    assert study.name == "my-run"
    assert [multirun_study(name, []).name for name in ("..", ".x", "y" * 101)] == ["multirun", "x", "y" * 100]
    assert study.seeds == (0, 1)
    assert study.blocks[0].axes == {"select.size": (4, 16)}
    assert study.blocks[0].overrides == ("model=mini_s",)
    assert multirun_study("x", ["seed=3"], seed=5).seeds == (3,)
    assert multirun_study("x", ["select.size=4"], seed=5).seeds == (5,)
    assert points(multirun_study("x", []).blocks[0]) == [{}]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:s3cret@host/db", "postgresql://me:s3c/r@et@host/db", "grpc://me:s3cret@host:1",
        "postgresql://me@host/db?password=s3cret",
    ],
)  # fmt: skip
def test_a_password_of_the_ledger_is_refused_and_not_shown(url: str, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    declared = {"name": "s", "blocks": [{"name": "b", "axes": {"select.size": [0]}}]}
    for in_file, extra in ((declared | {"ledger": url}, []), (declared, [f"ledger='{url}'"])):
        path.write_text(yaml.safe_dump(in_file))
        where = f"{path}: " if in_file is not declared else ""
        with pytest.raises(UserError, match=rf"^{where}ledger=.*\*\*\*.*PGPASSWORD or ~/.pgpass") as error:
            load_study(str(path), extra)
        assert "s3c" not in str(error.value)


def test_a_key_anywhere_in_a_study_is_refused_by_its_place(tmp_path: Path) -> None:
    key, path = "hf_" + "aB3" * 12, tmp_path / "s.yaml"
    declared = {"name": "s", "blocks": [{"name": "b", "axes": {"select.size": [0]}}]}
    cases = (
        ({"question": f"is {key} good?"}, [], "s.yaml.question: holds"),
        ({"overrides": [f"track.name={key}"]}, [], r"s.yaml.overrides\[0\] track.name: holds"),
        ({}, [f"track.name={key}"], "^track.name: holds"),
    )
    for more, extra, where in cases:
        path.write_text(yaml.safe_dump(declared | more))
        with pytest.raises(UserError, match=where) as error:
            load_study(str(path), extra)
        assert key not in str(error.value)
    with pytest.raises(UserError, match=r"^track\.name: holds"):
        multirun_study("m", [f"track.name={key}"])


@pytest.mark.parametrize(
    "rest",
    [
        "u:sekret99@db/lab", "u@corp:sekret99@db/lab", "u:it's-sekret99@db/lab",
        "u:" + "sekret99" * 40 + "@db/lab", "db/lab?pass%77ord=sekret99", "u@db/lab?password=sekret99",
    ],
)  # fmt: skip
def test_a_ledger_s_password_is_refused_however_it_is_written(rest: str) -> None:
    with pytest.raises(UserError, match="leave the password out") as error:
        check_ledger(f"postgresql://{rest}")
    assert "sekret99" not in str(error.value)


def test_a_ledger_without_a_password_is_accepted() -> None:
    for url in ("postgresql://u@db:5432/lab", "postgresql:///lab", "sqlite:////a:b@c/d.db", "grpc://h:13000"):
        check_ledger(url)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///file:made?uri=true", "sqlite:///x.db?mode=rwc", "sqlite://", "sqlite:///:memory:",
        "mysql://h/db", "sqlite+pysqlcipher:///x.db", "oracle://h", "x.db", "postgresql://h/db?sslkey=k",
        "postgresql://h/db?options=-c%20x", "postgresql+psycopg://h/db?passfile=p", "grpc://",
    ],
)  # fmt: skip
def test_a_ledger_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="ledger="):
        check_ledger(url)


def test_a_file_that_would_not_end_to_be_read_is_refused(tmp_path: Path) -> None:
    """Aliases of aliases, as a file of others may have; one alias is fine."""
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    for text, said in (
        ("\n".join(levels), "its aliases stand for more than"),
        ("[" * 5000, "nested too deeply|not readable as YAML"),
        ("a: &a [*a]", "nested too deeply"),
    ):
        file = tmp_path / "hostile.yaml"
        file.write_text(text)
        with pytest.raises(UserError, match=said):
            load_study(str(file))
    file.write_bytes(b"name: \xff\xfe")
    with pytest.raises(UserError, match="not readable as YAML"):
        load_study(str(file))


def test_sizes_beyond_any_study_are_refused_before_they_are_made() -> None:
    with pytest.raises(UserError, match="more than 10,000 values"):
        multirun_study("m", ["seed=range(0,1000000000)"])
    levels = list(range(100))
    block = Block(name="b", axes={"select.size": levels, "train.epochs": levels, "select.seed": levels})  # type: ignore[dict-item]
    with pytest.raises(UserError, match="1,000,000 points"):
        points(block)
    with pytest.raises(UserError, match="20,000 seeds"):
        Study(name="s", blocks=(Block(name="b", axes={}),), seeds=tuple(range(20_000)))


CONTRASTED = """
name: c
overrides: [data=miniature]
blocks: [{{name: b, axes: {{{axis}: [4, 64]}}}}]
contrasts: [{{name: c, block: b, factor: {factor}, a: 4, b: 64, score: mini}}]
"""


@pytest.mark.parametrize(
    ("axis", "factor", "said"),
    [
        ("selct.size", "select.size", "block 'b': axes.selct.size: unknown key; did you mean select.size?"),
        ("modle", "model", "block 'b': axes.modle: unknown key; did you mean model?"),
        ("select.size", "select.siez", "contrast 'c': select.siez is not an axis; did you mean select.size?"),
        ("eval.benchmarks.mine.temperature", "select.size", "contrast 'c': select.size is not an axis"),
        ("select.shares.easy", "select.size", "contrast 'c': select.size is not an axis"),
    ],
)
def test_a_mistyped_axis_is_named_before_the_contrast_that_has_it_right(
    axis: str, factor: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "c.yaml").write_text(CONTRASTED.format(axis=axis, factor=factor))
    with pytest.raises(UserError, match=re.escape(said)):
        load_study(str(tmp_path / "c.yaml"))


def test_names_of_contrasts_and_titles_of_figures_are_unique() -> None:
    block = Block(name="b", axes={"select.size": (4, 64)})
    one = Contrast(name="c", block="b", factor="select.size", a=4, b=64, score="mini")
    figure = Figure(title="f", block="b", x="select.size", score="mini")
    with pytest.raises(UserError, match="two contrasts are named 'c'"):
        Study(name="s", blocks=(block,), contrasts=(one, one))
    with pytest.raises(UserError, match="two figures have the title 'f'"):
        Study(name="s", blocks=(block,), figures=(figure, figure))
