"""What to cite: entries of references.bib that a study's configuration and analysis make due."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

ENTRIES = Path(__file__).with_name("references.bib")
ALWAYS = ("limo", "s1", "miller2024", "weerahandi1993", "adamw", "transformers")
"""The line of work, the statistics, the optimiser, what loads the models."""
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
"""Name of a model, data set or benchmark in `conf/` -> what it is from."""


def entries() -> dict[str, str]:
    """Key -> entry, as it stands in the file and in its order."""
    parts = re.split(r"\n\n+", ENTRIES.read_text(encoding="utf-8").strip())
    return {part[part.index("{") + 1 : part.index(",")]: part for part in parts}


def due(names: Iterable[str], used: Mapping[str, bool]) -> list[str]:
    """The entries to cite: `ALWAYS`, what the `names` are from, and what is `used` (key -> whether)."""
    found = {
        key
        for name in names
        for pattern, keys in NAMED.items()
        if re.fullmatch(pattern, name)
        for key in keys
    }
    wanted = {*ALWAYS, *found, *(key for key, is_used in used.items() if is_used)}
    return [entry for key, entry in entries().items() if key in wanted]
