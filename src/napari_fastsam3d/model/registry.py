"""The models that can be loaded by name, and how they are fetched and imported."""

import json
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import torch

from napari_fastsam3d.errors import CheckpointError
from napari_fastsam3d.model.base_predictor import BasePredictor
from napari_fastsam3d.model.checkpoint import fingerprint as sha256_of
from napari_fastsam3d.model.checkpoint import is_pyramid, read_pyramid, verify
from napari_fastsam3d.model.default.predictor import PyramidPredictor
from napari_fastsam3d.model.device import choose_device, choose_precision
from napari_fastsam3d.model.download import Progress, download, file_name
from napari_fastsam3d.model.sam_med3d.checkpoint import Assembly, assemble, build_network
from napari_fastsam3d.model.sam_med3d.checkpoint_file import PARTS, PublishedFile, read_published
from napari_fastsam3d.model.sam_med3d.predictor import PublishedPredictor
from napari_fastsam3d.model.store import ModelStore, Record
from napari_fastsam3d.model.threads import choose_threads

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelCard:
    """What a user should know of a model before choosing it, or downloading it.

    Attributes
    ----------
    name : str
        What `load_model` and `--model` take.
    summary : str
        One sentence.
    licence : str
        Of the weights.
    origin : str
        Who offers them.
    architecture : str or None
        A name of `ARCHITECTURES`; None for the default model.
    url : str or None
        Where the file is; None for a model that is part of the package.
    megabytes : int or None
        About how much is downloaded, if known; the server tells before it begins.
    sha256 : str or None
        Of that file. None where it isn't known to this version: it is then recorded at the first
        download, and a later one is compared with that.
    rest_from : str or None
        The model whose prompt encoder and mask decoder are taken if the file holds an image
        encoder alone.
    """

    name: str
    summary: str
    licence: str
    origin: str = "part of napari-fastsam3d"
    architecture: str | None = None
    url: str | None = None
    megabytes: int | None = None
    sha256: str | None = None
    rest_from: str | None = None


MODELS = {
    card.name: card
    for card in (
        ModelCard(
            "default",
            "Small and quick, for CT and MR; points and boxes; part of the package.",
            "Apache-2.0",
        ),
        ModelCard(
            "fastsam3d",
            "FastSAM3D (Shen et al. 2024), distilled from SAM-Med3D: points, 1.5 mm crops.",
            "Apache-2.0",
            "https://huggingface.co/techlove/FastSAM3D",
            "fastsam3d",
            "https://huggingface.co/techlove/FastSAM3D/resolve/main/FastSAM3D.pth",
            638,
            rest_from="sam-med3d",
        ),
        ModelCard(
            "sam-med3d",
            "SAM-Med3D-turbo (Wang et al. 2023), the teacher: points, 1.5 mm crops, slower.",
            "Apache-2.0",
            "https://huggingface.co/blueyo0/SAM-Med3D",
            "sam-med3d",
            "https://huggingface.co/blueyo0/SAM-Med3D/resolve/main/sam_med3d_turbo.pth",
        ),
    )
}
"""The models by name: what is part of the package, and what can be fetched."""


def available_models(store: ModelStore | None = None) -> tuple[str, ...]:
    """Name the models that can be loaded now: the package's own, and those fetched or imported."""
    return ("default", *(store or ModelStore()).names())


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
    if str(name) == "default":
        return _default(place, precision)
    store = ModelStore()
    if str(name) in store:
        return _stored(store, str(name), place, precision)
    path = _existing(name)
    if is_pyramid(path):
        return PyramidPredictor(read_pyramid(path), path.stem, place, precision, sha256_of(path))
    kept = _converted(store, path, architecture, None if rest is None else _existing(rest))
    if isinstance(kept, Record):
        return _stored(store, kept.name, place, precision, path.stem)
    _, network = build_network(kept.tensors, kept.architecture)
    digest = sha256_of(path)
    return PublishedPredictor(network, path.stem, place, precision, digest, kept.provenance)


def fetch_model(
    name: str,
    *,
    url: str | None = None,
    progress: Progress = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
    store: ModelStore | None = None,
) -> Record:
    """Download a model of `MODELS` and keep it in the user's data folder.

    Nothing is ever downloaded but by this call, and nothing twice: a model that is here and whole
    is given as it is, and a file that has arrived is kept until it could be converted.

    Parameters
    ----------
    name : str
        A name of `MODELS`.
    url : str, optional
        A mirror to take the file from.
    progress, cancelled : callable
        See `download`.
    store : ModelStore, optional
        Where to keep it.

    Raises
    ------
    DownloadCancelledError
        When `cancelled` said so; what has arrived is kept for the next time.
    CheckpointError
        When it cannot be downloaded, or is not what it should be.
    """
    card = MODELS.get(name)
    if card is None or card.url is None:
        can = ", ".join(card.name for card in MODELS.values() if card.url)
        raise CheckpointError(f"There is nothing to fetch for {name!r}.", f"Choose one of {can}.")
    store = store or ModelStore()
    if (there := whole_record(store, name)) is not None:
        return there
    source = url or card.url
    # By the model, for what several servers have may be called alike.
    file = store.folder / "downloads" / name / file_name(source)
    known = card.sha256 or _first_use(store).get(name)
    sha256 = _arrived(file, known) or download(
        source, file, sha256=known, progress=progress, cancelled=cancelled
    )
    record = _install(card, file, sha256, known, store)
    _clear(file)
    return record


def import_model(
    path: str | Path,
    *,
    name: str | None = None,
    rest: str | Path | None = None,
    architecture: str | None = None,
    licence: str = "not stated",
    store: ModelStore | None = None,
) -> Record:
    """Convert a checkpoint of FastSAM3D or SAM-Med3D and keep it under a name.

    Parameters
    ----------
    path : str or Path
        The file; it is read without executing anything in it, and stays where it is.
    name : str, optional
        The file's name without its ending, by default.
    rest : str or Path, optional
        For a file with an image encoder alone: a file with the other parts, or a model's name.
    architecture : str, optional
        See `load_model`.
    licence : str
        Of the weights.
    store : ModelStore, optional
        Where to keep it.

    Raises
    ------
    CheckpointError
        When a file cannot be read or does not fit; it names every key that is missing, unknown or
        misshaped.
    """
    store = store or ModelStore()
    path = _existing(path)
    name = name or path.stem
    if name in MODELS and MODELS[name].url is None:
        raise CheckpointError(
            f"{name!r} is the name of the package's own model.", "Give another with --name."
        )
    given = [read_published(path)]
    if rest is not None:
        given.append(_rest(rest, store))
    model = assemble(given, architecture)
    origin = f"the file {path.resolve()}"
    return store.add(
        name, model, licence=licence, origin=origin, trust="imported from a file of yours"
    )


def _default(place: torch.device, precision: torch.dtype) -> BasePredictor:
    folder = files("napari_fastsam3d.model.default") / "weights"
    with as_file(folder) as weights:
        path = weights / "default.safetensors"
        sha256 = verify(path, _expected(weights))
        return PyramidPredictor(read_pyramid(path), "default", place, precision, sha256)


def _expected(weights: Path) -> str:
    """Read the SHA-256 that the bundled weights should have."""
    try:
        return (weights / "default.sha256").read_text(encoding="ascii").split()[0]
    except OSError as error:
        raise CheckpointError(
            "The default model's weights are not in this installation.",
            "Install the package anew: pip install --force-reinstall napari-fastsam3d.",
        ) from error


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


def _existing(name: str | Path) -> Path:
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


def _rest(given: str | Path, store: ModelStore) -> PublishedFile:
    if str(given) in store:
        return read_published(store.weights(str(given)))
    return read_published(_existing(given))


def whole_record(store: ModelStore, name: str) -> Record | None:
    """Give the record of a model of the store whose files are whole, None for any other."""
    if name not in store:
        return None
    try:
        record = store.record(name)
        verify(store.weights(name), record.sha256)
    except (CheckpointError, OSError):
        return None
    return record


def _arrived(file: Path, known: str | None) -> str | None:
    """Give the SHA-256 of a file that an earlier call downloaded whole, if it is the right one."""
    if not file.is_file():
        return None
    sha256 = sha256_of(file)
    return sha256 if known in (None, sha256) else None


def _clear(file: Path) -> None:
    """Delete a file that was downloaded, and its folder unless something else lies there."""
    with suppress(OSError):  # it serves no more, but does no harm either
        file.unlink(missing_ok=True)
        file.parent.rmdir()


def _readable(file: Path) -> PublishedFile:
    """Read what was downloaded; what can't be read is deleted, to be fetched anew."""
    try:
        return read_published(file)
    except CheckpointError:
        _clear(file)
        raise


def _install(
    card: ModelCard, file: Path, sha256: str, known: str | None, store: ModelStore
) -> Record:
    """Convert what was downloaded; the SHA-256 of a first download is recorded."""
    given = [_readable(file)]
    if given[0].parts == PARTS[:1] and card.rest_from is not None:
        if card.rest_from not in store:
            raise CheckpointError(
                f"{file.name} holds an image encoder alone; the rest is in {card.rest_from}.",
                f"napari-fastsam3d models fetch {card.rest_from}, then fetch {card.name} again.",
            )
        given.append(_rest(card.rest_from, store))
    trust = (
        "the SHA-256 is the one that this version expects"
        if card.sha256
        else "the SHA-256 is the one of the first download"
        if known
        else "first download: its SHA-256 was recorded, and could be compared with nothing"
    )
    try:
        model = assemble(given, card.architecture)
    except CheckpointError:
        _clear(file)
        raise
    record = store.add(card.name, model, licence=card.licence, origin=card.origin, trust=trust)
    _record_first_use(store, card.name, sha256)
    return record


def _first_use(store: ModelStore) -> dict[str, str]:
    try:
        return dict(json.loads((store.folder / "downloads" / "first-use").read_text("utf-8")))
    except (OSError, ValueError):
        return {}


def _record_first_use(store: ModelStore, name: str, sha256: str) -> None:
    path = store.folder / "downloads" / "first-use"
    aside = path.with_name("first-use.part")
    aside.write_text(json.dumps({**_first_use(store), name: sha256}), "utf-8")
    os.replace(aside, path)
