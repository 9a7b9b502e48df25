"""limo-ablate as a library, by the same code as the verbs: `import limo_ablate as la` has what is here.

>>> study = la.Study("miniature")     # a file of sweeps/, a YAML file, or the folder of a study that has run
>>> study.run()
>>> study.cells().filter(pl.col("score") == "mini")
>>> study.contrasts()

Tables are Polars data frames (`.to_pandas()` makes pandas'). Results, contrasts, curves and figures are read
without torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limo_ablate.core.errors import TrialFailure, UserError
from limo_ablate.core.typed import nearest

if TYPE_CHECKING:
    import altair as alt
    import polars as pl

    from limo_ablate.report.figure_data import FigureData
    from limo_ablate.report.preview.build import Preview
    from limo_ablate.report.study_view import StudyView
    from limo_ablate.study.design import Study as Declaration
    from limo_ablate.sweep.plan.plan import Plan

__all__ = ["Study", "TrialFailure", "UserError", "compare", "run_trial", "select_rows"]


class Study:
    """A study: what is declared, and the results that there are.

    Results are read when they are first asked for, and again after `run` or `refresh`. Raises UserError where
    nothing has been run yet, as `limo-ablate report` would.
    """

    def __init__(self, name: str | Path, *overrides: str) -> None:
        """`name` and `overrides` are those of `limo-ablate sweep`; a folder of a study holds both."""
        self.name, self.overrides = str(name), list(overrides)

    def run(self, *, extend: bool = False, keep_stale: bool = False, trust: bool = False) -> Study:
        """Runs what is missing, as `limo-ablate sweep`. Raises UserError, and TrialFailure where trials
        failed."""
        from limo_ablate.sweep.coordinate import run

        code = run(self.declared, extend=extend, keep_stale=keep_stale, typed=self.overrides, trust=trust)
        self.refresh()
        if code:
            raise TrialFailure(f"{self.name}: the sweep ended with exit code {code}")
        return self

    def refresh(self) -> None:
        """Reads the results again when they are next asked for."""
        self.__dict__.pop("_view", None)

    def plan(self, gpu_memory: float | None = None) -> Plan:
        """What would run, cost, and be detected; `gpu_memory` in bytes. Runs nothing."""
        from limo_ablate.sweep.plan.plan import plan

        return plan(self.declared, gpu_memory, self.overrides)

    @cached_property
    def declared(self) -> Declaration:
        """The declaration with the overrides."""
        from limo_ablate.study.design import load_study
        from limo_ablate.study.folder import STUDY

        file = Path(self.name) / STUDY
        return load_study(str(file) if file.is_file() else self.name, self.overrides)

    @property
    def folder(self) -> Path:
        """The folder of the study's results."""
        from limo_ablate.study.folder import study_folder
        from limo_ablate.trial.compose import compose

        paths = [one for one in self.overrides if one.startswith("paths.")]
        renamed = any(one.startswith("name=") for one in self.overrides)
        name = self.declared.name if renamed or self.name.endswith((".yaml", ".yml")) else self.name
        return study_folder(name, Path(compose(paths).paths.studies))

    def trials(self) -> pl.DataFrame:
        """A row for each finished trial and score: factors, seed, accuracy (0..1) and its standard error over
        problems, shares, tokens, seconds, what was trained."""
        return self._view.table

    def items(self) -> pl.DataFrame:
        """A row for each trial, score and problem: the accuracy (0..1) over its samples."""
        return self._view.answers

    def cells(self) -> pl.DataFrame:
        """A row for each cell and score: mean accuracy over seeds, standard errors over seeds, problems and
        both, and a 95 % interval (`low`, `high`)."""
        return self._view.cells

    def contrasts(self) -> pl.DataFrame:
        """A row for each declared contrast: effect, 95 % interval, p-values, conclusion, and whether it is
        confirmatory. Raises UserError without any."""
        from limo_ablate.report.claims import claims

        if (found := claims(self._view)) is None:
            raise UserError(f"{self.name}: declares no contrast, or no trial has finished")
        return found.rows

    def curve(self, title: str) -> pl.DataFrame:
        """The fitted curves of a declared figure: line, x, accuracy, and a simultaneous 95 % band. Raises
        UserError for a figure without curves."""
        import polars as pl

        data = self._figure(title)
        if data.fits is None:
            raise UserError(f"{title}: no curve; it takes three sizes that all lines have")
        parts = []
        for line, curve in data.fits.curves.items():
            low, high = curve.band()
            columns = {"x": curve.grid, "accuracy": curve.fitted, "low": low, "high": high}
            parts.append(pl.DataFrame(columns).select(pl.lit(line).alias("line"), pl.all()))
        return pl.concat(parts)

    def figure(self, title: str) -> alt.LayerChart | alt.FacetChart:
        """A declared figure as an Altair chart, which notebooks show."""
        from limo_ablate.report.declared.charts import efficiency_chart

        return efficiency_chart(self._figure(title))

    @property
    def figures(self) -> list[str]:
        """Titles of the declared figures; one for each panel of those that have several."""
        return [data.figure.title for data in self._view.panels()]

    def _figure(self, title: str) -> FigureData:
        known = {data.figure.title: data for data in self._view.panels()}
        if title not in known:
            raise UserError(f"{title}: no such figure{nearest(title, known)} Figures: {', '.join(known)}")
        return known[title]

    @cached_property
    def _view(self) -> StudyView:
        from limo_ablate.report.study_view import load

        return load(self.folder)


def run_trial(*overrides: str, folder: str | Path | None = None) -> dict[str, Any]:
    """Runs one trial in this process, as `limo-ablate trial`; returns the content of its metrics.json.

    `folder` is for the trial's files, by default outputs/trials/DATE/TIME; one that exists gets a number.
    Raises UserError and TrialFailure.
    """
    from limo_ablate.core.overrides import parse_overrides
    from limo_ablate.model.train.model_config import may_allow_code
    from limo_ablate.trial.checks import check_alone
    from limo_ablate.trial.compose import compose
    from limo_ablate.trial.identity import TrialLabels
    from limo_ablate.trial.new_folder import new_folder
    from limo_ablate.trial.run import run_trial as run

    may_allow_code()  # the caller's own
    config = compose(list(overrides))
    check_alone(config)
    place = new_folder(Path(folder or f"outputs/trials/{datetime.now():%Y-%m-%d/%H-%M-%S}"))
    cell = {one.key: value for one in parse_overrides(overrides) for value in one.values}
    return run(config, place, TrialLabels(study=None, cell=cell, name=place.name))


def select_rows(*overrides: str) -> Preview:
    """The rows that a trial of these overrides would train on, as `limo-ablate select`: `.selected.rows` are
    they, `.manifest` says of each row of the pool why it was taken or left."""
    from limo_ablate.report.preview.build import build_preview
    from limo_ablate.trial.compose import compose

    return build_preview(compose(list(overrides)))


def compare(a: str, b: str, study: str | Path | None = None, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """How two trials or cells differ, in configuration and scores: what `compare --json` prints."""
    from limo_ablate.report.compare.arms import find_arm
    from limo_ablate.report.compare.cli import study_folders
    from limo_ablate.report.compare.text import as_json

    folders = study_folders(None if study is None else str(study), list(overrides))
    return as_json(find_arm(a, folders), find_arm(b, folders))
