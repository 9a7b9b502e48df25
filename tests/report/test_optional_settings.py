"""Settings of some trials only: each part of the report is drawn, and claims none of them for the others."""

import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import yaml
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from limo_ablate.analysis.trials import Trial, resolved
from limo_ablate.report.methods.protocol import evaluation
from limo_ablate.report.methods.settings import Settings
from limo_ablate.report.part_errors import PartErrors
from limo_ablate.report.parts import ReportParts, draw_parts
from limo_ablate.report.section import Section
from limo_ablate.report.study_view import StudyView, load
from tests.made_study import Making

EXAMPLES = 4
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""Without shrinking, which takes minutes: a case is short as it is."""
NULL = re.compile(r"\bNone\b|\bnone\b|\bnull\b|\bnan\b|\ball or\b")
"""What a sentence must not say: the value of a setting that a trial does not have."""


@dataclass(frozen=True)
class Option:
    """What a trial with the option has, beyond what `Making` gives it."""

    config: dict[str, Any] = field(default_factory=dict)
    score: dict[str, float] = field(default_factory=dict)
    claim: str = ""
    """How the methods tell it, without the share of trials; empty: in other ways."""
    trained: bool = False
    """Whether it is a setting of fine-tuning, of which an untuned base has none."""


OPTIONS = {
    "probe": Option(
        {"eval.probe": {"share": 0.6, "max_tokens": 8}},
        {"probe_exact": 0.1},
        "with the first 60% of their words",
    ),
    "judge": Option(
        {"eval.judge": {"model": {"name": "judge_m"}, "sample": 9}},
        {"judged_accuracy": 0.5, "judge_agreement": 0.9},
        r"A judge \(judge_m\) was asked about undecided answers",
    ),
    "rerun": Option({"eval.rerun_batch_size": 3}, {"flips": 0.0}, "a second time with another batch size"),
    "lora": Option(
        {"train.lora": {"rank": 16, "alpha": 32.0, "quantize": "nf4"}},
        claim=r"LoRA adapters \(rank 16, alpha 32\)", trained=True,
    ),
    "dev": Option(
        {"train.dev": {"rows": 7, "every": 5, "keep": "best"}},
        claim="7 examples were held out to measure a dev loss", trained=True,
    ),
    "epochs": Option({"train.epochs": 3.0, "train.steps": None}, claim="3 epochs", trained=True),
    "tokens": Option({"select.tokens": 5000}, claim="with 5000 response tokens", trained=True),
    "allowed": Option(
        {"select.size": None, "select.tokens": 700},
        claim="as many of them as its token budget allows", trained=True,
    ),
    "drop": Option(
        {"select.contamination.policy": "drop"}, claim="match a benchmark item were excluded"
    ),
    "report": Option(
        {"select.contamination.policy": "report"}, claim="clean items are scored too"
    ),
    "paged": Option({"eval.engine": "paged"}),
    "reference": Option(
        {"data.difficulty.measure": "reference", "select.difficulty": "hard"},
        claim="of difficulty hard by the pass rate of reference models, measured for the study", trained=True,
    ),
    "teacher": Option({"select.teacher": "r1"}, claim="by the teacher r1", trained=True),
    "perturb": Option(
        {"select.perturb": "format_only"}, claim="solutions were changed: format_only", trained=True
    ),
    "ddp": Option({"hardware.processes": 2, "hardware.strategy": "ddp"}, claim="by DDP"),
    "other": Option(
        claim="other: 12 problems, 2 completions each, temperature 0.6, top-p 0.95, at most 99 new tokens"
    ),
    "instead": Option(),
    "no groups": Option(),
    "dev curve": Option(),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    sizes: tuple[int, ...]
    seeds: tuple[int, ...]
    unfinished: bool
    """Whether no trial of the second block has finished."""
    a: frozenset[str]
    b: frozenset[str]
    """Options of the trials of the two blocks."""
    half: bool
    """Whether those of the second block are of one tier alone."""
    nulls: bool
    """Whether the second block has another axis with a null among its levels."""
    declared: bool
    """Whether options are overrides of the trials, not only in their configurations."""

    def chosen(self, blocks: Sequence[str], overrides: dict[str, Any]) -> frozenset[str]:
        """Options of a trial."""
        if "a" in blocks:
            return self.a
        return self.b if overrides["select.quality"] == "L5" or not self.half else frozenset()


options = st.frozensets(st.sampled_from(sorted(OPTIONS)), max_size=6)
cases = st.builds(
    Case,
    sizes=st.sampled_from([(4, 64), (0, 4), (0,)]),
    seeds=st.sampled_from([(0,), (0, 1)]),
    unfinished=st.booleans(),
    a=options,
    b=options,
    half=st.booleans(),
    nulls=st.booleans(),
    declared=st.booleans(),
)


def made(folder: Path, case: Case) -> tuple[StudyView, dict[str, set[str]]]:
    """The study, and the finished trials of each option by name."""
    shared = ["model=mini_m", "select.difficulty=any"]
    blocks = [
        {"name": "a", "axes": {"select.size": list(case.sizes)}, "overrides": [*shared, "select.quality=L4"]},
        {"name": "b", "axes": {"select.quality": ["L1", "L5"]}, "overrides": [*shared, "select.size=16"]},
    ]
    if case.nulls:
        blocks[1]["axes"] |= {"train.global_batch_size": [8, 16], "select.solutions": [None, 2]}
    figures = [
        {"title": "Sizes", "block": "a", "x": "select.size", "line": "select.quality", "score": "mini"},
        {"title": "Tiers", "block": "b", "x": "select.quality", "line": "select.size", "score": "mini"},
    ]
    contrast = {
        "name": "tier",
        "block": "b",
        "factor": "select.quality",
        "a": "L1",
        "b": "L5",
        "score": "mini",
    }
    Making(
        folder, blocks=blocks, figures=figures, contrasts=[contrast], seeds=case.seeds, problems=12,
        failing=lambda asked, seed: case.unfinished and asked["select.size"] == 16,
    ).write()  # fmt: skip
    cells = json.loads((folder / "cells.json").read_text())
    for cell in cells:
        for name in sorted(case.chosen(cell["blocks"], cell["overrides"]), key=list(OPTIONS).index):
            if not (name == "allowed" and cell["overrides"]["select.size"] == 0):
                change(folder / "trials" / cell["folder"], name, cell["overrides"], case.declared)
    (folder / "cells.json").write_text(json.dumps(cells))
    view = load(folder)
    having = {
        name: {t.name for t in view.done if name in case.chosen(t.blocks, t.overrides)} for name in OPTIONS
    }
    return view, having


def change(folder: Path, name: str, overrides: dict[str, Any], declared: bool) -> None:
    """Gives a trial the option."""
    option = OPTIONS[name]
    config = yaml.load((folder / "config.yaml").read_text(), getattr(yaml, "CSafeLoader"))  # noqa: B009, S506
    for key, value in option.config.items():
        *sections, last = key.split(".")
        node = config
        for section in sections:
            node = node[section]
        node[last] = value
        if key in overrides or (declared and not isinstance(value, dict)):
            overrides[key] = value
    if name in ("other", "instead"):
        sampled = {"samples": 2, "temperature": 0.6, "top_p": 0.95, "max_tokens": 99}
        config["eval"]["benchmarks"]["other"] = config["eval"]["benchmarks"]["mini"] | sampled
    if name == "instead":
        del config["eval"]["benchmarks"]["mini"]
    (folder / "config.yaml").write_text(yaml.dump(json.loads(json.dumps(config)), Dumper=yaml.CSafeDumper))
    if (folder / "metrics.json").exists():
        change_results(folder, name, option)


def change_results(folder: Path, name: str, option: Option) -> None:
    metrics = json.loads((folder / "metrics.json").read_text())
    scores = metrics["scores"]
    for score in scores.values():
        score.update(option.score)
    if name == "no groups":
        metrics["scores"] = {key: value for key, value in scores.items() if "/" not in key}
    if name == "report":
        scores["mini/clean"] = scores["mini"] | {"problems": 6}
        verdicts = pl.read_parquet(folder / "verdicts.parquet")
        clean = pl.Series("clean", [place % 2 == 0 for place in range(verdicts.height)])
        verdicts.with_columns(clean).write_parquet(folder / "verdicts.parquet")
    if name in ("other", "instead"):
        scores["other"] = scores["mini"] | {"samples": 2, "pass@2": 0.7, "maj@2": 0.5}
        kept = ["mini"] if name == "other" else []
        metrics["scores"] = {key: value for key, value in scores.items() if key in ("other", *kept)}
        for file in ("verdicts", "completions"):
            own = pl.read_parquet(folder / f"{file}.parquet").with_columns(pl.col("sample").cast(pl.Int64))
            others = [own.with_columns(benchmark=pl.lit("other"), sample=pl.lit(k, pl.Int64)) for k in (0, 1)]
            rows = pl.concat([own, *others]).filter(pl.col("benchmark").is_in(["other", *kept]))
            rows.write_parquet(folder / f"{file}.parquet")
    if name == "dev curve" and metrics["train"]:
        metrics["train"] |= {"dev_rows": 7, "dev_loss": 0.3, "kept_step": 5}
        curve = pl.read_parquet(folder / "curve.parquet")
        losses = pl.when(pl.col("step") % 5 == 0).then(0.3).alias("dev_loss")
        curve.with_columns(losses).write_parquet(folder / "curve.parquet")
    (folder / "metrics.json").write_text(json.dumps(metrics))


@example(
    case=Case(
        (0, 4), (0,), False, frozenset(),
        frozenset({"probe", "judge", "rerun", "lora", "dev", "epochs", "drop", "paged", "allowed", "other"}),
        half=True, nulls=False, declared=False,
    )
)  # fmt: skip
@given(case=cases)
@settings(max_examples=EXAMPLES, deadline=None, phases=PHASES, suppress_health_check=[HealthCheck.too_slow])
def test_what_some_trials_have_is_told_of_these_alone(case: Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        view, having = made(Path(folder) / "made", case)
        errors = PartErrors()
        parts = draw_parts(view, errors)
        assert errors.failed == []
        if view.done:
            check_methods(parts, view, having)
            check_recipe(parts, view)
            check_cells(parts, view)
        resolved.cache_clear()


def check_methods(parts: ReportParts, view: StudyView, having: dict[str, set[str]]) -> None:
    (methods,) = (section for section in parts.sections if section.id == "methods")
    text = " ".join(methods.text[1:])  # the design's levels may be null
    assert not NULL.search(text), NULL.findall(text)
    sized = [t.name for t in view.done if t.level("select.size") != 0]
    for name, option in OPTIONS.items():
        whole = sized if option.trained else [trial.name for trial in view.done]
        own = having[name] & {*whole}
        if not option.claim or hidden(name, having):
            continue
        told = re.search(rf"{option.claim}(?: \(in (\d+) of (\d+) trials\))?", text)
        assert (told is not None) == bool(own), (name, text)
        if told and len(own) < len(whole):
            assert told.groups() == (str(len(own)), str(len(whole))), (name, text)


def hidden(name: str, having: dict[str, set[str]]) -> bool:
    """Whether another option of the study tells the same otherwise."""
    if name in ("other", "instead"):
        return bool(having["instead"])
    keys = OPTIONS[name].config.keys()
    return any(keys & OPTIONS[other].config.keys() for other in OPTIONS if other != name and having[other])


def check_recipe(parts: ReportParts, view: StudyView) -> None:
    """`varied` is said of what differs, a value of what does not."""
    assert isinstance(parts.facts, tuple)
    recipe = dict(parts.facts[0])
    for label, key in {"LoRA": "train.lora", "Epochs": "train.epochs", "Token budget": "select.tokens",
                       "Contamination gate": "select.contamination.policy"}.items():  # fmt: skip
        values = {repr(trial.level_if_any(key)) for trial in view.done}
        expected = "varied" if len(values) > 1 else None if values == {"None"} else values.pop().strip("'")
        assert recipe.get(label) == expected, label


def check_cells(parts: ReportParts, view: StudyView) -> None:
    """Each cell's levels are those of its trials."""
    assert not isinstance(parts.cells, Section | None)
    shown = {tuple(row[: len(view.keys)]) for row in parts.cells.rows}
    assert shown <= {levels(view, trial) for trial in view.done}
    for place, key in enumerate(view.keys):
        assert "all" not in {row[place] for row in shown} or key == "select.size"
        assert "None" not in {row[place] for row in shown}


def levels(view: StudyView, trial: Trial) -> tuple[str, ...]:
    return tuple(view.levels({key: trial.level_if_any(key) for key in view.keys}))


def test_each_engine_is_told(tmp_path: Path) -> None:
    case = Case((4, 64), (0,), False, frozenset(), frozenset(), False, False, False)
    view, _ = made(tmp_path / "made", case)
    names = {"paged": "transformers' continuous batching", "vllm": "vLLM", "transformers": "transformers"}
    for engine, name in names.items():
        for trial in view.done:
            resolved(trial.folder)["eval"]["engine"] = engine
        assert f"Completions were generated by {name}." in evaluation(Settings(view.done))
