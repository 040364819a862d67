"""A mask small enough to be kept in a log."""

import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.mask import NOWHERE, Mask
from napari_fastsam3d.inference import json_values

# A liver takes a few milliseconds at this level; higher ones save a tenth for ten times as long.
_LEVEL = 1


@dataclass(frozen=True)
class PackedMask:
    """A `Mask` as compressed bits: hashable, comparable, and at home in JSON.

    Parameters
    ----------
    box : Box
        The box of the mask, source index.
    bits : bytes
        Its voxels, one bit each, the first source axis fastest, compressed by zlib.
    """

    box: Box = NOWHERE
    bits: bytes = b""

    @classmethod
    def of(cls, mask: Mask) -> "PackedMask":
        """Pack a mask; one of no voxel becomes `PackedMask()`."""
        if mask.is_empty:
            return cls()
        bits = np.packbits(mask.voxels.ravel(order="F"))
        return cls(mask.box, zlib.compress(bits.tobytes(), _LEVEL))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "PackedMask":
        """Return what `to_json` wrote; KeyError, TypeError or ValueError if it is damaged."""
        packed = cls(json_values.box(data["box"]), b64decode(data["bits"], validate=True))
        mask = packed.unpack()
        if mask.box != packed.box or min(mask.box.start) < 0:
            raise ValueError("the box of a mask isn't the one around its voxels")
        return cls.of(mask)

    @property
    def is_empty(self) -> bool:
        """Whether no voxel belongs to the mask."""
        return self.box.is_empty

    def to_json(self) -> dict[str, Any]:
        """Return the mask as what `json.dumps` takes; the box is in source index."""
        box = json_values.box_to_json(self.box)
        return {"box": box, "bits": b64encode(self.bits).decode("ascii")}

    def unpack(self) -> Mask:
        """Return the mask; ValueError if the bits don't fill the box."""
        if self.is_empty:
            return Mask.empty()
        length = (self.box.size + 7) // 8
        try:
            # No more than fits: a few bytes in a file may unfold to more than there is memory.
            stream = zlib.decompressobj()
            unfolded = stream.decompress(self.bits, length + 1)
        except (zlib.error, OverflowError) as error:
            raise ValueError(str(error)) from None
        bits = np.frombuffer(unfolded, dtype=np.uint8)
        if len(bits) != length or not stream.eof:
            raise ValueError("the bits of a mask don't fill its box")
        voxels = np.unpackbits(bits, count=self.box.size).view(np.bool_)
        return Mask.of(self.box, voxels.reshape(self.box.shape, order="F"))
