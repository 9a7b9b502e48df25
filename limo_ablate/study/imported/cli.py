"""The verb `import`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from limo_ablate.core.command import Verb, json_result, words
from limo_ablate.core.project import command
from limo_ablate.core.text import counted


@click.command("import", cls=Verb, examples=["limo-ablate import logs.yaml"])
@words("file")
@json_result
def import_logs(file: str, overrides: list[str]) -> tuple[int, Callable[[], Any]]:
    """FILE says where the logs are, and which part of their path is which factor (docs/import.md). Makes of
    logs that lm-evaluation-harness, Inspect, lighteval, OpenCompass, verl or TRL have written, of Every Eval
    Ever's samples, or of tables, a study in `paths.studies` that `report` and `compare` read; nothing is
    trained. The same command again reads the logs anew.
    """
    from limo_ablate.study.imported.config import read_import
    from limo_ablate.study.imported.write import import_study
    from limo_ablate.trial.compose import compose

    folder = import_study(read_import(Path(file)), Path(compose(overrides).paths.studies))
    trials = sorted(trial.name for trial in (folder / "trials").iterdir())
    print(f"{folder}: {counted(len(trials), 'trial')}; `{command('report', folder.name)}` draws the report")
    return 0, lambda: {"study": folder.name, "folder": folder, "trials": trials}
