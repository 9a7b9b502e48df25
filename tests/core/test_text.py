"""What a terminal would obey is shown instead, and JSON stays JSON."""

import json

import click
import pytest

from limo_ablate.core.command import run
from limo_ablate.core.text import printable

HOSTILE = "a\x1b[2Jb\x9b1mc\x7fd\u202ee\r\x07"


def test_what_a_terminal_obeys_is_shown() -> None:
    assert printable(HOSTILE) == r"a\x1b[2Jb\u009b1mc\u007fd\u202ee\x0d\x07"
    assert printable("é\u00a0√ 中\n\tx") == "é\u00a0√ 中\n\tx"
    shown = printable(json.dumps({"name": HOSTILE}, ensure_ascii=False))
    assert json.loads(shown)["name"] == HOSTILE


def test_no_verb_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    def verb() -> None:
        print("name:", HOSTILE)
        click.echo(HOSTILE)

    assert run(verb, []) == 0
    said = capsys.readouterr().out
    assert r"name: a\x1b[2J" in said
    assert said.replace("\n", "").isprintable()
