"""Click an organ in a CT or MR volume and get its 3D mask at once.

The public names are loaded on first use, so that importing the package costs nothing: neither
torch nor Qt is imported here.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_fastsam3d.errors import FastSAM3DError
    from napari_fastsam3d.geometry import Volume, read_volume, save_mask
    from napari_fastsam3d.memory.bank import MemoryBank
    from napari_fastsam3d.model import load_model
    from napari_fastsam3d.model.adapter_store import AdapterStore
    from napari_fastsam3d.session import Session
    from napari_fastsam3d.training.adaptation.adapt import adapt

try:
    __version__ = version("napari-fastsam3d")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0"

_HOMES = {
    "FastSAM3DError": "errors",
    "MemoryBank": "memory.bank",
    "Session": "session",
    "AdapterStore": "model.adapter_store",
    "adapt": "training.adaptation.adapt",
    "Volume": "geometry",
    "load_model": "model",
    "read_volume": "geometry",
    "save_mask": "geometry",
}

__all__ = [
    "AdapterStore",
    "FastSAM3DError",
    "MemoryBank",
    "Session",
    "Volume",
    "__version__",
    "adapt",
    "load_model",
    "read_volume",
    "save_mask",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
