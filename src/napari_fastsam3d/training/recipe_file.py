"""Reading recipes: every value is checked before a run begins, for a run takes hours."""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from napari_fastsam3d.errors import TrainingError
from napari_fastsam3d.model.checked_table import checked
from napari_fastsam3d.model.default.image_encoder import PyramidConfig
from napari_fastsam3d.training.recipe import LEARNING, Phase, Recipe

_NEEDED = {
    "coarse_decoder": "coarse_candidates",
    "first_decoder": "first_candidates",
    "first_judge": "first_candidates",
    "candidates": "candidates",
}
_SHARES = (
    *("aimed", "regrouped", "large", "boxed", "deformed", "lesioned", "boxes", "ema", "decay"),
    *("middle", "grouped", "supervoxels"),
)
_COUNTS = ("steps", "batch", "clicks", "most", "targets")
_POSITIVE = ("finest", "coarsest", "rate", "learning_rate", "clip")
_NOT_NEGATIVE = ("seed", "warmup", "weight_decay")
_EDGE = 16


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe.

    Raises
    ------
    TrainingError
        When the file is absent, is not TOML, has a key that a recipe does not have, or a value that
        nothing can be trained with.
    """
    return recipe_of(read_table(path))


def read_table(path: str | Path) -> dict[str, Any]:
    """Read a TOML file; TrainingError where it is absent or not TOML."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainingError(f"The recipe {path} cannot be read.", "Check its path.") from error
    except (ValueError, RecursionError) as error:
        raise TrainingError(f"{path} is not TOML: {error}.", "Fix that line.") from error


def recipe_of(table: Mapping[str, Any]) -> Recipe:
    """Make a recipe of what its file holds: all of its phases as often as `repeats` says.

    Raises
    ------
    TrainingError
        When a key is unknown or missing, or a value can't be.
    """
    known = {f.name for f in fields(Recipe)} | {"repeats"}
    unknown = sorted(set(table) - known)
    if unknown:
        raise TrainingError(
            f"A recipe has no key {', '.join(unknown)}.", f"It has {', '.join(sorted(known))}."
        )
    table = dict(table)
    repeats = table.pop("repeats", 1)
    try:
        sizes = _table(table.get("network", {}), "network")
        if not isinstance(listed := table["phases"], list):
            raise TypeError(f"phases can't be {listed!r}")
        phases = tuple(_phase(_table(each, "phases"), sizes) for each in listed)
        network = PyramidConfig.of_table(sizes)
        if type(repeats) is not int or repeats < 1:
            raise TypeError(f"repeats can't be {repeats!r}")
        found = {**table, "phases": phases * repeats, "network": network}
        recipe = Recipe(**checked(Recipe, found))
        _check(recipe)
        return recipe
    except (KeyError, TypeError) as error:
        raise TrainingError(
            f"The recipe is incomplete or misspelt: {error}.", "Compare it with the shipped one."
        ) from error


def _table(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{name} can't be {value!r}")
    return cast(dict[str, Any], value)


def _phase(table: dict[str, Any], sizes: dict[str, Any]) -> Phase:
    grows = table.get("network")
    if grows is None:
        return Phase(**checked(Phase, table))
    if "rate" not in table:
        raise TypeError("a phase before which the network grows begins a cycle and needs a rate")
    grown = PyramidConfig.of_table({**sizes, **_table(grows, "network")})
    return Phase(**checked(Phase, {**table, "network": grown}))


def _check(recipe: Recipe) -> None:
    """Raise a TypeError where a recipe asks for what can't be, or a phase for what isn't there."""
    shares = recipe.sources.values()
    if min(shares, default=0) < 0 or not sum(shares) > 0:
        raise TypeError("sources are shares of which none is below 0 and one is above")
    if min(recipe.held_out.values(), default=0) < 0:
        raise TypeError("held_out can't be below 0")
    if not recipe.phases:
        raise TypeError("it has no phases")
    _check_numbers(recipe)
    check_sizes(recipe.network)
    start = 0
    for phase in recipe.phases:
        _check_numbers(phase)
        check_sizes(recipe.network_at(start))
        if phase.crop < _EDGE or phase.crop % _EDGE:
            raise TypeError(f"crop is a multiple of {_EDGE}, not {phase.crop}")
        if phase.spacings and not phase.spacings[0] <= phase.spacings[1]:
            raise TypeError("finest can't be above coarsest")
        _check_learning(phase, recipe.network_at(start))
        start += phase.steps


def _check_numbers(of: Recipe | Phase) -> None:
    """Raise a TypeError where a number is out of its range."""
    named = {f.name: getattr(of, f.name) for f in fields(of)}
    for names, low, high in (
        (_SHARES, 0, 1),
        (_COUNTS, 1, math.inf),
        (_POSITIVE, 1e-12, math.inf),
        (_NOT_NEGATIVE, 0, math.inf),
    ):
        for name in names:
            value = named.get(name)
            if value is not None and not low <= value <= high:
                raise TypeError(f"{name} can't be {value}")


def check_sizes(network: PyramidConfig) -> None:
    """Raise a TypeError where no network can be of such sizes."""
    widths = (*network.widths, *network.decoder_widths, network.width, network.heads)
    counts = (*network.blocks, *network.up_blocks, network.depth)
    if min(*widths, *network.affinity_heads, network.affinity_width) < 1 or min(counts) < 0:
        raise TypeError("a size of the network is too small")
    if network.width % network.heads:
        raise TypeError(f"width, {network.width}, is no multiple of heads, {network.heads}")


def _check_learning(phase: Phase, network: PyramidConfig) -> None:
    """Raise a TypeError where a phase asks for what its network or its samples don't have."""
    if phase.learns not in LEARNING:
        raise TypeError(f"learns is one of {', '.join(LEARNING)}, not {phase.learns}")
    if phase.learns_boxes:
        if not network.box_decoder:
            raise TypeError(f"{phase.learns} learns where the network has a box_decoder only")
        if phase.boxes < 1 or phase.aimed > 0:
            raise TypeError(f"{phase.learns} learns of boxes only: boxes = 1.0, aimed = 0.0")
    elif phase.learns != "network":
        needed = _NEEDED.get(phase.learns)
        if needed and not getattr(network, needed):
            raise TypeError(f"{phase.learns} learns where the network has {needed} only")
        if phase.boxes > 0 and (phase.learns != "decoder" or network.box_decoder):
            raise TypeError(f"{phase.learns} never learns of boxes: boxes = 0.0")
