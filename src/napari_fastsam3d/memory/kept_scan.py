"""Parts of scans around accepted masks, kept where the user agreed, to fit adapters on."""

import io
import zipfile
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.errors import MemoryBankError
from napari_fastsam3d.geometry.io.atomic_write import replacing
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.volume import Volume

_SUFFIX = ".npz"
_AGREED = "agreed"
# Voxels that a part may have: more than a crop of the model is no part of one.
_MOST = 1 << 24
# What reading an archive raises that is damaged, of another kind, compressed in a way that isn't
# known, or has a password.
_DAMAGE = (
    *(KeyError, OSError, EOFError, TypeError, AttributeError, NotImplementedError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)


@dataclass(frozen=True, eq=False)
class ScanPart:
    """A part of a scan on an isotropic grid, axes towards R, A, S, and a mask on it.

    Attributes
    ----------
    voxels : ndarray of float16, shape (X, Y, Z)
    mask : ndarray of bool, shape (X, Y, Z)
    spacing : float
        Size of a voxel, mm.
    """

    voxels: NDArray[np.float16]
    mask: NDArray[np.bool_]
    spacing: float

    def read(self) -> tuple[Volume, Mask]:
        """Return it as a volume, and the mask on that."""
        volume = Volume.from_array(self.voxels.astype(np.float32), spacing=(self.spacing,) * 3)
        return volume, Mask.of_volume(self.mask)


@dataclass(frozen=True, eq=False)
class KeptScan:
    """What is kept of a scan: near by as closely as the structure asks for, and from afar.

    Attributes
    ----------
    near : ScanPart
    far : ScanPart or None
        None where `near` shows all of the scan.
    """

    near: ScanPart
    far: ScanPart | None

    def to_bytes(self) -> bytes:
        """Return it as a compressed archive of arrays."""
        arrays: dict[str, NDArray[np.generic]] = {}
        for name, part in (("near", self.near), ("far", self.far)):
            if part is not None:
                arrays[f"{name}_voxels"] = part.voxels
                arrays[f"{name}_mask"] = np.packbits(part.mask)
                arrays[f"{name}_spacing"] = np.array(part.spacing)
        out = io.BytesIO()
        np.savez_compressed(out, allow_pickle=False, **arrays)
        return out.getvalue()

    @classmethod
    def of_bytes(cls, data: bytes) -> "KeptScan":
        """Read what `to_bytes` made; ValueError if that is not what it is."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                near = _part(arrays, "near")
                far = _part(arrays, "far") if "far_voxels" in arrays else None
        except _DAMAGE as error:
            raise ValueError(f"no part of a scan: {error}") from error
        return cls(near, far)


def _part(arrays: "np.lib.npyio.NpzFile", name: str) -> ScanPart:
    voxels, packed = arrays[f"{name}_voxels"], arrays[f"{name}_mask"]
    spacing = float(arrays[f"{name}_spacing"])
    whole = voxels.ndim == 3 and voxels.dtype == np.float16 and 0 < voxels.size <= _MOST
    if not whole or packed.size != -(-voxels.size // 8) or not 0 < spacing < np.inf:
        raise ValueError("its arrays don't belong together")
    mask = np.unpackbits(packed, count=voxels.size).astype(bool).reshape(voxels.shape)
    return ScanPart(voxels, mask, spacing)


class KeptScans:
    """The parts of scans in the folder of a bank, a file a case, and whether the user agreed.

    Parameters
    ----------
    folder : Path
        Made when the user agrees.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def agreed(self) -> bool:
        """Whether parts of scans are kept of what is remembered from now on."""
        return (self.folder / _AGREED).exists()

    def agree(self, wanted: bool) -> None:
        """Say whether they are to be kept; those that are there stay until they are forgotten."""
        if wanted:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.folder / _AGREED).touch()
        else:
            (self.folder / _AGREED).unlink(missing_ok=True)

    @property
    def size(self) -> int:
        """Bytes that they take."""
        return sum(path.stat().st_size for path in self.folder.glob(f"*{_SUFFIX}"))

    def has(self, identity: str) -> bool:
        """Whether a part of the scan is kept for a case."""
        return self._path(identity).exists()

    def put(self, identity: str, scan: KeptScan) -> None:
        """Keep a part of the scan for a case."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(self._path(identity), _SUFFIX) as temporary:
            temporary.write_bytes(scan.to_bytes())

    def get(self, identity: str) -> KeptScan:
        """Read it; MemoryBankError if it isn't there or is damaged."""
        try:
            return KeptScan.of_bytes(self._path(identity).read_bytes())
        except (OSError, ValueError) as error:
            raise MemoryBankError(
                f"The part of the scan that was kept for {identity[:8]} can't be read: {error}.",
                "Forget that case.",
            ) from error

    def remove(self, identities: Iterable[str]) -> None:
        """Remove what is kept for cases, where anything is."""
        for identity in identities:
            with suppress(OSError):
                self._path(identity).unlink(missing_ok=True)

    def identities(self) -> set[str]:
        """Return the cases for which something is kept."""
        return {path.stem for path in self.folder.glob(f"[!.]*{_SUFFIX}")}

    def clear(self) -> None:
        """Remove all that is kept, and what a process that was killed left half written."""
        self.remove(path.stem for path in self.folder.glob(f"*{_SUFFIX}"))

    def _path(self, identity: str) -> Path:
        return self.folder / f"{identity}{_SUFFIX}"
