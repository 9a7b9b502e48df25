"""Reads a study's YAML file; memory is bounded whatever it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from limo_ablate.core.errors import UserError

LARGEST = 1_000_000
"""Values that the file may hold, aliases written out."""


def read_yaml(path: Path) -> Any:
    """What the file holds. Raises UserError where it can't be read."""
    from omegaconf import OmegaConf
    from yaml import YAMLError

    try:
        _check_size(path)
        return OmegaConf.to_container(OmegaConf.load(path))
    except RecursionError as error:
        raise UserError(f"{path}: nested too deeply") from error
    except (YAMLError, OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error


def _check_size(path: Path) -> None:
    """Raises UserError for a file whose aliases, ten of ten of ten ..., stand for more than it could hold."""
    import yaml

    sizes: dict[int, int] = {}

    def size(node: Any) -> int:
        """Number of nodes with each alias written out; a node that many aliases name is counted once."""
        if id(node) not in sizes:
            parts = node.value if isinstance(node.value, list) else []
            flat = (part for item in parts for part in (item if isinstance(item, tuple) else (item,)))
            sizes[id(node)] = 1 + sum(map(size, flat))
        return sizes[id(node)]

    root = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)  # LibYAML's dies of deep nesting
    if root is not None and size(root) > LARGEST:
        raise UserError(f"{path}: its aliases stand for more than {LARGEST:,} values; write fewer")
