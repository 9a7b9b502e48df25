"""The verb `data`: what a file of rows is, and how it would be read."""

from __future__ import annotations

from dataclasses import replace

import click

from limo_ablate.core.command import Verb, json_option, print_json


@click.command(
    "data",
    cls=Verb,
    reads_project=False,
    examples=[
        "limo-ablate data inspect rows.jsonl",
        "limo-ablate data inspect 'shards/*.parquet' --rows 2",
        "limo-ablate data inspect rows.csv data.fields.problem=Query 'data.fields.answer=Final total'",
    ],
)
@click.argument("action", type=click.Choice(["inspect"]))
@click.argument("file")
@click.argument("columns", nargs=-1, metavar="[data.fields.NAME=COLUMN]...")
@click.option("--rows", type=click.IntRange(min=0), default=5, show_default=True, help="Rows to show.")
@click.option("--split", default="train", show_default=True, help="Of a folder that `save_to_disk` wrote.")
@json_option
@click.option("--encoding", help="Of a text file that is not UTF-8.  [default: recognised]")
def data(
    action: str,
    file: str,
    columns: tuple[str, ...],
    rows: int,
    split: str,
    as_json: bool,
    encoding: str | None,
) -> int:
    """Prints the schema of FILE (a file, a folder or a pattern), rows as they are read, what is lost, and the
    YAML that reads it. Columns whose names say nothing are named by keys of the configuration.
    """
    from limo_ablate.data.pool.config import ProblemsConfig
    from limo_ablate.data.pool.inspection import facts, inspect, named_fields, report

    config = ProblemsConfig(source="file", path=file, split=split, encoding=encoding)
    if columns:
        config = replace(config, fields=named_fields(columns))
    found = inspect(config, rows)
    if as_json:
        print_json(facts(found))
        return 0
    for line in report(found, file):
        print(line)
    return 0
