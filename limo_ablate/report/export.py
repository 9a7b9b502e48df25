"""A study's cells and contrasts as tables for papers and model cards: LaTeX (booktabs), Markdown, JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from limo_ablate.core.text import counted
from limo_ablate.report.claims import Claims, claims, effect, finding, header, interval, problem_count
from limo_ablate.report.facts import problems, provenance, recipe
from limo_ablate.report.labels import axis, errors_over, level, plus_minus
from limo_ablate.report.result_tables import interval as cell_interval
from limo_ablate.report.section import Table
from limo_ablate.report.study_view import StudyView

CONTRASTS = ["contrast", "compared", "score", "effect (points)", "95 % interval", "adjusted p", "conclusion"]
ERRORS = "In per cent, means over seeds; errors (standard errors) and intervals are {over} (random effects)."
EFFECTS = (
    "Effects in points (hundredths), paired on problems and seeds; intervals and p-values are {over} (random "
    "effects). p-values of the primary contrasts are adjusted by Holm's method."
)
SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "×": r"$\times$",
    "–": "--", "−": "$-$", "<": "$<$", ">": "$>$", "|": "$|$",
}  # fmt: skip
"""What LaTeX would read as a command, and signs that older engines lack."""


def latex(view: StudyView) -> str:
    """Both tables as floats; they need \\usepackage{booktabs}."""
    return "\n\n".join(_latex_table(*one) for one in _tables(view, claims(view)))


def markdown(view: StudyView) -> str:
    return "\n\n".join(
        f"**{title}.** {note}\n\n{_markdown_table(table)}"
        for _, title, note, table in _tables(view, claims(view))
    )


def model_card(view: StudyView) -> str:
    """A section for a model's README: what was compared, the tables, how it was measured, problems."""
    study, found = view.study, claims(view)
    asked = f" It asks: {_cell(study.question)}" if study.question else ""
    seeds = ", ".join(map(str, study.seeds))
    settings = "\n".join(
        f"- {_cell(name)}: {_cell(value)}" for name, value in (*recipe(view), *provenance(view))
    )
    parts = [
        f"## Ablation study {_cell(study.name)}",
        f"{counted(len(view.done), 'trial')} of {len(view.trials)}, seeds {seeds}, run and analysed by "
        f"limo-ablate.{asked}",
        *(
            f"### {title}\n\n{note}\n\n{_markdown_table(table)}"
            for _, title, note, table in _tables(view, found)
        ),
        f"### How it was measured\n\n{settings}",
    ]
    if text := "\n".join(f"- {_cell(problem.text)}" for problem in problems(view)):
        parts.append(f"### Problems\n\n{text}")
    return "\n\n".join(parts)


def facts(view: StudyView) -> dict[str, Any]:
    """Cells, contrasts and problems in JSON types; accuracies from 0 to 1, effects in their `unit`."""
    found = claims(view)
    rows = found.rows.to_dicts() if found else []
    return {
        "study": view.study.name,
        "question": view.study.question,
        "trials": {"finished": len(view.done), "failed": len(view.failed), "all": len(view.trials)},
        "factors": view.keys,
        "cells": view.cells.to_dicts() if view.done else [],
        "contrasts": [{**row, "finding": finding(row)} for row in rows],
        "problems": [problem.text for problem in problems(view)],
    }


def _tables(view: StudyView, found: Claims | None) -> Iterator[tuple[str, str, str, Table]]:
    """(label, title, note, table) of the contrasts, where there are any, and of the cells."""
    if found:
        yield (
            "contrasts",
            "Contrasts",
            EFFECTS.format(over=errors_over(found.rows["seeds"])),
            _contrasts(found, view),
        )
    if view.done:
        note = ERRORS.format(over=errors_over(view.cells["seeds"]))
        yield "cells", f"{view.word().capitalize()} of each cell", note, _cells(view)


def _contrasts(found: Claims, view: StudyView) -> Table:
    rows = []
    for row in found.rows.iter_rows(named=True):
        named = [row["contrast"], row["comparison"], row["score"]]
        if row["effect"] is None:
            rows.append([*named, "–", "–", "–", f"no result: {row['note']}"])
            continue
        if row["problems"] < row["answered"]:
            named[-1] += f" ({problem_count(row)} problems)"
        p = row["p_adj"]
        shown = "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"
        conclusion = f"{row['conclusion']} ({row['kind']})"
        rows.append([*named, effect(row), interval(row, "low", "high"), shown, conclusion])
    return Table(header(view, CONTRASTS), rows, 3)


def _cells(view: StudyView) -> Table:
    """A row for each cell and score."""
    header = [*map(axis, view.keys), "score", "seeds", "problems", view.word(), "95 % interval"]
    rows = [
        [
            *(level(row[key], key) for key in view.keys),
            row["score"],
            str(row["seeds"]),
            str(row["problems"]),
            plus_minus(row["mean"], row["stderr"]),
            "–" if row["low"] is None else cell_interval(row["low"], row["high"]),
        ]
        for row in view.cells.iter_rows(named=True)
    ]
    return Table(header, rows, len(view.keys) + 1)


def _latex_table(label: str, title: str, note: str, table: Table) -> str:
    columns = "l" * table.words + "r" * (len(table.header) - table.words)
    lines = [" & ".join(map(_escaped, row)) + r" \\" for row in (table.header, *table.rows)]
    lines = [f"{{}}{line}" if line[0] in "[*" else line for line in lines]  # the row before would take it
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_escaped(f'{title}. {note}')}}}",
            rf"\label{{tab:{label}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _escaped(text: str) -> str:
    flat = re.sub(r"(?<!\w)-(?=\d)", "−", re.sub(r"\s+", " ", text))
    return "".join(SPECIAL.get(letter, letter) for letter in flat)


def _markdown_table(table: Table) -> str:
    rules = ["---" if place < table.words else "---:" for place in range(len(table.header))]
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in (table.header, rules, *table.rows))


def _cell(text: str) -> str:
    """A name of others can't end its cell, nor begin a link or an element."""
    flat = re.sub(r"\s+", " ", text)
    return re.sub(r"([\\|<>\[\]`*])", r"\\\1", flat) if not set(flat) <= set("[+-.0123456789, ]") else flat


FORMATS = {"markdown": markdown, "latex": latex, "model-card": model_card}
