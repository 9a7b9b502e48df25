"""The reference pages that are made from the code: every configuration key, and every verb."""

from collections.abc import Iterator
from typing import Any

import click

from limo_ablate.cli import SECTIONS, limo_ablate
from limo_ablate.core.command import EXIT_CODES, Verb
from limo_ablate.help import default_values
from limo_ablate.trial.keys import ANY, Key, groups, keys

KEYS_HEAD = f"""\
# Configuration keys

Made from the typed schema; `limo-ablate --help --all` prints the same. Any key can be overridden:
`limo-ablate KEY=VALUE`, or in a study's `axes` and `overrides`. `{ANY}` stands for a name that you choose.
Defaults are those of a trial without any override; keys of a section that is null there have none.

**In the key** says whether another value makes another trial, which is run anew: *yes*; *no* (it changes no
result); or *if set*: at its default the key is left out, so that trials from before it existed keep theirs.
With `select.size=0`, `data`, `select` and `train` are in no key, as nothing is trained.
"""
CLI_HEAD = f"""\
# Command line

Made from the verbs themselves; `limo-ablate VERB --help` prints the same. Options may stand before or after
overrides. Exit codes: {EXIT_CODES}.
"""
IN_KEY = {True: "yes", False: "no", "unless default": "if set"}


def keys_page() -> str:
    defaults, sections = default_values(), dict[str, list[Key]]()
    for key in keys().values():
        sections.setdefault(key.name.partition(".")[0], []).append(key)
    lines = [KEYS_HEAD]
    first = _first_places()
    for section, own in sections.items():
        lines += [f"## {section}", ""]
        if section in groups():
            options = ", ".join(f"`{section}={option}`" for option in groups()[section])
            lines += [f"Choices of the group: {options}.", ""]
        lines += _entries(own, first, defaults)
    return "\n".join([*lines, _groups_below()])


def _first_places() -> dict[Any, str]:
    """Class -> the section, with the fewest names in it, that it is of."""
    places: dict[Any, str] = {}
    for key in keys().values():
        place = key.name.rpartition(".")[0]
        if place.count(".") < places.setdefault(key.owner, place).count("."):
            places[key.owner] = place
    return places


def _entries(own: list[Key], first: dict[Any, str], defaults: dict[str, str]) -> Iterator[str]:
    """A definition for each key; where a class stands in a second place, a line that refers to the first."""
    referred: set[str] = set()
    for key in own:
        place = key.name.rpartition(".")[0]
        if first[key.owner] == place:
            yield from _entry(key, defaults)
        elif place not in referred:
            referred.add(place)
            yield from (f"`{place}.*`", f": The keys are those of `{first[key.owner]}.*`.", "")


def _entry(key: Key, defaults: dict[str, str]) -> Iterator[str]:
    default = f"; default `{defaults[key.name]}`" if key.name in defaults else ""
    kind = key.type.replace("|", " \\| ")
    yield f"`{key.name}`"
    yield f": *{kind}*{default}; in the key: {IN_KEY[key.in_key]}."
    yield f"  {key.meaning}"
    yield ""


def _groups_below() -> str:
    rows = [f"| `{name}` | {', '.join(options)} |" for name, options in groups().items() if "/" in name]
    return "\n".join(["## Groups of groups", "", "| group | choices |", "|---|---|", *rows, ""])


def cli_page() -> str:
    lines = [CLI_HEAD]
    for section, verbs in SECTIONS.items():
        lines += [f"## {section}", ""]
        for name, target in verbs.items():
            command = limo_ablate.get_command(click.Context(limo_ablate), name)
            assert isinstance(command, Verb)
            context = click.Context(command, info_name=f"limo-ablate {name}", **command.context_settings)
            lines += [f"### {name}", "", target.summary, "", "```text", command.get_help(context), "```", ""]
    return "\n".join(lines)


PAGES = {"keys.md": keys_page, "cli.md": cli_page}
