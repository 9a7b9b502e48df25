"""A study as the report reads it: its declaration as it was run, its trials, its tables and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from limo_ablate.analysis.answers import items
from limo_ablate.analysis.cube import Cube, cube
from limo_ablate.analysis.looks import Look, read_looks
from limo_ablate.analysis.summary import summary
from limo_ablate.analysis.table import table
from limo_ablate.analysis.trials import Trial, best_of_tuning, load_trials, resolved
from limo_ablate.core.files import is_plain_name
from limo_ablate.core.provenance import read_provenance
from limo_ablate.report.figure_data import FigureData, figure_data
from limo_ablate.report.labels import level, score_word
from limo_ablate.study.block import Block
from limo_ablate.study.contrast import SIZE, is_accuracy
from limo_ablate.study.design import Figure, Study, load_study
from limo_ablate.study.folder import IMPORTED, started_in


@dataclass(frozen=True)
class StudyView:
    folder: Path
    study: Study
    trials: list[Trial]
    figures: list[Figure]

    @cached_property
    def done(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.metrics]

    @cached_property
    def failed(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.failure]

    @cached_property
    def counted(self) -> list[Trial]:
        """The finished trials that effects are estimated from: in a tuned block, the best of each point."""
        left_out = {
            trial.name
            for block in self.study.blocks
            if block.tune
            for own in [[trial for trial in self.done if block.name in trial.blocks]]
            for best in [{trial.name for trial in best_of_tuning(own, block)}]
            for trial in own
            if trial.name not in best
        }
        return [trial for trial in self.done if trial.name not in left_out]

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """provenance.json of each finished trial."""
        return [read_provenance(trial.folder) for trial in self.done]

    @cached_property
    def imported(self) -> dict[str, Any] | None:
        """`format` and `files` of the logs that the study was made of; None if it has run here."""
        own = resolved(self.done[0].folder).get(IMPORTED) if self.done else None
        return own if isinstance(own, dict) else None

    @cached_property
    def looks(self) -> list[Look]:
        """The looks that a sequential study has taken."""
        return read_looks(self.folder)

    @cached_property
    def machines(self) -> list[str]:
        """Descriptions of the machines that trials ran on."""
        return sorted({_machine(record["hardware"]) for record in self.records})

    def word(self, *scores: str) -> str:
        """`accuracy` or `score`, see `labels.score_word`; without `scores`, for all of the study."""
        return score_word(self.done, *(scores or self.scores))

    def cube(self, block: Block, score: str, measure: str = "accuracy") -> Cube:
        """Accuracies (or another column of `answers.items`) of the block's counted trials over its axes.

        Raises UserError if there are none."""
        own = [trial for trial in self.counted if block.name in trial.blocks]
        return cube(own, self.answers, list(block.factors()), score, measure)

    @cached_property
    def keys(self) -> list[str]:
        """The factors: keys that differ between cells, in the order of the study's blocks."""
        blocks = self.study.blocks
        keys = dict.fromkeys(key for block in blocks for key in (*block.factors(), *(block.base or {})))
        keys |= dict.fromkeys(key for trial in self.trials for key in trial.overrides if key != "seed")
        return [key for key in keys if len({repr(trial.level_if_any(key)) for trial in self.done}) > 1]

    @cached_property
    def table(self) -> pl.DataFrame:
        """`table.table` of the whole study."""
        return table(self.done)

    @cached_property
    def answers(self) -> pl.DataFrame:
        """`answers.items` of the whole study."""
        return items(self.done, self.study.cluster)

    @cached_property
    def cells(self) -> pl.DataFrame:
        """`summary.summary` by the factors: mean and errors of each cell."""
        return summary(self.table, self.answers, self.keys)

    @cached_property
    def scores(self) -> list[str]:
        """Benchmarks and their groups; the first one is the study's main score."""
        return list(dict.fromkeys(name for trial in self.done for name in (trial.metrics or {})["scores"]))

    def levels(self, cell: Mapping[str, Any]) -> list[str]:
        """A cell's levels as text, in the order of `keys`; dashes for the selection keys of an untuned
        base."""
        nothing = cell.get(SIZE) == 0
        return [
            "–" if nothing and key.startswith("select.") and key != SIZE else level(cell[key], key)
            for key in self.keys
        ]

    def cell_name(self, cell: Mapping[str, Any]) -> str:
        """A cell's levels without those that say nothing: dashes, and what is not set."""
        return ", ".join(text for text in self.levels(cell) if text not in ("–", "none"))

    def data(self, figure: Figure) -> list[FigureData]:
        """The data of each panel of a figure. Raises UserError as `figure_data` does."""
        if figure not in self._data:
            block = next(block for block in self.study.blocks if block.name == figure.block)
            self._data[figure] = list(figure_data(figure, block, self.done, self.answers))
        return self._data[figure]

    @cached_property
    def _data(self) -> dict[Figure, list[FigureData]]:
        return {}

    def panels(self, *, of_accuracy: bool = False) -> Iterator[FigureData]:
        """The panels of all figures that can be drawn, or of those that show accuracy."""
        for figure in self.figures:
            if not of_accuracy or is_accuracy(figure.score):
                with suppress(Exception):  # the report shows the error in the figure's place
                    yield from self.data(figure)

    def score_of(self, block: Block) -> str:
        """The score that the block's first figure of accuracy shows; the study's main one without any."""
        shown = (one.score for one in self.figures if one.block == block.name and is_accuracy(one.score))
        return next(shown, self.scores[0])


def load(folder: Path) -> StudyView:
    """The study in `folder`. Raises UserError if there is none, or it declares a figure of an unknown
    block."""
    trials = load_trials(folder)
    study = load_study(str(folder / "study.yaml"))
    return StudyView(folder, study, trials, list(study.figures))


def _machine(hardware: dict[str, Any]) -> str:
    gpus = [gpu["name"] for gpu in hardware["gpus"]]
    devices = [f"{gpus.count(name)} × {name}" for name in dict.fromkeys(gpus)]
    return ", ".join(
        [f"{hardware['processor']}, {hardware['cores']} cores, {hardware['memory_gib']} GiB", *devices]
    )


def artifact(view: StudyView, trial: Trial, stage: str) -> Path | None:
    """Folder of the trial's artifact of a stage; None if there is none, or it is no longer in the store."""
    entry: dict[str, str] | None = (trial.metrics or {}).get("artifacts", {}).get(stage)
    if entry is None or not is_plain_name(entry["key"]):
        return None
    name, root = stage.partition("/")[0], Path(resolved(trial.folder)["paths"]["artifacts"])
    for base in (Path(), *started_in(view.folder)):
        if (folder := base / root / name / entry["key"]).is_dir():
            return folder
    return None
