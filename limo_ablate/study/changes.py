"""A study changed from the command line: other levels, seeds, a budget, or a key for all trials."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from limo_ablate.core.errors import UserError
from limo_ablate.core.overrides import Override
from limo_ablate.core.typed import from_dict
from limo_ablate.study.axes import keys, narrowed
from limo_ablate.study.block import Block
from limo_ablate.study.budget import Budget

if TYPE_CHECKING:
    from limo_ablate.study.design import Study


def changed(study: Study, given: Override) -> Study:
    """The study with one override more. Raises UserError, which names it."""
    axes = sorted({key for block in study.blocks for axis in block.axes for key in keys(axis)})
    first = given.values[0]
    if isinstance(first, list) and given.key in ("seeds", *axes):
        given = replace(given, values=tuple(first), swept=True)
    if given.key == "seeds":
        return _reseeded(study, given)
    if given.key in ("name", "ledger"):
        value = None if first is None else str(first)
        return replace(study, ledger=value) if given.key == "ledger" else replace(study, name=str(value))
    if given.key.startswith("budget"):
        return _budgeted(study, given)
    if given.swept and given.key not in axes:
        raise UserError(f"{given.text}: several values, but no axis of {study.name}; axes: {', '.join(axes)}")
    return _with_levels(study, given)


def _reseeded(study: Study, given: Override) -> Study:
    if not all(type(seed) is int for seed in given.values):
        raise UserError(f"{given.text}: seeds are whole numbers, as in seeds=[0,1,2]")
    blocks = tuple(replace(block, seeds=None) for block in study.blocks)
    return replace(study, seeds=given.values, blocks=blocks)


def _budgeted(study: Study, given: Override) -> Study:
    """`budget.gpu_hours=10`; `budget=null` lifts it."""
    if given.key == "budget" and given.values == (None,):
        return replace(study, budget=None)
    known = [f"budget.{field.name}" for field in fields(Budget)]
    if given.key not in known or given.swept:
        raise UserError(f"{given.text}: a budget is given as {'=NUMBER or '.join(known)}=NUMBER")
    key, value = given.key.removeprefix("budget."), given.values[0]
    spent = {field.name: getattr(study.budget, field.name, None) for field in fields(Budget)}
    return replace(study, budget=from_dict(Budget, spent | {key: value}, "budget"))


def _with_levels(study: Study, given: Override) -> Study:
    """Contrasts of levels that an axis no longer has go with them."""
    blocks = tuple(_changed_block(block, given) for block in study.blocks)
    kept = {block.name: block.factors() for block in blocks}
    contrasts = tuple(
        contrast
        for contrast in study.contrasts
        if contrast.factor != given.key
        or all(level in kept[contrast.block].get(given.key, ()) for level in (contrast.a, contrast.b))
    )
    return replace(study, blocks=blocks, contrasts=contrasts)


def _changed_block(block: Block, given: Override) -> Block:
    if given.key in block.axes:
        return _with_axis(block, given.key, given.values)
    for axis in block.axes:
        if given.key in keys(axis):
            return _with_axis(block, axis, _kept(block, axis, given))
    if block.tune and any(given.key in keys(axis) for axis in block.tune.axes):
        raise UserError(f"{given.text}: {given.key} is tuned in block '{block.name}'; change it in the file")
    return block if given.swept else replace(block, overrides=(*block.overrides, given.text))


def _with_axis(block: Block, axis: str, levels: tuple[Any, ...]) -> Block:
    """With other levels of an axis; conditions on levels that are gone are never met."""
    axes = block.axes | {axis: levels}
    return replace(
        block,
        axes=axes,
        when={on: narrowed(condition, axes) for on, condition in (block.when or {}).items()} or None,
        exclude=tuple(narrowed(left_out, axes) for left_out in block.exclude),
    )


def _kept(block: Block, axis: str, given: Override) -> tuple[Any, ...]:
    """Of keys that vary together, what has these levels of one of them."""
    place, levels = keys(axis).index(given.key), block.axes[axis]
    assert isinstance(levels, tuple)
    known = [level[place] for level in levels]
    if unknown := [value for value in given.values if value not in known]:
        raise UserError(
            f"{given.text}: {given.key} varies together with others ({axis}) in block '{block.name}', where "
            f"{unknown[0]} is not among its levels; they are {', '.join(map(str, known))}"
        )
    return tuple(level for level in levels if level[place] in given.values)
