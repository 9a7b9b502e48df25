"""Manifest of a selection: whether each row of the pool was chosen, and why not; difference of two
manifests."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from limo_ablate.core.artifacts import Artifact
from limo_ablate.core.errors import UserError
from limo_ablate.core.terminal import Terminal
from limo_ablate.core.text import counted
from limo_ablate.data.pool.values import digest
from limo_ablate.data.select.selection import Selected

NAME = "manifest.parquet"
SHOWN = 10
ID = ["problem", "solution"]


def manifest(selected: Selected, pool: Artifact, perturb: str) -> pl.DataFrame:
    """problem, solution?, digest, place? (of a chosen row, from 0), step?, reason?; chosen rows first.

    `digest` is that of the solution (as trained on, if chosen), or of the problem if it has no solution.
    """
    chosen = selected.rows.select(*ID, place=pl.int_range(pl.len(), dtype=pl.Int64))
    rows = pl.concat([chosen, selected.funnel.excluded()], how="diagonal")
    solutions = pl.read_parquet(pool.path / "solutions.parquet", columns=["id", "digest"])
    rows = rows.join(solutions, left_on="solution", right_on="id", how="left", maintain_order="left")
    if rows["digest"].null_count():
        problems = pl.read_parquet(pool.path / "problems.parquet", columns=["id", "text"])
        problem_digests = problems.select(problem="id", problem_digest=_digests(problems["text"]))
        rows = rows.join(problem_digests, on="problem", how="left", maintain_order="left")
        rows = rows.with_columns(digest=pl.coalesce("digest", "problem_digest"))
    if perturb != "none":
        trained = selected.rows.select(*ID, trained=_digests(selected.rows["response"]))
        rows = rows.join(trained, on=ID, how="left", maintain_order="left", nulls_equal=True)
        rows = rows.with_columns(digest=pl.coalesce("trained", "digest"))
    return rows.select(*ID, "digest", "place", "step", "reason")


def _digests(texts: pl.Series) -> pl.Series:
    return texts.map_elements(lambda text: digest(text)[:16], return_dtype=pl.String)


def print_difference(first: Path, second: Path) -> None:
    """Prints how two selections differ, row by row with reasons. Raises UserError if one is not a
    manifest."""
    pair = [_read(first), _read(second)]
    rows = pair[0].join(pair[1], on=ID, how="full", coalesce=True, nulls_equal=True, suffix="_b")
    rows = rows.with_columns(a=pl.col("place").is_not_null(), b=pl.col("place_b").is_not_null())
    both = rows.filter(pl.col("a") & pl.col("b"))
    moved = both.filter(pl.col("place") != pl.col("place_b")).height
    console = Terminal(soft_wrap=True)
    console.print(f"A {first}: {rows['a'].sum()} rows chosen of {pair[0].height}")
    console.print(f"B {second}: {rows['b'].sum()} rows chosen of {pair[1].height}")
    console.print(f"in both: {both.height}, of which {moved} at a different place")
    shared = set(rows.filter("a")["problem"]) & set(rows.filter("b")["problem"])
    if len(shared) > both["problem"].n_unique():
        more = len(shared) - both["problem"].n_unique()
        console.print(f"in both with other solutions: {counted(more, 'problem')}")
    _print_only(console, "only in A; in B", rows.filter(pl.col("a") & ~pl.col("b")).sort("place"), "_b")
    _print_only(console, "only in B; in A", rows.filter(~pl.col("a") & pl.col("b")).sort("place_b"), "")
    changed = rows.filter(pl.col("digest") != pl.col("digest_b"))
    if changed.height:
        console.print(f"same id, different text: {changed.height}, such as {changed['solution'][0]}")


def _print_only(console: Terminal, title: str, rows: pl.DataFrame, other: str) -> None:
    console.print(f"{title}: {rows.height}")
    step = pl.col(f"step{other}").fill_null("not in the pool")
    for name, count in rows.group_by(step, maintain_order=True).len().iter_rows():
        console.print(f"  {count:6d}  {name}")
    for row in rows.head(SHOWN).iter_rows(named=True):
        reason = row[f"reason{other}"] or "not in the pool"
        console.print(f"    {row['solution'] or row['problem']}: {reason}")


def _read(path: Path) -> pl.DataFrame:
    file = path / NAME if path.is_dir() else path
    if not file.is_file():
        raise UserError(f"{path} has no {NAME}; give a folder written by `limo-ablate select`")
    try:
        rows = pl.read_parquet(file)
    except pl.exceptions.PolarsError as error:
        raise UserError(f"{file} is not a manifest: it can't be read as parquet") from error
    if missing := {*ID, "digest", "place", "step", "reason"} - set(rows.columns):
        raise UserError(f"{file} is not a manifest: it lacks {', '.join(sorted(missing))}")
    return rows
