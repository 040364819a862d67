"""Reading checkpoint files of other people, without executing anything in them."""

import argparse
import os
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_fastsam3d.errors import CheckpointError
from napari_fastsam3d.model.checkpoint import fingerprint, read_tensors

PARTS = ("image_encoder", "prompt_encoder", "mask_decoder")
"""The parts of a published model, and the first word of their keys."""


def _numpy_scalar(dtype: np.dtype[Any], data: bytes) -> Any:
    """Rebuild a number that a training script kept as numpy's own type, such as a best score."""
    return np.frombuffer(data, dtype)[0].item()


def _numpy_scalars() -> list[Any]:
    """Give the above under the names that numpy 1 and numpy 2 wrote into files."""
    named: list[Any] = []
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):

        def scalar(dtype: np.dtype[Any], data: bytes) -> Any:
            return _numpy_scalar(dtype, data)

        scalar.__module__ = module
        scalar.__qualname__ = "scalar"
        named.append(scalar)
    return named


# What the authors' training scripts wrote beside the weights. All of these hold data and run no
# code of the file when they are rebuilt.
_HARMLESS: list[Any] = [
    argparse.Namespace,
    torch.device,
    np.dtype,
    type(np.dtype(np.float32)),
    type(np.dtype(np.float64)),
    type(np.dtype(np.int64)),
    *_numpy_scalars(),
]
_NESTS = ("model_state_dict", "state_dict", "model")
_WRAPPER = "module."


@dataclass(frozen=True)
class PublishedFile:
    """What one file holds.

    Attributes
    ----------
    path : Path
        The file.
    sha256 : str
        Of the file, hexadecimal.
    tensors : mapping of str to Tensor
        By the authors' names, each beginning with the name of its part.
    """

    path: Path
    sha256: str
    tensors: Mapping[str, Tensor]

    @property
    def parts(self) -> tuple[str, ...]:
        """Which parts of a model the file has something of."""
        return tuple(part for part in PARTS if any(_part(key) == part for key in self.tensors))

    def of_part(self, part: str) -> dict[str, Tensor]:
        """Give the tensors of one part."""
        return {key: value for key, value in self.tensors.items() if _part(key) == part}

    @property
    def stray(self) -> tuple[str, ...]:
        """Keys that belong to no part of a model."""
        return tuple(key for key in self.tensors if _part(key) not in PARTS)


def _part(key: str) -> str:
    return key.partition(".")[0]


def read_published(path: Path) -> PublishedFile:
    """Read a checkpoint of FastSAM3D or SAM-Med3D.

    Three shapes of file are known: a whole model, an image encoder alone (without its prefix), and
    either of them saved by a data-parallel run (`module.` before every key). They may lie in a
    dictionary beside other things. `.safetensors` files are read too.

    Raises
    ------
    CheckpointError
        When the file is absent, damaged, not a checkpoint, or asks for code to be run.
    """
    if path.suffix == ".safetensors":
        tensors: Mapping[str, Any] = read_tensors(path)[0]
    else:
        tensors = _weights_in(_unpickled(path), path)
    return PublishedFile(path, fingerprint(path), _with_parts(_unwrapped(tensors)))


def _unpickled(path: Path) -> Any:
    _refuse_override()
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            return _load(path)
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no file {path}.", "Check the path.") from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path.name} was not loaded: {_first_line(error)}",
            "It may be damaged, or made to run code on your machine; get the file from its "
            "authors again.",
        ) from error
    except Exception as error:  # a damaged file breaks its reader in every way
        raise CheckpointError(
            f"{path.name} cannot be read as a checkpoint: {_first_line(error)}",
            "Give a whole .pth or .safetensors file.",
        ) from error


def _load(path: Path) -> Any:
    # Mapped, the optimiser's state beside the weights never comes into memory; the old format,
    # from before torch 1.6, can't be mapped.
    mapped = _is_zip(path)
    return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _refuse_override() -> None:
    old = tuple(int(n) for n in torch.__version__.split(".")[:2]) < (2, 6)
    if old and os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "0") not in ("", "0"):
        raise CheckpointError(
            "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD makes this torch run code in checkpoint files.",
            "Unset that variable, or install torch 2.6 or newer.",
        )


def _first_line(error: Exception) -> str:
    """Give what torch says without its advice to load the file unsafely."""
    lines = (line.strip() for line in str(error).splitlines())
    told = [line for line in lines if line and "weights_only" not in line]
    detail = re.findall(r"WeightsUnpickler error[^\n]*", str(error))
    return (detail or told or [type(error).__name__])[0].strip().rstrip(".") + "."


def _weights_in(content: Any, path: Path) -> Mapping[str, Any]:
    """Find the weights in what a file holds."""
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path.name} holds a {type(content).__name__}, not the weights of a model.",
            "Give a file with a state dictionary.",
        )
    for nest in _NESTS:
        if isinstance(content.get(nest), Mapping):
            content = content[nest]
            break
    wrong = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    if wrong or not content:
        raise CheckpointError(
            f"{path.name} holds no weights: {', '.join(wrong[:8]) or 'it is empty'}.",
            f"The weights should lie at its top, or under {', '.join(_NESTS)}.",
        )
    return content


def _unwrapped(tensors: Mapping[str, Any]) -> Mapping[str, Any]:
    while tensors and all(str(key).startswith(_WRAPPER) for key in tensors):
        tensors = {key[len(_WRAPPER) :]: value for key, value in tensors.items()}
    return tensors


def _with_parts(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put the encoder's prefix before the keys of a file that holds the encoder alone."""
    alone = "pos_embed" in tensors or "patch_embed.proj.weight" in tensors
    prefix = f"{PARTS[0]}." if alone else ""
    return {prefix + key: value for key, value in tensors.items()}
