"""The verb `init`."""

from __future__ import annotations

from pathlib import Path

import click

from limo_ablate.core.command import Verb


@click.command("init", cls=Verb, reads_project=False, examples=["limo-ablate init my_study"])
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def init(folder: Path) -> int:
    """DIR is a new folder or an empty one. Its study runs as it is, in about a minute on two cores; README.md
    says what to change. Nothing in it is code.
    """
    from limo_ablate.study.init import write_project

    for file in write_project(folder):
        print(file)
    print(f"next: cd {folder} && limo-ablate sweep first")
    return 0
