"""How models get into the user's store: downloaded by name, or imported from a file."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from napari_fastsam3d.errors import CheckpointError
from napari_fastsam3d.geometry.io.json_text import parse_json
from napari_fastsam3d.model.checkpoint import fingerprint as sha256_of
from napari_fastsam3d.model.checkpoint import verify
from napari_fastsam3d.model.download import ReportBytes, download, file_name
from napari_fastsam3d.model.load import existing_file
from napari_fastsam3d.model.registry import MODELS, ModelCard
from napari_fastsam3d.model.sam_med3d.checkpoint import assemble
from napari_fastsam3d.model.sam_med3d.checkpoint_file import PARTS, PublishedFile, read_published
from napari_fastsam3d.model.store import ModelStore, Record


def fetch_model(
    name: str,
    *,
    url: str | None = None,
    progress: ReportBytes = lambda done, total: None,
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
    path = existing_file(path)
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


def _rest(given: str | Path, store: ModelStore) -> PublishedFile:
    if str(given) in store:
        return read_published(store.weights(str(given)))
    return read_published(existing_file(given))


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
        return dict(parse_json((store.folder / "downloads" / "first-use").read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _record_first_use(store: ModelStore, name: str, sha256: str) -> None:
    path = store.folder / "downloads" / "first-use"
    partial = path.with_name("first-use.part")
    partial.write_text(json.dumps({**_first_use(store), name: sha256}), "utf-8")
    os.replace(partial, path)
