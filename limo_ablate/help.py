"""What `limo-ablate`, `--help` and `--help --all` print."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from textwrap import wrap
from typing import Any, TypeAlias

from limo_ablate.core.command import EXIT_CODES
from limo_ablate.trial.keys import groups, keys

Sections: TypeAlias = Mapping[str, Mapping[str, tuple[str, str]]]
"""Section -> verb -> (its command, its summary)."""
USAGE = """\
Usage: limo-ablate VERB [OPTION]... [KEY=VALUE]...
       limo-ablate KEY=VALUE...                    run one trial"""
HEAD = """\
Ablations of supervised fine-tuning: how many examples, how hard, how good, how big a model?

Examples:
  limo-ablate sweep miniature                           run a study; resumable; 15 minutes on two cores
  limo-ablate report miniature                          draw its report
  limo-ablate select.size=64 model=mini_m seed=1        run one trial
  limo-ablate -m select.size=16,64,256                  run several
  limo-ablate --cfg job select.size=64                  show what would run"""
OPTIONS = f"""\
Options, before or after a verb:
  --project DIR    folder with conf/ and sweeps/ of your own (default: the current one)
  -h, --help       help; `limo-ablate VERB --help` for a verb, `--help --all` for every key and group
  --version        the version

Exit codes:
  {EXIT_CODES}"""
COMMON = {
    "data": "pool of problems and solutions",
    "model": "base model",
    "train": "recipe of the fine-tuning",
    "eval": "benchmarks and decoding",
    "hardware": "devices and strategy of a trial",
    "select.size": "number of training examples; null: all that pass",
    "select.quality": "solution tier",
    "select.difficulty": "a band of data.difficulty.bands, any, or a number",
    "select.order": "selection rule",
    "train.learning_rate": "peak learning rate",
    "track": "where runs are recorded",
    "seed": "feeds select.seed, train.seed and eval.seed",
}
"""The keys that are used most."""
INDENT, WIDTH = 24, 110


def short_help(sections: Sections) -> str:
    """For a call without any words."""
    rows = [f"  {section + ':':21}{', '.join(verbs)}" for section, verbs in sections.items()]
    return "\n".join([HEAD, "", "Verbs:", *rows, "", "`limo-ablate --help` says more."])


def usual_help(sections: Sections) -> str:
    """The verbs, and the keys that are used most."""
    return "\n\n".join([USAGE, HEAD, *_verbs(sections), OPTIONS, _common()])


def full_help(sections: Sections) -> str:
    """All of it: every group with its options, every key with its type, default and meaning."""
    return "\n\n".join([USAGE, HEAD, *_verbs(sections), OPTIONS, _groups(), _keys()])


def _verbs(sections: Sections) -> list[str]:
    return [
        "\n".join([f"{section}:", *(f"  {name:14}{summary}" for name, (_, summary) in verbs.items())])
        for section, verbs in sections.items()
    ]


def _common() -> str:
    options, known = groups(), keys()
    lines = ["Keys that are used most (KEY=VALUE):"]
    for name, meaning in COMMON.items():
        values = options.get(name) or (known[name].choices if name in known else ())
        lines += _row(name, meaning, ", ".join(values))
    return "\n".join(lines)


def _groups() -> str:
    lines = ["Groups (GROUP=OPTION):"]
    for group, options in groups().items():
        lines += _row(group, ", ".join(options))
    return "\n".join(lines)


def _keys() -> str:
    """Defaults are those of the trial that a call without any override would run."""
    defaults = default_values()
    lines = ["Keys (KEY=VALUE), with type and default:"]
    for key in keys().values():
        default = f"  [default: {defaults[key.name]}]" if key.name in defaults else ""
        lines += [f"  {key.name}  {key.type}{default}"]
        lines += wrap(key.meaning, WIDTH, initial_indent=f"{'':6}", subsequent_indent=f"{'':6}")
    return "\n".join(lines)


def default_values() -> dict[str, str]:
    """Dotted key -> value of the default trial."""
    from limo_ablate.trial.compose import compose  # Hydra

    def flat(value: Any, where: str) -> dict[str, str]:
        found = {where: "null" if value is None else value if isinstance(value, str) else json.dumps(value)}
        for name, one in value.items() if isinstance(value, dict) else ():
            found |= flat(one, f"{where}.{name}" if where else str(name))
        return found

    return flat(asdict(compose([])), "")


def _row(name: str, text: str, more: str = "") -> list[str]:
    blank = " " * INDENT
    first = wrap(text, WIDTH, initial_indent=f"  {name:{INDENT - 3}} ", subsequent_indent=blank)
    return first + wrap(more, WIDTH, initial_indent=blank, subsequent_indent=blank)
