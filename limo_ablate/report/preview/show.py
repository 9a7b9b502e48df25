"""Prints a preview: funnel, distributions, flagged pairs, sample rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.table import Table

from limo_ablate.core.terminal import Terminal
from limo_ablate.core.text import counted
from limo_ablate.data.pool.inspection import reading_notes
from limo_ablate.data.pool.load import unused_rows
from limo_ablate.data.select.responses import with_texts
from limo_ablate.report.preview.build import Preview

QUANTILES = (0.05, 0.5, 0.95)
KINDS = ("source", "teacher", "subject", "tier")
SHOWN_KINDS = 8
SHOWN_PAIRS = 10
EVIDENCE = 110
"""Characters shown of the text that a pair shares."""
HEAD, TAIL = 280, 160
"""Characters shown of the beginning and the end of a text."""


def print_selection(preview: Preview, folder: Path, shown: int) -> None:
    console = Terminal(soft_wrap=True)
    _print_rows(console, preview, shown)
    _print_rejected(console, preview)
    console.print(_funnel(preview))
    if preview.selected.rows["response"].null_count() == preview.selected.rows.height:
        console.print("No row has a solution: nothing can be trained on; set data.fields.solution\n")
    _print_unchanged(console, preview)
    console.print(_distributions(preview))
    for line in _kinds(preview):
        console.print(line)
    _print_flags(console, preview)
    console.print(f"\nwritten: {folder}")


def _print_rejected(console: Terminal, preview: Preview) -> None:
    if preview.rejected.height:
        first = preview.rejected.row(0, named=True)
        where = preview.rejected["where"].n_unique()
        console.print(
            f"{counted(where, 'row')} of the source's {preview.counts['rows']} can't be used, such as "
            f"{first['where']}: {first['reason']} (rejected.parquet)\n"
        )
    others = {key: count for key, count in preview.counts.items() if key not in ("rejected", "incomplete")}
    for line in (*unused_rows(others), *reading_notes(preview.config.data)):
        console.print(f"{line}\n")


def _print_unchanged(console: Terminal, preview: Preview) -> None:
    """Prints how many responses the perturbation changed."""
    perturb = preview.config.select.perturb
    if perturb == "none":
        return
    rows = preview.selected.rows
    before = with_texts(rows.drop("text", "response"), preview.pool, lambda text, gold: text)
    same = (rows["response"] == before["response"]).sum()
    console.print(f"perturb={perturb}: {rows.height - same} of {rows.height} responses changed\n")


def _table(title: str, columns: list[str]) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(columns[0], no_wrap=True)
    for column in columns[1:]:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _funnel(preview: Preview) -> Table:
    table = _table("Funnel", ["after", "problems", "rows", "rows removed"])
    before = None
    for step in preview.selected.funnel.steps:
        gone = "" if before is None else str(before - step.rows)
        table.add_row(step.name, str(step.problems), str(step.rows), gone)
        before = step.rows
    return table


def _distributions(preview: Preview) -> Table:
    """5 %, median and 95 % of each numeric column, for candidates and for chosen rows."""
    selected = preview.selected
    table = _table(
        "Distributions: 5 % / median / 95 %", ["", f"candidates ({selected.candidates.height})", "chosen"]
    )
    features = [name for name in preview.config.select.score.weights if name != "elaborated"]
    for name in ("length", "tokens", "level", "pass_rate", "score", *features):
        cells = [_quantiles(frame[name]) for frame in (selected.candidates, selected.rows)]
        if any(cells):
            table.add_row(name, *cells)
    tokens = selected.rows["tokens"].sum()
    if tokens:
        table.caption = f"{tokens} response tokens in {counted(selected.rows.height, 'row')}"
    return table


def _quantiles(values: pl.Series) -> str:
    if values.null_count() == values.len():
        return ""
    return " / ".join(f"{values.quantile(q, 'linear'):.4g}" for q in QUANTILES)


def _kinds(preview: Preview) -> Iterator[str]:
    """Counts of the chosen rows by source, teacher, subject and tier."""
    for kind in KINDS:
        counts = preview.selected.rows[kind].drop_nulls().value_counts(sort=True)
        if counts.height:
            shown = [f"{name} {count}" for name, count in counts.head(SHOWN_KINDS).iter_rows()]
            more = f", and {counts.height - SHOWN_KINDS} more" if counts.height > SHOWN_KINDS else ""
            yield f"{kind}: {', '.join(shown)}{more}"


def _print_flags(console: Terminal, preview: Preview) -> None:
    flags = preview.flags
    if flags is None:
        console.print("contamination: not checked; select/contamination=report turns the gate on")
        return
    problems, pairs = flags["problem"].n_unique(), flags.select("problem", "benchmark", "item").n_unique()
    chosen = flags.filter(pl.col("problem").is_in(preview.selected.rows["problem"].implode()))
    policy = preview.config.select.contamination.policy
    compared = [
        f"{name} ({counted(items, 'item')}{f', {none} unusable rows' if none else ''})"
        for name, (items, none) in preview.benchmarks.items()
    ]
    console.print(f"\nContamination (policy {policy}), compared with {', '.join(compared)}:")
    console.print(
        f"{counted(problems, 'problem')} of the pool flagged, in {counted(pairs, 'pair')} with "
        f"benchmark items; {chosen['problem'].n_unique()} of them chosen"
    )
    for note in preview.gate_notes:
        console.print(f"  {note}")
    if flags.is_empty():
        return
    counts = flags.group_by("benchmark", "method", "n", maintain_order=True).agg(
        pl.col("problem").n_unique().alias("problems"), pl.col("item").n_unique().alias("items")
    )
    table = _table("", ["benchmark", "method", "n", "problems", "items"])
    for count in counts.sort("benchmark", "method", "n").iter_rows():
        table.add_row(*("" if value is None else str(value) for value in count))
    console.print(table)
    alike = flags.group_by("method", "evidence", maintain_order=True).agg(
        pl.col("problem").first(), pl.col("benchmark").first(), pl.col("item").first(), others=pl.len() - 1
    )
    for row in _spread(alike, SHOWN_PAIRS).iter_rows(named=True):
        more = f" and {row['others']} more" if row["others"] else ""
        pair = f"{row['problem']} ~ {row['benchmark']} {row['item']}{more}"
        console.print(f"  {pair} ({row['method']}): {row['evidence'][:EVIDENCE]}")
    console.print(f"  {counted(flags.height, 'flag')} of {counted(pairs, 'pair')}, all in flags.parquet")


def _spread(rows: pl.DataFrame, count: int) -> pl.DataFrame:
    """`count` rows, evenly spaced from first to last."""
    step = max(1, rows.height // max(1, count))
    return rows.gather_every(step).head(count)


def _print_rows(console: Terminal, preview: Preview, shown: int) -> None:
    for row in _spread(preview.selected.rows.with_row_index("place"), shown).iter_rows(named=True):
        facts = [f"{key} {row[key]:.4g}" for key in ("level", "pass_rate", "score") if row[key] is not None]
        kinds = [row[key] for key in ("source", "teacher", "tier") if row[key]]
        console.rule(f"{row['place'] + 1}: {', '.join([row['solution'] or row['problem'], *kinds, *facts])}")
        console.print(_shortened(row["text"]))
        read = f"; read: {row['answer']} ({row['status']} by {row['rule']})" if "status" in row else ""
        console.print(f"gold: {row['gold']}{read}")
        if row["response"] is not None:
            console.print(_shortened(row["response"]))


def _shortened(text: str) -> str:
    return text if len(text) <= HEAD + TAIL + 20 else f"{text[:HEAD]} [...] {text[-TAIL:]}"
