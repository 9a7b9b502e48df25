"""The file that says what is imported: where logs are, which part of their path is which factor.

name: gsm8k_arms
files: logs/{arm}/seed{seed}/samples_gsm8k_*.jsonl   # {seed} is the seed, other names are factors
score: exact_match
filter: flexible-extract
contrasts:
  - {name: curated against random, factor: arm, a: random, b: curated, score: gsm8k}
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from limo_ablate.core.artifacts import files_of
from limo_ablate.core.errors import UserError
from limo_ablate.core.typed import from_dict
from limo_ablate.study.design import check_name
from limo_ablate.study.imported.logs import FORMATS, SEED, Reading
from limo_ablate.study.yaml_file import read_yaml

BLOCK = "imported"
"""Name of the study's only block."""
YAML = (".yaml", ".yml")
PART = re.compile(r"\{([A-Za-z_]\w*)\}")
COLUMNS = frozenset((
    "accuracy", "benchmark", "boxed", "clean", "cluster", "high", "item_error", "lenient", "level", "line",
    "loops", "low", "mean", "measure", "no_answer", "parameters", "problem", "problems", "samples", "score",
    "seed_error", "seeds", "stderr", "tokens", "total_seconds", "training", "trial", "truncated",
    "undecided", "unfinished", "value", "x",
))  # fmt: skip
"""Columns of our tables, which no factor may be named like."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportConfig(Reading):
    name: str
    """Name of the study."""
    files: str
    """Pattern of the logs: `*` and `**` as in a shell, `{name}` for a part of a path that is a factor."""
    question: str = ""
    format: Annotated[str | None, FORMATS] = None
    """null: told from the files' names."""
    contrasts: tuple[dict[str, Any], ...] = ()
    figures: tuple[dict[str, Any], ...] = ()
    """As in a study (docs/studies.md), without `block`."""

    def __post_init__(self) -> None:
        check_name(self.name)
        names = [*PART.findall(self.files), *self.columns, *([SEED] if self.seed else [])]
        if twice := [name for name in names if names.count(name) > 1]:
            raise UserError(
                f"files, columns, seed: {twice[0]} is set twice; give each factor a name of its own"
            )
        if taken := [name for name in self.factors if name in COLUMNS or name.startswith("trained_")]:
            raise UserError(f"{taken[0]} is a column of the results; give the factor another name")
        if not self.factors:
            raise UserError(
                f"files={self.files}: no {{factor}} in it, so there is nothing to compare; for factors that "
                "are columns of a table, set `columns: [NAME]`"
            )

    @property
    def factors(self) -> list[str]:
        return [*self.in_path, *self.columns]

    @property
    def in_path(self) -> list[str]:
        return [name for name in PART.findall(self.files) if name != SEED]

    def found(self) -> Iterator[tuple[Path, dict[str, Any], int]]:
        """Each file with its levels and seed. Raises UserError where there are none."""
        pattern = re.compile("".join(_regex(part) for part in re.split(r"(\{\w+\}|\*\*/|\*|\?)", self.files)))
        files = files_of(Path(PART.sub("*", self.files)))
        if not files:
            raise UserError(f"files={self.files}: no such file")
        matches = [(file, match) for file in files if (match := pattern.fullmatch(file.as_posix()))]
        numeric = {
            name: all(number_of(match[name]) is not None for _, match in matches) for name in self.in_path
        }
        for file, match in matches:
            levels = {name: number_of(match[name]) if numeric[name] else match[name] for name in self.in_path}
            seed = match.groupdict().get(SEED, "0")
            if not seed.isdecimal():
                raise UserError(f"{file}: {{seed}} is {seed}, which is no whole number")
            yield file, levels, int(seed)


def read_import(file: Path) -> ImportConfig:
    """Raises UserError for a file that can't be read, or says what is not allowed."""
    what = "a YAML file that says where logs are is needed, as `files: PATTERN` (docs/import.md)"
    if not file.is_file():
        missing_file = "a folder" if file.is_dir() else "no such file"
        raise UserError(f"{file}: {missing_file}; {what}")
    if file.suffix.lower() not in YAML:
        raise UserError(f"{file}: it does not end in .yaml; {what}")
    try:
        content = read_yaml(file)
    except UserError as error:
        raise UserError(f"{error}; {what}") from error
    if not isinstance(content, dict):
        raise UserError(f"{file}: no keys in it; {what}")
    known = {field.name for field in fields(ImportConfig)}
    if missing := [name for name in ("name", "files") if name not in content]:
        raise UserError(f"{file}: {missing[0]} is missing; {what}; keys: {', '.join(sorted(known))}")
    found: ImportConfig = from_dict(ImportConfig, content)
    return found


def _regex(part: str) -> str:
    if match := PART.fullmatch(part):
        return f"(?P<{match[1]}>[^/]+?)"
    return {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}.get(part) or re.escape(part)


def number_of(text: str) -> int | float | None:
    """The number that is written like this; None for 1.10 and 1e3, which are 1.1 and 1000 too."""
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if str(number) == text and math.isfinite(number):
            return number
    return None
