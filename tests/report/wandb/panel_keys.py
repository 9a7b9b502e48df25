"""Which keys the panels of a workspace or report name, read from its specification."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Keys:
    config: set[str] = field(default_factory=set)
    logged: set[str] = field(default_factory=set)
    """Of history or summary: metrics, tables, media."""
    groups: set[str] = field(default_factory=set)
    """Values that the runs' group is filtered by."""


def keys_of(specification: Any) -> Keys:
    found = Keys()
    for node in _nodes(specification):
        config = node.get("config") if isinstance(node.get("config"), dict) else {}
        found.logged |= {*config.get("metrics", ()), *config.get("mediaKeys", ())}
        found.logged |= {config["xAxis"]} if "xAxis" in config else set()
        found.config |= {config["groupBy"].removesuffix(".value")} if "groupBy" in config else set()
        for column in (
            *config.get("columns", ()),
            *({"accessor": one} for one in node.get("columnOrder", ())),
        ):
            _add(found, column["accessor"])
        if node.get("name") == "pick" and "val" in node["inputs"]["key"]:
            found.logged.add(node["inputs"]["key"]["val"])
        if node.get("name") == "tableKey":
            found.logged.add(node["value"])
        if isinstance(node.get("key"), dict) and "op" in node:
            _filter(found, node)
    return found


def _filter(found: Keys, node: dict[str, Any]) -> None:
    section, name = node["key"]["section"], node["key"]["name"]
    if (section, name) == ("run", "group"):
        found.groups.add(node["value"])
    elif section == "config":
        found.config.add(name)


def _add(found: Keys, accessor: str) -> None:
    section, _, name = accessor.partition(":")
    if section == "config":
        found.config.add(name.removesuffix(".value"))
    elif section == "summary":
        found.logged.add(name)


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    if isinstance(tree, dict):
        yield tree
    for child in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _nodes(child)
