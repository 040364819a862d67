"""Reading and writing weights, without trusting the file."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from napari_fastsam3d.errors import CheckpointError
from napari_fastsam3d.geometry.io.json_text import parse_json
from napari_fastsam3d.model.default.image_encoder import PyramidConfig
from napari_fastsam3d.model.default.network import PyramidNetwork, with_encoder

REINSTALL = "Install the package anew: pip install --force-reinstall napari-fastsam3d."
"""What to do where the package's own weights are not as they should be."""


def fingerprint(path: Path) -> str:
    """Give the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint_of(module: nn.Module) -> str:
    """Return what tells the weights of a part of a network from others: SHA-256, hexadecimal.

    In half precision, as files hold them; to be asked before weights are cast to anything coarser.
    """
    digest = hashlib.sha256()
    for name, weights in sorted(module.state_dict().items()):
        digest.update(f"{name} {tuple(weights.shape)} ".encode())
        digest.update(weights.half().contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()


def verify(path: Path, expected: str, remedy: str = REINSTALL) -> str:
    """Give a file's SHA-256 after comparing it with what it should be.

    Raises
    ------
    CheckpointError
        When they differ, with the remedy.
    """
    actual = fingerprint(path)
    if actual != expected:
        raise CheckpointError(
            f"The weights {path.name} are damaged: their SHA-256 is {actual[:12]}..., "
            f"not {expected[:12]}...",
            remedy,
        )
    return actual


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file: its tensors and its metadata.

    Raises
    ------
    CheckpointError
        When the file is absent or not a safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names: list[str] = list(file.keys())
            return {name: file.get_tensor(name) for name in names}, metadata
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"The weights {path} cannot be read: {error}.", "Give a whole .safetensors file."
        ) from error


def misfits(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> list[str]:
    """Name every key that is missing, unknown or misshaped, a few words each."""
    faults = [f"{key} is missing" for key in wanted if key not in given]
    faults += [f"{key} is unknown" for key in given if key not in wanted]
    faults += [
        f"{key} is {tuple(given[key].shape)} and should be {tuple(wanted[key].shape)}"
        for key in wanted
        if key in given and given[key].shape != wanted[key].shape
    ]
    return faults


def load_strictly(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors into a network whose every key and shape they match.

    Raises
    ------
    CheckpointError
        Names every key that is missing, unknown or misshaped.
    """
    wanted = network.state_dict()
    if faults := misfits(wanted, tensors):
        raise CheckpointError(
            f"The weights do not fit the network: {'; '.join(faults)}.",
            "Choose the architecture that they were trained with.",
        )
    network.load_state_dict({key: tensors[key].to(wanted[key].dtype) for key in wanted})


def save_pyramid(network: PyramidNetwork, path: Path) -> str:
    """Write a network's weights in half precision, with its sizes; gives the file's SHA-256."""
    metadata = {"architecture": "pyramid", "config": json.dumps(asdict(network.config))}
    save_file(_halved(network), path, metadata=metadata)
    return fingerprint(path)


def _halved(module: nn.Module) -> dict[str, Tensor]:
    return {key: value.half().contiguous() for key, value in module.state_dict().items()}


def export_pyramid(network: PyramidNetwork, path: Path) -> None:
    """Write a network's weights for the package, all of them or none, and their SHA-256 beside."""
    _export(path, "default.safetensors", lambda partial: save_pyramid(network, partial))


def export_encoder(network: PyramidNetwork, teacher: nn.Module, path: Path) -> None:
    """Write an image encoder alone, in half precision, for beside the decoders of its teacher.

    Parameters
    ----------
    network : PyramidNetwork
        Whose encoder is written, with the sizes of all.
    teacher : Module
        The image encoder that it was distilled from.
    path : Path
        All of the file is written or none of it, and its SHA-256 beside it.
    """
    metadata = {
        "architecture": "pyramid-encoder",
        "config": json.dumps(asdict(network.config)),
        "teacher": fingerprint_of(teacher),
    }

    def write(partial: Path) -> str:
        save_file(_halved(network.encoder), partial, metadata=metadata)
        return fingerprint(partial)

    _export(path, "lite.safetensors", write)


def _export(path: Path, name: str, write: Callable[[Path], str]) -> None:
    partial = path.with_suffix(".partial")
    sha256 = write(partial)
    partial.replace(path)
    path.chmod(0o644)  # safetensors keeps its files to their owner; a package is for everybody
    path.with_suffix(".sha256").write_text(f"{sha256}  {name}\n", encoding="ascii")


def read_encoder(path: Path, network: PyramidNetwork) -> PyramidNetwork:
    """Read an image encoder written by `export_encoder`, and put it before a network's decoders.

    Raises
    ------
    CheckpointError
        When the file is damaged, or the encoder was distilled from another one than the network's.
    """
    tensors, metadata = read_tensors(path)
    if metadata.get("architecture") != "pyramid-encoder":
        raise CheckpointError(
            f"{path.name} does not hold an image encoder of this architecture.",
            "Give a file written by `napari-fastsam3d distill`.",
        )
    if metadata.get("teacher") != fingerprint_of(network.encoder):
        raise CheckpointError(
            f"{path.name} was distilled from other weights than those of its decoders.", REINSTALL
        )
    made = _without_weights(path, metadata)
    encoder = made.encoder.to_empty(device="cpu")
    load_strictly(encoder, tensors)
    return with_encoder(network, encoder, made.config)


def is_pyramid(path: Path) -> bool:
    """Whether a file was written by `save_pyramid`; false for anything that can't be read so."""
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("architecture") == "pyramid"
    except (OSError, SafetensorError):
        return False


def read_pyramid(path: Path) -> PyramidNetwork:
    """Read a network written by `save_pyramid`.

    Raises
    ------
    CheckpointError
        When the file is damaged or of another architecture.
    """
    tensors, metadata = read_tensors(path)
    if metadata.get("architecture") != "pyramid":
        raise CheckpointError(
            f"{path.name} does not hold weights of this architecture.",
            "Give a file written by `napari-fastsam3d train`.",
        )
    network = _without_weights(path, metadata).to_empty(device="cpu")
    load_strictly(network, tensors)
    return network


def _without_weights(path: Path, metadata: Mapping[str, str]) -> PyramidNetwork:
    try:
        config = PyramidConfig.of_table(parse_json(metadata["config"]))
        with torch.device("meta"):
            return PyramidNetwork(config)
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise CheckpointError(
            f"What {path.name} says of its network's sizes can't be read.",
            "Give a file written by `napari-fastsam3d train`.",
        ) from error
