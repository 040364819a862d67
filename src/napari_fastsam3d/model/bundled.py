"""The weights that are part of the package."""

import hashlib
from collections.abc import Generator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path

from napari_fastsam3d.errors import CheckpointError
from napari_fastsam3d.model.checkpoint import REINSTALL, read_encoder, read_pyramid, verify
from napari_fastsam3d.model.default.network import PyramidNetwork

_WEIGHTS = files("napari_fastsam3d.model.default") / "weights"


def is_bundled(name: str) -> bool:
    """Whether a model is part of this package."""
    return name == "default" or (name == "lite" and (_WEIGHTS / "lite.safetensors").is_file())


def read_bundled(name: str) -> tuple[PyramidNetwork, str]:
    """Read a model of the package.

    `lite` is an image encoder beside the decoders of the default model.

    Returns
    -------
    tuple of PyramidNetwork and str
        In float32 on the CPU; and what tells its weights from others, hexadecimal.

    Raises
    ------
    CheckpointError
        When its weights are missing or damaged.
    """
    with _weights("default") as (path, sha256):
        network = read_pyramid(path)
    if name == "default":
        return network, sha256
    with _weights(name) as (path, own):
        return read_encoder(path, network), hashlib.sha256(f"{own} {sha256}".encode()).hexdigest()


@contextmanager
def _weights(name: str) -> Generator[tuple[Path, str]]:
    """Give the path of a file of weights and its SHA-256, which is what it should be."""
    with as_file(_WEIGHTS) as folder:
        path = folder / f"{name}.safetensors"
        try:
            expected = (folder / f"{name}.sha256").read_text(encoding="ascii").split()[0]
        except OSError as error:
            raise CheckpointError(
                f"The {name} model's weights are not in this installation.", REINSTALL
            ) from error
        yield path, verify(path, expected)
