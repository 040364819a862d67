"""The user's own models: converted once, kept with where they came from, verified at each load."""

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from platformdirs import user_data_path
from safetensors import SafetensorError
from safetensors.torch import save_file

from napari_fastsam3d.errors import CheckpointError
from napari_fastsam3d.geometry.io.json_text import parse_json
from napari_fastsam3d.model.checkpoint import fingerprint, read_tensors, verify
from napari_fastsam3d.model.sam_med3d.checkpoint import Assembly, Provenance, build_network
from napari_fastsam3d.model.sam_med3d.network import PublishedNetwork

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Record:
    """What is known of a model in the store.

    Attributes
    ----------
    name : str
        What `load_model` takes.
    architecture : str
        A name of `ARCHITECTURES`.
    sha256 : str
        Of the converted file, verified at each load.
    size : int
        Of the converted file, in bytes.
    licence, origin : str
        Of the weights, and where they came from.
    trust : str
        What the original's SHA-256 was compared with.
    provenance : tuple of Provenance
        Which part came from which file.
    """

    name: str
    architecture: str
    sha256: str
    size: int
    licence: str
    origin: str
    trust: str
    provenance: tuple[Provenance, ...] = field(default=())

    @classmethod
    def of_table(cls, table: Mapping[str, Any]) -> "Record":
        """Make a record from a table of JSON."""
        plain = {key: value for key, value in table.items() if key != "provenance"}
        parts = tuple(Provenance(**part) for part in table["provenance"])
        return cls(**plain, provenance=parts)


class ModelStore:
    """A folder of converted models.

    Each model is two files: `NAME.safetensors`, by the authors' keys and in their shapes, and
    `NAME.json`, its record. Both are replaced atomically; a model is there when its record is.

    Parameters
    ----------
    folder : Path, optional
        The user's data folder by default. It is made when something is put into it.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or user_data_path("napari-fastsam3d") / "models"

    def names(self) -> tuple[str, ...]:
        """Name the models, in alphabetical order."""
        return tuple(sorted(path.stem for path in self.folder.glob("*.json") if _fits(path.stem)))

    def __contains__(self, name: object) -> bool:
        return _fits(name) and self._record_path(str(name)).is_file()

    def record(self, name: str) -> Record:
        """Give what is known of a model.

        Raises
        ------
        CheckpointError
            When there is no such model, or its record is damaged.
        """
        self._require(name)
        try:
            return Record.of_table(parse_json(self._record_path(name).read_text("utf-8")))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise CheckpointError(
                f"The record of the model {name} is damaged.", _again(name)
            ) from error

    def load(self, name: str) -> tuple[Record, PublishedNetwork]:
        """Build a model's network, after comparing its file with its SHA-256.

        Raises
        ------
        CheckpointError
            When there is no such model, or its files are damaged.
        """
        record = self.record(name)
        path = self.weights(name)
        if not path.is_file():
            raise CheckpointError(f"The weights of {name} are gone from {path}.", _again(name))
        verify(path, record.sha256, _again(name))
        _, network = build_network(read_tensors(path)[0], record.architecture)
        return record, network

    def add(self, name: str, model: Assembly, *, licence: str, origin: str, trust: str) -> Record:
        """Convert a model and keep it; one of that name is replaced.

        Raises
        ------
        CheckpointError
            When the name cannot be one, or the folder cannot be written.
        """
        if not _fits(name):
            raise CheckpointError(
                f"{name!r} cannot be the name of a model.",
                "Use letters, digits, dots, dashes and underscores.",
            )
        path = self.weights(name)
        partial = path.with_suffix(".part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            tensors = {key: value.float().contiguous() for key, value in model.tensors.items()}
            save_file(tensors, partial, metadata={"architecture": model.architecture})
            record = Record(
                name=name,
                architecture=model.architecture,
                sha256=fingerprint(partial),
                size=partial.stat().st_size,
                licence=licence,
                origin=origin,
                trust=trust,
                provenance=model.provenance,
            )
            self._record_path(name).unlink(missing_ok=True)
            _replace(partial, path)
            self._write_record(record)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(
                f"The model {name} could not be kept in {self.folder}: {error}.",
                "Free some space there, or make the folder writable.",
            ) from error
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
        return record

    def remove(self, name: str) -> int:
        """Delete a model; gives the number of bytes freed.

        Raises
        ------
        CheckpointError
            When there is no such model.
        """
        self._require(name)
        freed = 0
        for path in (self._record_path(name), self.weights(name)):
            freed += path.stat().st_size if path.exists() else 0
            path.unlink(missing_ok=True)
        return freed

    def weights(self, name: str) -> Path:
        """Give the path of a model's converted file."""
        return self.folder / f"{name}.safetensors"

    def _record_path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _write_record(self, record: Record) -> None:
        path = self._record_path(record.name)
        partial = path.with_suffix(".json-part")
        partial.write_text(json.dumps(asdict(record), indent=2), "utf-8")
        _replace(partial, path)

    def _require(self, name: str) -> None:
        if name not in self:
            have = ", ".join(self.names()) or "none yet"
            raise CheckpointError(
                f"There is no model {name!r} in {self.folder} (there: {have}).",
                "`napari-fastsam3d models list` shows what there is.",
            )


def _fits(name: object) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def _replace(partial: Path, path: Path) -> None:
    with partial.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)


def _again(name: str) -> str:
    return (
        f"Fetch or import it again: napari-fastsam3d models remove {name}, "
        "then models fetch or models import."
    )
