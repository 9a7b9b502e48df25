"""The methods section: text for a paper, from the study's configuration, and BibTeX of what to cite."""

from __future__ import annotations

from collections.abc import Sequence

from limo_ablate.report.labels import axis, duration, level
from limo_ablate.report.methods import protocol
from limo_ablate.report.methods.references import due
from limo_ablate.report.methods.settings import Settings
from limo_ablate.report.section import Section
from limo_ablate.report.study_view import StudyView
from limo_ablate.study.block import Block
from limo_ablate.study.choices import DESIGNS

INTERVAL = (
    "Means and differences have 95 % confidence intervals over seeds and problems (two-way random effects of "
    "seeds × problems by a generalised pivotal quantity, Weerahandi 1993; with one seed, Student's t over "
    "problems, which does not cover variation between trainings)."
)
STACK = ("limo-ablate", "torch", "transformers", "accelerate", "peft", "vllm")
"""Packages whose versions a paper names."""


def section(view: StudyView) -> Section | None:
    """Text and references; None without finished trials."""
    if not view.done:
        return None
    settings = Settings(view.done)
    text = (
        f"Design. {_design(view)}",
        f"Data. {protocol.data(settings)}",
        f"Training. {protocol.models(settings)} {protocol.training(settings)}",
        f"Hardware. {protocol.hardware(settings)} {_machines(view)}",
        f"Evaluation. {protocol.evaluation(settings)}",
        f"Statistics. {_statistics(view, settings)}",
    )
    return Section("methods", "Methods", text, code=bibtex(view, settings))


def _design(view: StudyView) -> str:
    blocks = "; ".join(map(_block, view.study.blocks))
    return (
        f"{blocks}. {_seeds(view)}; a seed determines selection, training and "
        f"sampling. {len(view.done)} of {len(view.trials)} trials have finished."
    )


def _seeds(view: StudyView) -> str:
    """Seeds of all cells, or of those of each block."""
    by_seeds: dict[str, list[str]] = {}
    for block in view.study.blocks:
        seeds = sorted({trial.seed for trial in view.trials if block.name in trial.blocks})
        if seeds:
            many = f"seeds {_and(list(map(str, seeds)))}" if len(seeds) > 1 else f"one seed ({seeds[0]})"
            by_seeds.setdefault(many, []).append(block.name)
    if len(by_seeds) == 1:
        return f"Each cell was run with {next(iter(by_seeds))}"
    return "; ".join(f"Cells of {_and(names)} were run with {many}" for many, names in by_seeds.items())


def _block(block: Block) -> str:
    """`size x quality: all combinations of training examples (0, 4) and solution tier (L1, L5)`."""
    levels = {
        key: ", ".join(level(value, key) for value in values) for key, values in block.factors().items()
    }
    named = [f"{axis(key)} ({text})" if text else axis(key) for key, text in levels.items()]
    tuned = ""
    if block.tune:
        axes = _and(list(map(axis, block.tune.axes)))
        tuned = f", {axes} tuned at each point in {block.tune.n} trials by {block.tune.score}"
    return (
        f"{block.name}: {DESIGNS.load(block.design).words(block)} {_and(named)}{tuned}"
        if named
        else f"{block.name}: one cell"
    )


def _and(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _machines(view: StudyView) -> str:
    stack = ", ".join(f"{name} {' or '.join(versions)}" for name, versions in _versions(view).items())
    seconds = sum((trial.metrics or {})["total_seconds"] for trial in view.done)
    took = f"All trials took {duration(seconds)} in total"
    software = f"Software: {stack}. " if stack else ""
    return f"Machine: {'; '.join(view.machines)}. {software}{took}."


def _versions(view: StudyView) -> dict[str, list[str]]:
    """Package of `STACK` -> its versions in the finished trials."""
    each = [record["versions"] for record in view.records]
    found = {name: list(dict.fromkeys(own[name] for own in each if own.get(name))) for name in STACK}
    return {name: versions for name, versions in found.items() if versions}


def _statistics(view: StudyView, settings: Settings) -> str:
    parts = [
        f"{view.word().capitalize()} is avg@n, the mean over problems of the mean over their completions."
    ]
    if _several(settings):
        parts.append("pass@k is the unbiased estimate of Chen et al. (2021), maj@n the majority vote.")
    parts.append(INTERVAL)
    if view.study.cluster:
        parts.append(f"Errors are clustered by {view.study.cluster} of the problems.")
    if contrasts := view.study.contrasts:
        primary = sum(contrast.primary for contrast in contrasts)
        parts.append(
            f"{len(contrasts)} contrast{'s' * (len(contrasts) > 1)} declared in the study's file, paired on "
            f"problems and seeds; p-values of the {primary} primary ones adjusted by Holm's method."
        )
        if any(contrast.interaction for contrast in contrasts):
            parts.append("Interactions are differences of two effects.")
        if any(contrast.trend for contrast in contrasts):
            parts.append("Trends are least-squares lines over the logarithm of the factor.")
        if any(len(contrast.scores) > 1 for contrast in contrasts):
            parts.append("Means over benchmarks weigh each the same, with its problems as a stratum.")
        if any(contrast.margin for contrast in contrasts):
            parts.append("Equivalence within a margin was tested by two one-sided tests (Schuirmann 1987).")
    return " ".join(parts)


def _several(settings: Settings) -> bool:
    """Whether any benchmark has several completions of a problem."""
    scores = (score for trial in settings.trials for score in (trial.metrics or {})["scores"].values())
    return any(score["samples"] > 1 for score in scores)


def bibtex(view: StudyView, settings: Settings) -> str:
    """BibTeX entries of what the study used, the software first."""
    contrasts = view.study.contrasts
    names = [str(name) for key in ("model", "data.name") for name in settings.levels(key)]
    names += [score for score in view.scores if "/" not in score]
    used = {
        "chen2021": _several(settings),
        "wang2022": _several(settings),
        "holm1979": bool(contrasts),
        "schuirmann1987": any(contrast.margin for contrast in contrasts),
        "lora": settings.any("train.lora"),
        "qlora": settings.has("train.lora.quantize", "nf4"),
        "zero": settings.has("hardware.strategy", "zero3"),
        "fsdp": settings.has("hardware.strategy", "fsdp2"),
        "vllm": settings.has("eval.engine", "vllm"),
        "optuna": any(block.adaptive for block in view.study.blocks),
        "wu2025": settings.any("eval.probe"),
    }
    return "\n\n".join([_software(view), *due(names, used)])


def _software(view: StudyView) -> str:
    recorded = view.records
    versions = _versions(view).get("limo-ablate", [])
    commits = dict.fromkeys(str(one["git"]["commit"])[:12] for one in recorded if one["git"]["commit"])
    entry = [
        "title={limo-ablate: a bench for ablations of supervised fine-tuning}",
        f"year={{{min(one['started'] for one in recorded)[:4]}}}",
        *([f"version={{{' and '.join(versions)}}}"] if versions else []),
        *([f"note={{commit {' and '.join(commits)}}}"] if commits else []),
    ]
    return f"@software{{limo_ablate, {', '.join(entry)}}}"
