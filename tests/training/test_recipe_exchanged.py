"""Recipes in which any one thing is another: refused by name, or meant as they say."""

import json
import math
import tomllib
from contextlib import suppress
from copy import deepcopy
from itertools import product
from pathlib import Path

import pytest
from tiny_data import RECIPE

from napari_fastsam3d import training
from napari_fastsam3d.errors import TrainingError
from napari_fastsam3d.training.distillation_recipe import read_distillation
from napari_fastsam3d.training.recipe import Recipe
from napari_fastsam3d.training.recipe_file import read_recipe, recipe_of

SHIPPED = Path(training.__file__).parent / "recipes"
TABLES = {
    "tiny": tomllib.loads(RECIPE),
    "default": tomllib.loads((SHIPPED / "default.toml").read_text("utf-8")),
}
OTHERS = [True, -1, 0, 1.5, 10**30, math.nan, math.inf, "x", [], {}, [[1]], {"x": 1}, [None]]


def paths(value, here=()):
    """The ways to every part of a recipe."""
    parts = value.items() if isinstance(value, dict) else ()
    parts = enumerate(value) if isinstance(value, list) else parts
    for key, part in parts:
        yield (*here, key)
        yield from paths(part, (*here, key))


def exchanged(table, path, value):
    table = deepcopy(table)
    inside = table
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    return table


def each_kind(table):
    """One way for each name that a part has, and the first of each list."""
    named = {next(key for key in path[::-1] if key != 0): path for path in paths(table)}
    return [path for key, path in named.items() if isinstance(key, str)]


@pytest.mark.parametrize("name", TABLES)
def test_whatever_one_place_holds_there_is_a_recipe_or_one_error(name):
    table = TABLES[name]
    assert isinstance(recipe_of(table), Recipe)
    read = 0
    for path, value in product(each_kind(table), OTHERS):
        other = exchanged(table, path, value)
        before = repr(other)
        with suppress(TrainingError):
            found = recipe_of(other)
            read += 1
            assert all(phase.steps >= 1 for phase in found.phases)
            assert found.network_at(found.steps - 1).width >= 1
        assert repr(other) == before, "the table that was read was changed"
    assert 0 < read < len(each_kind(table)) * len(OTHERS) / 2


@pytest.mark.parametrize("name", TABLES)
def test_a_key_that_is_missing_is_named_and_one_too_many_too(name):
    table = TABLES[name]
    for path in paths(table):
        if isinstance(path[-1], int):
            continue
        more = exchanged(table, (*path[:-1], "squeeze"), 1)
        if len(path) > 1 and path[-2] != "network" and not isinstance(path[-2], int):
            continue  # among sources, where any name may be that of a set
        with pytest.raises(TrainingError, match="squeeze"):
            recipe_of(more)
    for needed in ("phases", "sources"):
        lacking = {key: value for key, value in table.items() if key != needed}
        with pytest.raises(TrainingError, match=needed):
            recipe_of(lacking)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "seed = ",
        "[[phases]",
        "seed = 3\nseed = 4",
        "phases = " + "[" * 2000,
        "\x00",
        json.dumps(TABLES["tiny"]),
        "[student]\nwidths = [4]",
    ],
    ids=["empty", "cut", "brackets", "twice", "nested", "zero", "json", "student"],
)
def test_a_file_that_is_no_recipe_is_one_error(tmp_path, text):
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    for read in (read_recipe, read_distillation):
        with pytest.raises(TrainingError) as told:
            read(path)
        assert told.value.problem
        assert told.value.remedy
