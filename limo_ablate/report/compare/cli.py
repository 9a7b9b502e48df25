"""The verbs `compare` and `why`."""

from __future__ import annotations

from pathlib import Path

import click

from limo_ablate.core.command import StudyName, Verb, json_option, print_json, words


@click.command(
    "compare",
    cls=Verb,
    examples=[
        "limo-ablate compare size64-L5 size64-L1 --study miniature",
        "limo-ablate compare miniature/size64-L5-s0 outputs/trials/2026-01-01/12-00-00 --json",
    ],
)
@words("a", "b")
@click.option("--study", type=StudyName(), help="Look in this study only.")
@json_option
def compare(a: str, b: str, overrides: list[str], study: str | None, as_json: bool) -> int:
    """A and B are trials (`size64-L5-s0`) or cells, which are all their seeds (`size64-L5`): names as
    `status` shows them, a part that only one name has, STUDY/NAME, or folders. Shows the configuration keys,
    commits, versions and hardware that differ, the scores with their paired difference (over seeds and
    problems), the problems that flipped, lengths and truncation.
    """
    from limo_ablate.report.compare.arms import find_arm
    from limo_ablate.report.compare.text import as_json as json_of
    from limo_ablate.report.compare.text import as_text

    folders = study_folders(study, overrides)
    arms = find_arm(a, folders), find_arm(b, folders)
    if as_json:
        print_json(json_of(*arms))
    else:
        print(as_text(*arms))
    return 0


def study_folders(study: str | None, overrides: list[str]) -> list[Path]:
    """The folder of `study`, or of all studies. Raises UserError."""
    from limo_ablate.study.folder import STUDY, study_folder
    from limo_ablate.trial.compose import compose

    root = Path(compose(overrides).paths.studies)
    if study is not None:
        return [study_folder(study, root)]
    return sorted(path.parent for path in root.glob(f"*/{STUDY}"))


@click.command(
    "why",
    cls=Verb,
    examples=[
        "limo-ablate why size64-L5-s0 --study miniature",
        "limo-ablate why size64-L5 --study miniature train.steps=200",
    ],
)
@words("name")
@click.option("--study", type=StudyName(), help="A name, a YAML file or a folder.")
@json_option
def why(name: str, overrides: list[str], study: str | None, as_json: bool) -> int:
    """NAME is that of a trial or a cell of the study as it is declared now, as `status` and `plan` show it,
    or a part that only one has. Overrides are those of `sweep`. Shows what differs from a finished trial,
    and for each stage whether its artifact exists, or which of its inputs is new. Of an imported trial: the
    logs it was read from, its factors, and what they lack.
    """
    from limo_ablate.report.compare import why as reasons
    from limo_ablate.report.compare import why_imported

    if imported := [why_imported.explanation(one) for one in why_imported.imported_trials(name, study)]:
        if as_json:
            print_json(imported)
        else:
            print("\n".join(line for one in imported for line in why_imported.lines(one)))
        return 0
    folder, trials = reasons.find_trials(name, reasons.studies(study, overrides))
    explanations = [reasons.why(trial, folder) for trial in trials]
    if as_json:
        print_json([reasons.as_json(one) for one in explanations])
    else:
        print(reasons.text(explanations))
    return 0
