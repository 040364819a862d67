"""Models: networks, weights, and the predictor that a session talks to.

The public names are loaded on first use, so that the protocol of a predictor is at hand without
torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_fastsam3d.model.fetch import fetch_model, import_model
    from napari_fastsam3d.model.load import load_model
    from napari_fastsam3d.model.predictor import Predictor, Segmentation
    from napari_fastsam3d.model.registry import MODELS, available_models

_HOMES = {
    "MODELS": "registry",
    "Predictor": "predictor",
    "Segmentation": "predictor",
    "available_models": "registry",
    "fetch_model": "fetch",
    "import_model": "fetch",
    "load_model": "load",
}

__all__ = [
    "MODELS",
    "Predictor",
    "Segmentation",
    "available_models",
    "fetch_model",
    "import_model",
    "load_model",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
