"""limo-ablate: ablation studies of supervised fine-tuning on a few hundred chosen examples."""

from typing import Any


def __getattr__(name: str) -> Any:
    """`__version__`, as installed: pyproject.toml is the one place where it is written."""
    if name != "__version__":
        raise AttributeError(name)
    from importlib.metadata import version

    return version("limo-ablate")
