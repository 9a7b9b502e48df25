"""Colours and fonts of the charts, light and dark; the page's style sheet uses the same."""

from __future__ import annotations

from typing import Any

FONT = "system-ui, 'Helvetica Neue', Helvetica, Arial, sans-serif"
SHAPES = [
    "circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right", "triangle-left",
]  # fmt: skip

# Okabe and Ito's colours (distinguishable with any colour vision), darkened or lightened until thin lines and
# small text in them are legible on the background.
LIGHT = {
    "background": "#ffffff", "text": "#1f2328", "muted": "#59636e", "grid": "#e4e7eb",
    "colours": ["#0072b2", "#c44e00", "#00805d", "#b4508a", "#946200", "#2487c0", "#6a51a3", "#6b6b6b"],
    "heat": ["#f4f8fb", "#c3dcee", "#6aaed6"], "diverging": ["#eda35f", "#f7f7f7", "#7db8e0"],
}  # fmt: skip
DARK = {
    "background": "#14181d", "text": "#e6edf3", "muted": "#9aa5b1", "grid": "#2b323a",
    "colours": ["#56b4e9", "#f28e2b", "#2cc295", "#e39ac4", "#f0c94a", "#9ecae1", "#b3a2e0", "#bdbdbd"],
    "heat": ["#1b222a", "#1f4262", "#236a9f"], "diverging": ["#96551a", "#20262d", "#236a9f"],
}  # fmt: skip


def config(palette: dict[str, Any]) -> dict[str, Any]:
    """Vega-Lite's `config` for a palette."""
    return {
        "background": palette["background"],
        "font": FONT,
        "range": {
            "category": palette["colours"], "symbol": SHAPES,
            # of both the text's colour is legible on every shade
            "heatmap": palette["heat"], "diverging": palette["diverging"],
        },
        "style": {"published": {"color": palette["muted"]}, "muted": {"color": palette["muted"]}},
        "view": {"stroke": None},
        "title": {
            "color": palette["text"], "fontSize": 16, "fontWeight": 600, "anchor": "start", "offset": 14,
            "subtitleColor": palette["muted"], "subtitleFontSize": 12, "subtitlePadding": 5,
        },
        "axis": {
            "labelColor": palette["text"], "titleColor": palette["text"], "labelFontSize": 12,
            "titleFontSize": 13, "titleFontWeight": 500, "titlePadding": 10, "labelPadding": 6,
            "gridColor": palette["grid"], "domainColor": palette["muted"], "tickColor": palette["muted"],
        },
        "axisX": {"grid": False},
        "axisY": {"domain": False, "ticks": False},
        "legend": {
            "labelColor": palette["text"], "titleColor": palette["text"], "labelFontSize": 12,
            "titleFontSize": 12, "titleFontWeight": 500, "symbolSize": 80, "titleLimit": 0, "orient": "top",
        },
        "text": {"color": palette["text"], "fontSize": 12},
        "rule": {"color": palette["muted"]},
    }  # fmt: skip
