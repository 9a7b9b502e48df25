"""`limo-ablate init DIR`: writes a small project that runs as it is, as a place to start from.

Its files are those of `starter/`, and two data files that are made here of the miniature's problems
(docs/miniature.md), so that its model learns something from them.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from limo_ablate.core.errors import UserError
from limo_ablate.data.miniature.recurrence import MiniatureProblemsConfig, parse, problems
from limo_ablate.data.miniature.solutions import solve

STARTER = Path(__file__).with_name("starter")
RENAMED = {"gitignore": ".gitignore"}
"""Name in `starter/` -> name in the project; git would apply a .gitignore in our own tree."""
TEACHERS = {"careful": "L4", "brief": "L1"}
"""Column of rows.jsonl -> the miniature's tier of its solutions."""
ROWS_PER_LEVEL, EXAM_PER_LEVEL = 20, 10


def write_project(folder: Path) -> list[Path]:
    """Writes the project; returns its files. Raises UserError where `folder` is not empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"init {folder}: the folder is not empty; choose a new or an empty one")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for source in sorted(path for path in STARTER.rglob("*") if path.is_file()):
            target = folder / source.relative_to(STARTER)
            target = target.with_name(RENAMED.get(source.name, source.name))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        _write(folder / "rows.jsonl", _problems("train", ROWS_PER_LEVEL), TEACHERS)
        _write(folder / "exam.jsonl", _problems("test", EXAM_PER_LEVEL), {})
    except OSError as error:
        raise UserError(f"init {folder}: {error.strerror}") from error
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _problems(holdout: Any, per_level: int) -> list[dict[str, Any]]:
    return problems(MiniatureProblemsConfig(per_level=per_level, levels=(1, 9), seed=0, holdout=holdout))


def _write(file: Path, rows: list[dict[str, Any]], teachers: dict[str, str]) -> None:
    """Each problem as a line, with a solution of each teacher."""
    lines = []
    for row in rows:
        solutions = {name: solve(parse(row["text"]), tier) for name, tier in teachers.items()}
        columns = {"problem": row["text"], "answer": row["gold"], **solutions, "steps": int(row["level"])}
        lines.append(json.dumps(columns) + "\n")
    file.write_text("".join(lines))
