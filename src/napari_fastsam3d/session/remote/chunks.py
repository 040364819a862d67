"""The voxels of a volume in chunks of whole planes, compressed: bytes shuffled, then Zstandard."""

import hashlib
from base64 import b64encode
from dataclasses import dataclass
from math import prod
from typing import Any

import imagecodecs
import numpy as np

from napari_fastsam3d.geometry.box import Index
from napari_fastsam3d.geometry.volume import Volume

CHUNK_BYTES = 4 << 20
"""About how much of a volume is sent at once, before compression."""

_LEVEL = 1


@dataclass(frozen=True)
class ChunkGrid:
    """How a volume is cut across its last source axis.

    Parameters
    ----------
    shape : tuple of int
        Of the volume, source order.
    dtype : str
        Of its voxels, little-endian, as numpy writes it: "<i2".
    planes : int
        Planes in each chunk but the last.
    """

    shape: Index
    dtype: str
    planes: int

    @classmethod
    def of(cls, volume: Volume, size: int = CHUNK_BYTES) -> "ChunkGrid":
        """Cut a volume into chunks of about `size` bytes."""
        i, j, _ = volume.shape
        dtype = volume.voxels.dtype.newbyteorder("<")
        return cls(volume.shape, dtype.str, max(1, size // (i * j * dtype.itemsize)))

    @property
    def itemsize(self) -> int:
        """Bytes of a voxel."""
        return np.dtype(self.dtype).itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all voxels."""
        return prod(self.shape) * self.itemsize

    @property
    def count(self) -> int:
        """How many chunks there are."""
        return -(-self.shape[2] // self.planes)

    def start(self, chunk: int) -> int:
        """Return the first byte of a chunk, the first source axis fastest."""
        i, j, _ = self.shape
        return min(chunk * self.planes, self.shape[2]) * i * j * self.itemsize

    def length(self, chunk: int) -> int:
        """Return the bytes of a chunk."""
        return self.start(chunk + 1) - self.start(chunk)

    def raw(self, volume: Volume, chunk: int) -> bytes:
        """Return the voxels of a chunk, the first source axis fastest."""
        first = chunk * self.planes
        part = volume.voxels[:, :, first : first + self.planes]
        return part.astype(self.dtype, copy=False).tobytes(order="F")

    def compress(self, raw: bytes) -> bytes:
        """Compress the voxels of a chunk."""
        shuffled = np.frombuffer(raw, np.uint8).reshape(-1, self.itemsize).T
        return bytes(imagecodecs.zstd_encode(shuffled.tobytes(), level=_LEVEL))

    def decompress(self, data: bytes, chunk: int) -> bytes:
        """Return what `compress` was given; ValueError if it is not the bytes of that chunk."""
        length = self.length(chunk)
        try:
            # Into so many bytes and no more: few may unfold to more than there is memory.
            found: Any = imagecodecs.zstd_decode(data, out=bytearray(length)) if data else b""
        except (imagecodecs.ZstdError, ValueError, RuntimeError) as error:
            raise ValueError(str(error)) from None
        if len(found) != length:
            raise ValueError(f"{len(found)} bytes in place of {length}")
        return np.frombuffer(found, np.uint8).reshape(self.itemsize, -1).T.tobytes()


def content_digest(body: bytes) -> str:
    """Return the `Content-Digest` of a body (RFC 9530)."""
    return f"sha-256=:{b64encode(hashlib.sha256(body).digest()).decode('ascii')}:"
