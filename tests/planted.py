"""A folder of others, with modules that must not be imported: ours, the libraries' and Python's."""

from __future__ import annotations

from pathlib import Path

MODULES = ("struct", "random", "sympy", "yaml", "hydra", "torch", "sitecustomize", "limo_ablate/__init__")
PLANTED = """
import pathlib
with open(pathlib.Path({marker!r}), "a") as file:
    file.write({name!r} + "\\n")
raise SystemExit("planted: a module of the current folder was imported")
"""


def plant(folder: Path) -> Path:
    """Writes the modules into `folder`; the returned file comes to exist when one of them runs."""
    marker = folder / "planted.ran"
    for name in MODULES:
        file = folder / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(PLANTED.format(marker=str(marker), name=name))
    return marker
