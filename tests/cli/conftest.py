from pathlib import Path

import pytest
import torch

from napari_fastsam3d.model.checkpoint import save_pyramid
from napari_fastsam3d.model.default.image_encoder import PyramidConfig
from napari_fastsam3d.model.default.network import PyramidNetwork


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights of the smallest network: quick, and right in all but sense."""
    torch.manual_seed(0)
    smallest = PyramidConfig(
        widths=(4, 8, 8),
        blocks=(1, 1, 1),
        width=16,
        depth=1,
        heads=2,
        decoder_widths=(4, 4, 8),
        affinity_heads=(1, 1),
        affinity_width=4,
    )
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_pyramid(PyramidNetwork(smallest), path)
    return path
