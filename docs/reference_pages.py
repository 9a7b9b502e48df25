"""The reference pages that are made from the code: every configuration key, and every verb."""

from collections.abc import Iterator
from typing import Any

import click

from limo_ablate.cli import SECTIONS, limo_ablate
from limo_ablate.core.command import Verb
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
CLI_HEAD = """\
# Command line

Made from the verbs themselves; `limo-ablate VERB --help` prints the same. Options may stand before or after
overrides. Exit codes: 0 done, 2 a mistake in what was asked, 3 some trials, or parts of a report, failed, 130
interrupted.
"""
PLAIN = {
    "ArchitectureConfig": {
        "width": "Width of the residual stream.",
        "layers": "Number of layers.",
        "heads": "Attention heads.",
        "head_dim": "Width of a head.",
        "context": "Longest sequence, in tokens.",
    },
    "ShapeConfig": {
        "layers": "As in config.json: num_hidden_layers.",
        "hidden": "hidden_size.",
        "heads": "num_attention_heads.",
        "kv_heads": "num_key_value_heads.",
        "intermediate": "intermediate_size.",
        "vocabulary": "vocab_size.",
    },
    "RopeScalingConfig": {
        "factor": "By how much the context grows.",
        "attention_factor": "YaRN's, for the attention's logits.",
        "beta_fast": "YaRN's.",
        "beta_slow": "YaRN's.",
        "low_freq_factor": "Llama 3's.",
        "high_freq_factor": "Llama 3's.",
    },
    "PretrainConfig": {
        "tokens": "Tokens to pre-train on.",
        "batch_tokens": "Tokens of an optimiser step.",
        "learning_rate": "Peak learning rate of the pre-training.",
    },
    "LoraConfig": {
        "rank": "Rank of the adapters.",
        "alpha": "Scale of the adapters: alpha / rank.",
        "dropout": "Share of the adapters' inputs that are dropped.",
        "targets": "Names of the linear layers.",
    },
    "MinHashConfig": {"permutations": "Hash functions of a signature."},
    "SlurmConfig": {"partition": "Of each job.", "time_minutes": "Time limit of a job, in minutes."},
    "FieldsConfig": {
        "problem": "Column with the question.",
        "id": "Column with the row's id; null: its number.",
        "source": "Column with where the row is from.",
        "subject": "Column with the topic, or the label.",
    },
    "ModelConfig": {
        "name": "Name in tables.",
        "source": "Hub (or a folder), or what is built here.",
        "revision": "Branch, tag or commit of the hub.",
        "dtype": "Type of the weights as they are loaded.",
        "attention": "Kernel of the attention.",
    },
    "HardwareConfig": {
        "name": "Name in tables.",
        "device": "What trials run on.",
        "strategy": "How a training is spread.",
        "precision": "Type of the forward and backward passes.",
    },
    "TrackConfig": {
        "kind": "What records runs; none: nothing does.",
        "project": "W&B's project.",
        "entity": "W&B's user or team.",
        "mode": "Whether runs are sent at once, or kept on disk.",
    },
    "LaunchConfig": {"executor": "What starts trials."},
    "JudgeConfig": {"system_prompt": "System turn of the judge."},
}
"""Class -> field -> meaning, where the schema says none."""
SAME = {
    "seed": "Decides everything random in this section.",
    "source": "Loader of the rows.",
    "split": "Split of a hub data set.",
    "name": "Name in tables.",
    "engine": "What generates.",
    "system_prompt": "System turn; null: none.",
    "max_tokens": "Most tokens of a completion.",
    "samples": "Completions of each problem.",
    "temperature": "0 is greedy.",
    "top_p": "Nucleus sampling; 1: off.",
    "epochs": "Passes over the rows.",
    "steps": "Optimiser steps.",
    "learning_rate": "Peak learning rate.",
    "requests_per_minute": "Most requests in a minute; null: any number.",
    "schedule": "How the learning rate falls.",
    "warmup_ratio": "Share of the steps in which it rises.",
    "weight_decay": "AdamW's.",
    "betas": "AdamW's.",
    "grad_clip": "Largest norm of the gradient.",
    "gradient_checkpointing": "Computes activations again in the backward pass: less memory, more time.",
}
"""Field of any other class -> meaning."""
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
    if text := meaning(key):
        yield f"  {text}"
    yield ""


def meaning(key: Key) -> str:
    """What the schema says of a key, or what is plain from its name."""
    field = key.name.rpartition(".")[2]
    return key.meaning or PLAIN.get(key.owner.__name__, {}).get(field) or SAME.get(field, "")


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
            context = click.Context(command, info_name=f"limo-ablate {name}")
            lines += [f"### {name}", "", target.summary, "", "```text", command.get_help(context), "```", ""]
    return "\n".join(lines)


PAGES = {"keys.md": keys_page, "cli.md": cli_page}
