"""The models that can be loaded by name."""

from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import torch

from napari_fastsam3d.errors import CheckpointError
from napari_fastsam3d.model.checkpoint import fingerprint as sha256_of
from napari_fastsam3d.model.checkpoint import read_pyramid, verify
from napari_fastsam3d.model.device import choose_device, choose_precision
from napari_fastsam3d.model.predictor import Predictor
from napari_fastsam3d.model.pyramid_predictor import PyramidPredictor


@dataclass(frozen=True)
class ModelCard:
    """What a user should know of a model before choosing it.

    Attributes
    ----------
    name : str
        What `load_model` and `--model` take.
    summary : str
        One sentence.
    licence : str
        Of the weights.
    """

    name: str
    summary: str
    licence: str


MODELS = {
    "default": ModelCard(
        "default",
        "Small and quick, for CT and MR; points and boxes; part of the package.",
        "Apache-2.0",
    )
}
"""The models by name."""


def load_model(
    name: str | Path = "default", device: str = "auto", dtype: str = "auto"
) -> Predictor:
    """Load a model and keep it ready.

    Parameters
    ----------
    name : str or Path
        A name of `MODELS`, or a file of weights written by `napari-fastsam3d train`.
    device : str
        "auto", "cpu" or "cuda".
    dtype : str
        "auto", "float32" or "bfloat16": the precision of matrix products.

    Raises
    ------
    CheckpointError
        When the name is unknown or the weights are damaged or do not fit.
    DeviceError
        When the device cannot be used here.
    """
    place = choose_device(device)
    precision = choose_precision(dtype, place)
    if str(name) == "default":
        folder = files("napari_fastsam3d.model") / "weights"
        with as_file(folder) as weights:
            path = weights / "default.safetensors"
            return _predictor(path, "default", _expected(weights), place, precision)
    path = Path(name)
    if not path.exists():
        raise CheckpointError(
            f"There is no model {str(name)!r} and no such file.",
            f"Choose one of {', '.join(MODELS)}, or give a file of weights.",
        )
    return _predictor(path, path.stem, None, place, precision)


def _expected(weights: Path) -> str:
    """Read the SHA-256 that the bundled weights should have."""
    try:
        return (weights / "default.sha256").read_text(encoding="ascii").split()[0]
    except OSError as error:
        raise CheckpointError(
            "The default model's weights are not in this installation.",
            "Install the package anew: pip install --force-reinstall napari-fastsam3d.",
        ) from error


def _predictor(
    path: Path, name: str, expected: str | None, place: torch.device, precision: torch.dtype
) -> Predictor:
    sha256 = verify(path, expected) if expected else sha256_of(path)
    return PyramidPredictor(read_pyramid(path), name, place, precision, sha256)
