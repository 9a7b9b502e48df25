"""limo-ablate: ablation studies of supervised fine-tuning on a few hundred chosen examples.

As a library, see `limo_ablate.library` (docs/library.md); the verifier is `limo_ablate.verify.verify`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from limo_ablate.library import Study, TrialFailure, UserError, compare, run_trial, select_rows

__all__ = ["Study", "TrialFailure", "UserError", "compare", "run_trial", "select_rows"]


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, "__version__"])


def __getattr__(name: str) -> Any:
    """The library's names, imported on first use; `__version__`, which is written in pyproject.toml alone."""
    if name in __all__:
        from limo_ablate import library

        return getattr(library, name)
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("limo-ablate")
