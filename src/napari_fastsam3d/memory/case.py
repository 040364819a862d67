"""One remembered case: what is kept of an accepted mask, and how it lies in a file."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from napari_fastsam3d.geometry.io.json_text import parse_json
from napari_fastsam3d.geometry.resample import Floats

Halves = NDArray[np.float16]

_FORMAT = "napari-fastsam3d memory 1"
_DIGEST_BYTES = 8


@dataclass(frozen=True)
class Entry:
    """What the index of a bank says about a case.

    Attributes
    ----------
    id : str
        32 random hexadecimal digits.
    name : str
        Structure, as the user called it.
    model : str
        Fingerprint of the image encoder that its features are of.
    spacing : float
        Size in mm of a voxel of the crop that they were taken from.
    quality : float or None
        The IoU that the model predicted for the mask when it was accepted.
    clicks : int
        Prompts that the mask took.
    date : str
        Day on which it was remembered, ISO 8601.
    salt, volume : str
        The scan, told from others without saying which it is: see `scan_digest`. Hexadecimal.
    recalled : int
        How often it was recalled.
    size : int
        Bytes that it takes on the disk.
    """

    id: str
    name: str
    model: str
    spacing: float
    quality: float | None
    clicks: int
    date: str
    salt: str
    volume: str
    recalled: int = 0
    size: int = 0

    def is_of(self, content_hash: str) -> bool:
        """Whether it was remembered from the scan with that `Volume.content_hash`."""
        return self.volume == scan_digest(content_hash, self.salt)


@dataclass(frozen=True, eq=False)
class Tokens:
    """Features and mask of one resolution, in the box of the mask with a margin.

    Attributes
    ----------
    features : ndarray of float16, shape (X, Y, Z, C)
        Axes towards R, A, S.
    mask : ndarray of float16, shape (X, Y, Z)
        Part of each cell that the structure fills, 0 to 1.
    origin : tuple of float
        Centre of the first cell as seen from the structure's deepest voxel, mm towards R, A, S.
    cell : float
        Edge of a cell, mm.
    """

    features: Halves
    mask: Halves
    origin: tuple[float, float, float]
    cell: float

    def places(self) -> Floats:
        """Return the centres of the cells, (X, Y, Z, 3), mm from the deepest voxel, R, A, S."""
        steps = np.moveaxis(np.indices(self.mask.shape), 0, -1)
        return (steps * self.cell + self.origin).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Case:
    """What is remembered of an accepted mask: no voxels, no file names, nothing of the patient.

    Attributes
    ----------
    entry : Entry
    descriptor : ndarray of float32, shape (D,)
        Unit vector by which it is found.
    tokens : tuple of Tokens
        Fine to coarse.
    foreground, background : ndarray of float16, shape (N, C)
        Unit vectors that stand for the structure and for what lies around it, of features that
        were upsampled before they were masked.
    keys, values : ndarray of float16, shape (heads, T, c), or None
        Of the encoder block that memory attention works in; None for a model without one.
    surroundings : ndarray of float16, shape (n, n, n, C), or None
        What lies around it, seen from afar; see `surroundings_of`.
    """

    entry: Entry
    descriptor: Floats
    tokens: tuple[Tokens, ...]
    foreground: Halves
    background: Halves
    keys: Halves | None = None
    values: Halves | None = None
    surroundings: Halves | None = None

    @property
    def scene(self) -> Floats:
        """Unit vector by which memory attention finds it, (heads c,); empty where it has no keys.

        See `key_summary`.
        """
        return np.zeros(0, np.float32) if self.keys is None else key_summary(self.keys)

    def to_bytes(self) -> bytes:
        """Return it as a safetensors file, whose header holds the entry but for its counters."""
        arrays: dict[str, NDArray[Any]] = {
            "descriptor": self.descriptor,
            "foreground": self.foreground,
            "background": self.background,
        }
        for number, tokens in enumerate(self.tokens):
            arrays[f"tokens.{number}.features"] = tokens.features
            arrays[f"tokens.{number}.mask"] = tokens.mask
        if self.keys is not None and self.values is not None:
            arrays |= {"keys": self.keys, "values": self.values}
        if self.surroundings is not None:
            arrays["surroundings"] = self.surroundings
        layout = [{"origin": tokens.origin, "cell": tokens.cell} for tokens in self.tokens]
        header = {
            "format": _FORMAT,
            "entry": json.dumps(asdict(replace(self.entry, recalled=0, size=0))),
            "tokens": json.dumps(layout),
        }
        return save({name: np.ascontiguousarray(a) for name, a in arrays.items()}, header)

    @classmethod
    def of_bytes(cls, data: bytes) -> "Case":
        """Read what `to_bytes` made.

        Raises
        ------
        ValueError
            If that is not what it is.
        """
        try:
            return cls._read(data)
        except (SafetensorError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a remembered case: {error}") from error

    @classmethod
    def _read(cls, data: bytes) -> "Case":
        length = int.from_bytes(data[:8], "little")
        header: Mapping[str, Any] = parse_json(data[8 : 8 + length]).get("__metadata__", {})
        if header.get("format") != _FORMAT:
            raise ValueError("it says nothing of a memory")
        arrays = {name: _array(view) for name, view in deserialize(data)}
        tokens = tuple(
            Tokens(
                arrays[f"tokens.{number}.features"],
                arrays[f"tokens.{number}.mask"],
                _three(each["origin"]),
                float(each["cell"]),
            )
            for number, each in enumerate(parse_json(header["tokens"]))
        )
        entry = replace(Entry(**parse_json(header["entry"])), recalled=0, size=len(data))
        case = cls(
            entry,
            arrays["descriptor"],
            tokens,
            arrays["foreground"],
            arrays["background"],
            arrays.get("keys"),
            arrays.get("values"),
            arrays.get("surroundings"),
        )
        if not (_is_plain(entry) and _fits(case)):
            raise ValueError("it does not say what a remembered case says")
        return case


def unit(vectors: NDArray[Any]) -> Floats:
    """Return vectors (..., C) of length one."""
    exact = vectors.astype(np.float32)
    return exact / np.maximum(np.linalg.norm(exact, axis=-1, keepdims=True), 1e-12)


def key_summary(keys: NDArray[Any]) -> Floats:
    """Return the mean of keys (heads, T, c) over their tokens as a unit vector (heads c,)."""
    mean = keys.astype(np.float32).mean(axis=1).ravel()
    return mean / max(float(np.linalg.norm(mean)), 1e-12)


def scan_digest(content_hash: str, salt: str) -> str:
    """Return what tells a scan from others, and nothing more of it.

    With a salt of its own for each case, two entries don't show that they are of one patient, and
    in eight bytes there is no room for anything but yes or no.

    Parameters
    ----------
    content_hash : str
        `Volume.content_hash`.
    salt : str
        Up to 16 bytes, hexadecimal.
    """
    digest = blake2b(content_hash.encode(), digest_size=_DIGEST_BYTES, salt=bytes.fromhex(salt))
    return digest.hexdigest()


def structure_of(name: str) -> str:
    """Return a name as names are compared: without case, and with single spaces."""
    return " ".join(name.casefold().split())


_DTYPES = {"F32": np.float32, "F16": np.float16}


def _is_plain(entry: Entry) -> bool:
    """Whether the text of an entry, which names a file and a scan, is what it should be."""
    texts = (entry.name, entry.model, entry.date)
    digits = (entry.id, 32), (entry.salt, 32), (entry.volume, 2 * _DIGEST_BYTES)
    return (
        all(isinstance(text, str) for text in texts)
        and all(re.fullmatch(r"[0-9a-f]*", each) and len(each) == n for each, n in digits)
        and all(isfinite(x) and x >= 0 for x in (entry.spacing, entry.clicks, entry.quality or 0))
        and entry.spacing > 0
    )


def _fits(case: Case) -> bool:
    """Whether the arrays of a case belong together."""
    keys = (case.keys, case.values)
    own = [case.descriptor, case.foreground, case.background, *keys, case.surroundings]
    arrays = own + [each for t in case.tokens for each in (t.features, t.mask)]
    places = [x for t in case.tokens for x in (*t.origin, t.cell)]
    return (
        case.descriptor.ndim == 1
        and case.descriptor.dtype == np.float32
        and all(each is None or np.isfinite(each).all() for each in arrays)
        and all(map(isfinite, places))
        and len(case.tokens) > 0
        and all(t.features.ndim == 4 and t.cell > 0 for t in case.tokens)
        and all(t.mask.shape == t.features.shape[:3] for t in case.tokens)
        and case.foreground.ndim == case.background.ndim == 2
        and (case.surroundings is None or case.surroundings.ndim == 4)
        and all((each is None) == (case.keys is None) for each in keys)
        and all(each is None or each.ndim == 3 for each in keys)
        and (case.keys is None or case.values is None or case.keys.shape == case.values.shape)
    )


def _array(view: Mapping[str, Any]) -> NDArray[Any]:
    return np.frombuffer(view["data"], dtype=_DTYPES[view["dtype"]]).reshape(view["shape"])


def _three(values: Any) -> tuple[float, float, float]:
    x, y, z = values
    return float(x), float(y), float(z)
