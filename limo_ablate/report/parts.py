"""The parts of the report, each drawn in isolation: what a page shows, and the files of its charts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from limo_ablate.core.errors import UserError
from limo_ablate.report.browser import PackedCompletions, pack_completions
from limo_ablate.report.claims import Claims, claims
from limo_ablate.report.declared.charts import efficiency_chart, note
from limo_ablate.report.facts import Problem, extremes, glance, problems, provenance, recipe
from limo_ablate.report.figure_findings import finding
from limo_ablate.report.labels import errors_over
from limo_ablate.report.part_errors import PartErrors
from limo_ablate.report.picture_files import picture_files
from limo_ablate.report.result_tables import cell_table, figure_table
from limo_ablate.report.section import Chart, Section, Table, failed_section, slug
from limo_ablate.report.sections import sections
from limo_ablate.report.study_view import StudyView
from limo_ablate.study.design import Figure

Facts = list[tuple[str, str]]
RECIPE = "Configuration and provenance"
INTERVALS = "[95 % intervals]"
LOOKED_AT = "[Intervals], of 95 % unless another level is given,"


@dataclass(frozen=True, slots=True)
class ReportParts:
    """A part that does not apply is None; one that could not be drawn is a section with its error."""

    tiles: Facts
    problems: list[Problem]
    extremes: str | None
    """What came out, where neither contrasts nor figures say so."""
    claims: Claims | Section | None
    figures: list[Chart]
    """Charts of the declared figures."""
    sections: list[Section]
    cells: Table | Section | None
    completions: PackedCompletions | Section | None
    facts: tuple[Facts, Facts] | Section | None
    """Configuration and provenance."""
    errors_over: str
    """What errors and intervals are over."""
    intervals: str
    """What the brackets of what came out are."""

    @property
    def said(self) -> list[str]:
        """What the page begins with, as lines: a sentence for each contrast and each declared figure, how
        to read them, and the problems."""
        findings = self.claims.findings if isinstance(self.claims, Claims) else []
        findings = [*findings, *((figure.title, figure.finding) for figure in self.figures)]
        findings += [("All cells", self.extremes)] if self.extremes else []
        lines = ["What came out:", *(f"- {name}: {one}" for name, one in findings)]
        lines += [self.how_to_read] if self.how_to_read else []
        problems = [f"- {problem.text}" for problem in self.problems]
        return [*(lines if findings else ()), *(("Problems:", *problems) if problems else ())]

    @property
    def how_to_read(self) -> str:
        """What the intervals and errors of what came out are, and what its contrasts may claim; empty
        where no result has any."""
        if not self.cells:
            return ""
        tested = self.claims if isinstance(self.claims, Claims) else None
        bracketed = tested or any("[" in figure.finding for figure in self.figures)
        text = f"{f'{self.intervals} and ' if bracketed else ''}± standard errors are {self.errors_over}."
        return f"{text} Only the contrasts are tested. {tested.section.text[0]}" if tested else text

    @property
    def charts(self) -> list[Chart]:
        """All charts, also those without a specification."""
        of_claims = self.claims.section.charts if isinstance(self.claims, Claims) else ()
        return [*of_claims, *self.figures, *(chart for part in self.sections for chart in part.charts)]


def report_parts(view: StudyView, errors: PartErrors) -> tuple[ReportParts, dict[str, bytes]]:
    """The parts of the report, and the files of its charts: name -> content."""
    return _rendered(draw_parts(view, errors), errors)


def draw_parts(view: StudyView, errors: PartErrors) -> ReportParts:
    """The parts with specifications of their charts, which are not rendered yet."""
    figures = [
        errors.isolate(f"Figure '{figure.title}'", partial(_figure, view, figure), partial(_undrawn, figure))
        for figure in view.figures
    ]

    def part(id: str, title: str) -> partial[Section]:
        return partial(failed_section, id, title)

    return ReportParts(
        tiles=errors.isolate("Headline", lambda: glance(view), lambda error: [("–", error)]),
        problems=errors.isolate("Problems", lambda: problems(view), lambda error: [Problem(error)]),
        extremes=errors.isolate("What came out", lambda: extremes(view), lambda error: error),
        claims=errors.isolate("Contrasts", lambda: claims(view), part("claims", "Contrasts")),
        figures=[chart for charts in figures for chart in charts],
        sections=list(sections(view, errors)),
        cells=errors.isolate("All cells", lambda: _cells(view), part("cells", "All cells")),
        completions=errors.isolate(
            "Completions", lambda: pack_completions(view), part("completions", "Completions")
        ),
        facts=errors.isolate(RECIPE, lambda: _facts(view), part("recipe", RECIPE)),
        errors_over=errors_over(view.cells["seeds"] if view.done else ()),
        intervals=LOOKED_AT if view.study.stop else INTERVALS,
    )


def _figure(view: StudyView, figure: Figure) -> list[Chart]:
    """The charts of a declared figure, one for each panel; if declared wrongly, one chart that says so."""
    try:
        panels = [
            Chart(
                slug(data.figure.title),
                data.figure.title,
                finding(data),
                note(data),
                efficiency_chart(data).to_dict(),
                figure_table(data),
            )
            for data in view.data(figure)
        ]
    except UserError as error:
        return _undrawn(figure, f"{error}")
    return panels or [Chart(slug(figure.title), figure.title, "None of its trials has a result.")]


def _undrawn(figure: Figure, error: str) -> list[Chart]:
    return [Chart(slug(figure.title), figure.title, f"This figure can't be drawn: {error}")]


def _cells(view: StudyView) -> Table | None:
    return cell_table(view) if view.done else None


def _facts(view: StudyView) -> tuple[Facts, Facts] | None:
    return (recipe(view), provenance(view)) if view.done else None


def _rendered(parts: ReportParts, errors: PartErrors) -> tuple[ReportParts, dict[str, bytes]]:
    """The parts, in which charts that can't be rendered say so, and the files of all others."""
    files: dict[str, bytes] = {}

    def render(chart: Chart) -> Chart:
        if chart.spec:
            files.update(picture_files(chart))
        return chart

    def checked(charts: Sequence[Chart]) -> list[Chart]:
        return [
            errors.isolate(f"Chart '{chart.title}'", partial(render, chart), partial(_unrendered, chart))
            for chart in charts
        ]

    def redrawn(section: Section) -> Section:
        return replace(section, charts=tuple(checked(section.charts)))

    of_claims = parts.claims
    if isinstance(of_claims, Claims):
        of_claims = replace(of_claims, section=redrawn(of_claims.section))
    figures, others = checked(parts.figures), list(map(redrawn, parts.sections))
    return replace(parts, claims=of_claims, figures=figures, sections=others), files


def _unrendered(chart: Chart, error: str) -> Chart:
    return replace(chart, spec=None, finding=f"This chart can't be drawn: {error}")
