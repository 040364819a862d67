from pathlib import Path

import pytest
from tiny_data import RECIPE, make_data

from napari_fastsam3d.training.recipe import Recipe
from napari_fastsam3d.training.recipe_file import read_recipe


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return make_data(folder)


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def recipe(recipe_file: Path) -> Recipe:
    return read_recipe(recipe_file)


@pytest.fixture
def rng_crop():
    def make(size: int):
        import torch

        return torch.randn(1, 1, size, size, size, generator=torch.Generator().manual_seed(0))

    return make
