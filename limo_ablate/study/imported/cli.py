"""The verb `import`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from limo_ablate.core.command import Verb, announce, json_result, words
from limo_ablate.core.errors import UserError
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
    announce(f"reading the logs of {file}")
    from limo_ablate.study.imported.config import ImportConfig, read_import
    from limo_ablate.study.imported.write import import_study
    from limo_ablate.trial.compose import compose

    keys = {field.name for field in fields(ImportConfig)}
    if own := [override for override in overrides if override.partition("=")[0] in keys]:
        key, _, value = own[0].partition("=")
        raise UserError(f"{own[0]}: a key of {file}; write `{key}: {value}` there")
    folder = import_study(read_import(Path(file)), Path(compose(overrides).paths.studies))
    trials = sorted(trial.name for trial in (folder / "trials").iterdir())
    print(f"{folder}: {counted(len(trials), 'trial')}; `{command('report', folder.name)}` draws the report")
    return 0, lambda: {"study": folder.name, "folder": folder, "trials": trials}
