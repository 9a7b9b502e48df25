"""Charts of a preview as PNG: the funnel, and lengths of solutions by tier."""

from __future__ import annotations

from pathlib import Path

import altair as alt
import polars as pl
import vl_convert

from limo_ablate.report.preview.build import Preview
from limo_ablate.report.theme import LIGHT, config

WIDTH, BAR = 560, 26
"""Width of the plot, and height of a bar with its gap, in pixels."""
SCALE = 2
BLUE = str(LIGHT["colours"][0])
Chart = alt.LayerChart | alt.FacetChart
QUANTILES = {"p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}


def draw(preview: Preview, folder: Path) -> None:
    """Writes funnel.png and, if the pool has solutions with tiers, length_by_tier.png."""
    _save(
        _funnel(preview),
        f"From the pool to the selection ({preview.config.data.name})",
        "",
        folder / "funnel.png",
    )
    lengths = _lengths(preview)
    if not lengths.is_empty():
        title = "Length of solutions by tier"
        _save(
            _length_chart(lengths),
            title,
            "Bars: 25 % to 75 %; lines: 5 % to 95 %; points: median",
            folder / "length_by_tier.png",
        )


def _funnel(preview: Preview) -> Chart:
    steps = preview.selected.funnel.steps
    rows = pl.DataFrame(
        [
            {"step": s.name, "rows": s.rows, "label": f"{s.rows:,} rows, {s.problems:,} problems"}
            for s in steps
        ]
    )
    base = alt.Chart(rows).encode(
        y=alt.Y("step:N", sort=None, title=None, axis=alt.Axis(labelLimit=220)),
        x=alt.X(
            "rows:Q",
            title="rows left",
            scale=alt.Scale(domain=[0, 1.45 * steps[0].rows]),
            axis=alt.Axis(format="," if steps[0].rows < 10_000 else "~s", tickCount=5),
        ),
    )
    bars = base.mark_bar(color=BLUE, height=BAR - 8)
    labels = base.mark_text(align="left", dx=6).encode(text="label:N")
    return alt.layer(bars, labels).properties(width=WIDTH, height=BAR * len(steps))


def _lengths(preview: Preview) -> pl.DataFrame:
    """Quantiles of the lengths of candidates and of chosen rows, for each tier."""
    length = pl.col("length").drop_nulls()
    quantiles = {name: length.quantile(q, "linear") for name, q in QUANTILES.items()}
    parts = []
    for name, frame in (("candidates", preview.selected.candidates), ("chosen", preview.selected.rows)):
        measured = frame.filter(pl.col("length").is_not_null() & pl.col("tier").is_not_null())
        parts.append(measured.group_by("tier").agg(rows=pl.len(), **quantiles).with_columns(of=pl.lit(name)))
    return pl.concat(parts).sort("tier", "of")


def _length_chart(lengths: pl.DataFrame) -> Chart:
    log = lengths["p95"].max() > 20 * max(1.0, lengths["p5"].min())  # type: ignore[operator, type-var]
    scale = alt.Scale(type="log" if log else "linear", zero=not log, nice=True)
    shown = lengths.with_columns(pl.col(list(QUANTILES)).clip(lower_bound=1))
    base = alt.Chart(shown).encode(
        y=alt.Y("tier:N", title=None, sort=None),
        yOffset=alt.YOffset("of:N", sort=["candidates", "chosen"]),
        color=alt.Color("of:N", sort=["candidates", "chosen"], legend=alt.Legend(title=None)),
    )
    title = "words, numbers and symbols of a solution" + (" (log scale)" if log else "")
    layers = [
        base.mark_rule(strokeWidth=1.5).encode(x=alt.X("p5:Q", title=title, scale=scale), x2="p95:Q"),
        base.mark_bar(height=8).encode(x="p25:Q", x2="p75:Q"),
        base.mark_point(filled=True, size=55, stroke="white", strokeWidth=1, opacity=1).encode(x="p50:Q"),
    ]
    return alt.layer(*layers).properties(width=WIDTH, height=2 * BAR * shown["tier"].n_unique())


def _save(chart: Chart, title: str, subtitle: str, path: Path) -> None:
    titled = chart.properties(title=alt.TitleParams(title, subtitle=subtitle or alt.Undefined))
    spec = titled.to_dict() | {"config": config(LIGHT)}
    path.write_bytes(vl_convert.vegalite_to_png(spec, scale=SCALE))
