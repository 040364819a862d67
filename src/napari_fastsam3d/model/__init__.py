"""The resident model: networks, weights, and the predictor that a session talks to."""

from napari_fastsam3d.model.predictor import Predictor, Segmentation
from napari_fastsam3d.model.zoo import (
    MODELS,
    available_models,
    fetch_model,
    import_model,
    load_model,
)

__all__ = [
    "MODELS",
    "Predictor",
    "Segmentation",
    "available_models",
    "fetch_model",
    "import_model",
    "load_model",
]
