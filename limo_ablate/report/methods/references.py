"""References to cite: entries of references.bib for a study's configuration and analysis."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

ENTRIES = Path(__file__).with_name("references.bib")
ALWAYS = ("limo", "s1", "miller2024", "weerahandi1993", "adamw", "transformers")
"""Cited by every study: the papers it follows, the statistics, the optimiser, the model library."""
NAMED = {
    r"qwen2_5_math.*": ("qwen2_5_math",),
    r"qwen2_5_\d.*": ("qwen2_5",),
    r"r1_distill.*": ("deepseek_r1", "qwen2_5"),
    r"mini_.*|scratch": ("qwen2",),
    r"openthoughts.*": ("openthoughts",),
    r"gsm8k": ("gsm8k",),
    r"math_train|aime_math": ("math",),
    r"math|math500": ("math", "math500"),
    r"minerva": ("minerva",),
    r"olympiadbench": ("olympiadbench",),
    r"olymmath.*": ("olymmath",),
    r"gpqa": ("gpqa",),
}
"""Pattern of a name in `conf/` (model, data, benchmark) -> its sources."""


def entries() -> dict[str, str]:
    """Key -> entry, in the file's order."""
    parts = re.split(r"\n\n+", ENTRIES.read_text(encoding="utf-8").strip())
    return {part[part.index("{") + 1 : part.index(",")]: part for part in parts}


def due(names: Iterable[str], used: Mapping[str, bool]) -> list[str]:
    """The entries to cite: `ALWAYS`, the sources of `names`, and those `used` (key -> whether)."""
    sources = {
        key
        for name in names
        for pattern, keys in NAMED.items()
        if re.fullmatch(pattern, name)
        for key in keys
    }
    wanted = {*ALWAYS, *sources, *(key for key, is_used in used.items() if is_used)}
    return [entry for key, entry in entries().items() if key in wanted]
