"""A default network of the smallest size, which looks at crops of 32^3, and scans for it."""

import numpy as np
import torch

from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.model.adaptation import AdaptedNetwork, AdapterConfig
from napari_fastsam3d.model.adapter import Adapter
from napari_fastsam3d.model.default.image_encoder import PyramidConfig
from napari_fastsam3d.model.default.network import PyramidNetwork
from napari_fastsam3d.model.default.predictor import PyramidPredictor

SIZE = 32


def small_pyramid(dtype: torch.dtype = torch.float32) -> PyramidPredictor:
    torch.manual_seed(3)
    config = PyramidConfig(
        widths=(8, 8, 16),
        blocks=(1, 1, 1),
        width=32,
        depth=2,
        heads=4,
        decoder_widths=(8, 8, 16),
        affinity_heads=(1, 1),
        affinity_width=4,
        box_decoder=True,
        candidates=2,
        coarse_candidates=2,
    )
    network = PyramidNetwork(config)
    for parameter in network.parameters():
        parameter.data.add_(0.05 * torch.randn_like(parameter))
    predictor = PyramidPredictor(network, "small", torch.device("cpu"), dtype, "abc")
    predictor.crop_size = SIZE
    return predictor


def ball_scan(seed: int, edge: int = 30) -> tuple[Volume, Mask]:
    """Return a scan of a bright ball somewhere in the middle, voxels of 2 mm."""
    rng = np.random.default_rng(seed)
    centre = edge / 2 + rng.uniform(-3, 3, 3)
    axes = np.indices((edge,) * 3)
    away = sum((axis - at) ** 2 for axis, at in zip(axes, centre, strict=True))
    ball = away < 36
    voxels = (100 * ball + rng.normal(0, 10, ball.shape)).astype(np.float32)
    return Volume.from_array(voxels, spacing=(2.0, 2.0, 2.0)), Mask.of_volume(ball)


def made(predictor: PyramidPredictor, name: str, shift: float) -> Adapter:
    """Return an adapter by which masks become larger or smaller."""
    config = AdapterConfig("norm")
    adapted = AdaptedNetwork(predictor, config)
    for key, parameter in adapted.parameters.items():
        if "hyper_" in key and key.endswith("bias_shift"):
            parameter.data += shift
    return Adapter.of(
        adapted,
        structure=name,
        config=config,
        model=predictor.fingerprint,
        model_name="small",
        spacing=2.12,
        cases=3,
        gain=None,
    )
