import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_fastsam3d.model.sam_med3d.checkpoint_keys import published_tensors
from napari_fastsam3d.model.sam_med3d.image_encoder import Mixing, ViTConfig
from napari_fastsam3d.model.sam_med3d.mask_decoder import DecoderConfig
from napari_fastsam3d.model.sam_med3d.network import PublishedConfig, PublishedNetwork

STUDENT: tuple[Mixing, ...] = ("none", "global")
TEACHER: tuple[Mixing, ...] = ("padded", "global")


@pytest.fixture(scope="session")
def small_network() -> Callable[..., PublishedNetwork]:
    """Make a published network of the smallest size, with random weights that all matter."""

    def make(mixing: tuple[Mixing, ...] = STUDENT, seed: int = 0) -> PublishedNetwork:
        torch.manual_seed(seed)
        encoder = ViTConfig(
            mixing,
            residual="normalised" if "none" in mixing else "standard",
            width=32,
            heads=4,
            hidden=64,
            out_width=48,
        )
        network = PublishedNetwork(PublishedConfig(encoder, DecoderConfig(48, hidden=32)))
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        return network.eval().requires_grad_(False)

    return make


@pytest.fixture(scope="session")
def authors_file() -> Callable[..., Path]:
    """Write weights as the authors' training scripts did, beside other things."""

    def write(path: Path, weights: dict[str, Any], **beside: Any) -> Path:
        content = {
            "epoch": 3,
            "model_state_dict": weights,
            "args": argparse.Namespace(model_type="vit_b_ori", device=torch.device("cpu")),
            "best_dice": np.float64(0.5),
            "losses": [np.float32(0.25), 1.0],
            **beside,
        }
        torch.save(content, path)
        return path

    return write


@pytest.fixture(scope="session")
def student_file(
    tmp_path_factory: pytest.TempPathFactory,
    small_network: Callable[..., PublishedNetwork],
    authors_file: Callable[..., Path],
) -> Path:
    path = tmp_path_factory.mktemp("published") / "student.pth"
    return authors_file(path, published_tensors(small_network()))


@pytest.fixture(scope="session")
def teacher_file(
    tmp_path_factory: pytest.TempPathFactory,
    small_network: Callable[..., PublishedNetwork],
    authors_file: Callable[..., Path],
) -> Path:
    path = tmp_path_factory.mktemp("published") / "teacher.pth"
    return authors_file(path, published_tensors(small_network(TEACHER, seed=1)))
