"""Loading a model: the package's own, one of the user's store, or a file of weights."""

import logging
from pathlib import Path

import torch

from napari_fastsam3d.errors import CheckpointError
from napari_fastsam3d.model.base_predictor import BasePredictor
from napari_fastsam3d.model.bundled import is_bundled, read_bundled
from napari_fastsam3d.model.checkpoint import fingerprint as sha256_of
from napari_fastsam3d.model.checkpoint import is_pyramid, read_pyramid
from napari_fastsam3d.model.default.network import PyramidNetwork
from napari_fastsam3d.model.default.predictor import PyramidPredictor
from napari_fastsam3d.model.device import choose_device, choose_precision, choose_threads
from napari_fastsam3d.model.registry import MODELS
from napari_fastsam3d.model.sam_med3d.checkpoint import Assembly, assemble, build_network
from napari_fastsam3d.model.sam_med3d.checkpoint_file import read_published
from napari_fastsam3d.model.sam_med3d.network import PublishedNetwork
from napari_fastsam3d.model.sam_med3d.predictor import PublishedPredictor
from napari_fastsam3d.model.store import ModelStore, Record

_log = logging.getLogger(__name__)


def load_model(
    name: str | Path = "default",
    device: str = "auto",
    dtype: str = "auto",
    architecture: str | None = None,
    rest: str | Path | None = None,
) -> BasePredictor:
    """Load a model and keep it ready.

    Parameters
    ----------
    name : str or Path
        A name of `available_models`, or a file: weights written by `napari-fastsam3d train`, or a
        checkpoint of FastSAM3D or SAM-Med3D, whose architecture is read off its keys and shapes. A
        checkpoint is read without executing anything in it, and converted once to safetensors in
        the user's data folder.
    device : str
        "auto", "cpu" or "cuda".
    dtype : str
        "auto", "float32" or "bfloat16": the precision of matrix products.
    architecture : str, optional
        What a checkpoint cannot tell: "fastsam3d-sparse" has the keys and shapes of "fastsam3d".
    rest : str or Path, optional
        For a checkpoint of an image encoder alone: the file with the other parts.

    Raises
    ------
    CheckpointError
        When the name is unknown or the weights are damaged or do not fit; it names what.
    DeviceError
        When the device cannot be used here.
    """
    place = choose_device(device)
    precision = choose_precision(dtype, place)
    if place.type == "cpu":
        choose_threads()
    if is_bundled(str(name)):
        network, sha256 = read_bundled(str(name))
        return PyramidPredictor(network, str(name), place, precision, sha256)
    store = ModelStore()
    if str(name) in store:
        return _stored(store, str(name), place, precision)
    path = existing_file(name)
    if is_pyramid(path):
        return PyramidPredictor(read_pyramid(path), path.stem, place, precision, sha256_of(path))
    kept = _converted(store, path, architecture, None if rest is None else existing_file(rest))
    if isinstance(kept, Record):
        return _stored(store, kept.name, place, precision, path.stem)
    _, network = build_network(kept.tensors, kept.architecture)
    digest = sha256_of(path)
    return PublishedPredictor(network, path.stem, place, precision, digest, kept.provenance)


def load_network(name: str | Path) -> PyramidNetwork | PublishedNetwork:
    """Load the weights of a model as a plain network in float32 on the CPU, to learn from.

    Parameters
    ----------
    name : str or Path
        As of `load_model`.

    Raises
    ------
    CheckpointError
        When the name is unknown or the weights are damaged or do not fit.
    """
    if is_bundled(str(name)):
        return read_bundled(str(name))[0]
    store = ModelStore()
    if str(name) in store:
        return store.load(str(name))[1]
    path = existing_file(name)
    if is_pyramid(path):
        return read_pyramid(path)
    model = assemble([read_published(path)])
    return build_network(model.tensors, model.architecture)[1]


def _stored(
    store: ModelStore,
    name: str,
    place: torch.device,
    precision: torch.dtype,
    shown: str | None = None,
) -> BasePredictor:
    record, network = store.load(name)
    return PublishedPredictor(
        network, shown or name, place, precision, record.sha256, record.provenance
    )


def existing_file(name: str | Path) -> Path:
    """Give the path of a file of weights; CheckpointError, with what to do, where there is none."""
    path = Path(name)
    if path.is_file():
        return path
    if str(name) in MODELS:
        raise CheckpointError(
            f"The model {name} is not on this machine yet.",
            f"Fetch it: napari-fastsam3d models fetch {name}.",
        )
    raise CheckpointError(
        f"There is no model {str(name)!r} and no such file.",
        f"Choose one of {', '.join(MODELS)}, or give a file of weights.",
    )


def _converted(
    store: ModelStore, path: Path, architecture: str | None, rest: Path | None
) -> Record | Assembly:
    """Convert a checkpoint once; what was converted before is found by its SHA-256."""
    digests = [sha256_of(file)[:16] for file in (path, rest) if file is not None]
    name = "-".join(["file", *digests, *([architecture] if architecture else [])])
    if name in store:
        return store.record(name)
    model = assemble([read_published(file) for file in (path, rest) if file], architecture)
    try:
        return store.add(
            name,
            model,
            licence="not stated",
            origin=f"the file {path.resolve()}",
            trust="converted when it was loaded",
        )
    except CheckpointError as error:
        # The weights are in memory, whole and checked; only the next load will be slower.
        _log.warning("%s", error)
        return model
