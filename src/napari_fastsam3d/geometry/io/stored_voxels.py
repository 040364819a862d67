"""Voxels as they lie in a file: mapped into memory, or read from a stream of bytes."""

import bz2
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Encoding = Literal["raw", "zlib", "bzip2", "text"]
CUT_SHORT = "it ends before its last voxel"
_PIECE = 1 << 20
_SLAB_BYTES = 1 << 24
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP, _ZLIB = 31, 15


class ByteStream(Protocol):
    """What voxels are read from; a file does."""

    def readinto(self, buffer: Any, /) -> int | None:
        """Fill a buffer as far as possible and return how many bytes that were; 0 at the end."""
        ...


@dataclass(frozen=True, eq=False)
class StoredVoxels:
    """How voxels lie in a stream of bytes, and how they become intensities.

    Parameters
    ----------
    shape : tuple of int
        Three axes or more, the first the fastest.
    dtype : numpy.dtype
        As stored, with its byte order.
    slope : float or None
        What stored values are multiplied by; None where they are intensities already.
    intercept : float
        What is added then.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    slope: float | None = None
    intercept: float = 0.0

    @property
    def nbytes(self) -> int:
        """Bytes of all voxels."""
        return prod(self.shape) * self.dtype.itemsize

    def map(self, path: Path, start: int) -> NDArray[Any]:
        """Return the voxels that begin at a byte of a file, in `shape`.

        They are mapped into memory and not read, where they need no conversion.

        Raises
        ------
        EOFError
            If the file is too short.
        """
        if path.stat().st_size < start + self.nbytes:
            raise EOFError(CUT_SHORT)
        stored = np.memmap(path, self.dtype, "r", offset=start, shape=self.shape, order="F")
        if self._as_stored and self.dtype.isnative:
            return stored
        voxels = np.empty(self.shape, self._intensity_dtype, order="F")
        for k in range(0, self.shape[-1], self._thickness):
            voxels[..., k : k + self._thickness] = self._intensities(
                stored[..., k : k + self._thickness]
            )
        return voxels

    def read(self, stream: ByteStream, start: int = 0) -> NDArray[Any]:
        """Return the voxels of a stream after its first `start` bytes, in `shape`.

        The stream is read to its end, where compressed ones verify their checksum.

        Raises
        ------
        EOFError
            If it is too short.
        """
        _skip(stream, start)
        voxels = np.empty(self.shape, self._intensity_dtype, order="F")
        for k in range(0, self.shape[-1], self._thickness):
            thickness = min(self._thickness, self.shape[-1] - k)
            slab = np.empty((*self.shape[:-1], thickness), self.dtype, order="F")
            _fill(stream, slab.reshape(-1, order="F").view(np.uint8).data)
            voxels[..., k : k + thickness] = self._intensities(slab)
        rest = bytearray(_PIECE)
        while stream.readinto(rest):
            pass
        return voxels

    def of_files(
        self, parts: Sequence[tuple[Path, int]], encoding: Encoding, skip: int = 0
    ) -> NDArray[Any]:
        """Return the voxels of data files, in `shape`: from each the same number of bytes.

        Parameters
        ----------
        parts : sequence of (Path, int)
            Files, and the byte at which their voxels, packed or not, begin.
        encoding : {"raw", "zlib", "bzip2", "text"}
            "zlib" for gzip too; "text" for numbers between blanks.
        skip : int
            Bytes to be left out of what was unpacked.

        Raises
        ------
        EOFError
            If they are too short.
        ValueError
            If they can't have equal shares, or a text holds what is no number.
        """
        if encoding == "text":
            return self._parse(b" ".join(_rest(path, start) for path, start in parts))
        if encoding == "raw" and len(parts) == 1:
            return self.map(*parts[0])
        share, rest = divmod(self.nbytes, len(parts))
        if rest:
            raise ValueError(f"{len(parts)} data files can not share its voxels evenly")
        return self.read(_Joined(_unpacked(parts, encoding, skip), share))

    def surplus(self, parts: Sequence[tuple[Path, int]], encoding: Encoding) -> list[str]:
        """Return a note where raw data files hold at least twice what is read; see `of_files`."""
        held = sum(path.stat().st_size - start for path, start in parts)
        if encoding != "raw" or held < 2 * self.nbytes:
            return []
        return [
            f"The data are {held / self.nbytes:.3g} times as many as the header speaks of: its "
            "sizes or its type may be wrong."
        ]

    def _parse(self, text: bytes) -> NDArray[Any]:
        words = text.split()
        if len(words) < prod(self.shape):
            raise EOFError(CUT_SHORT)
        numbers = np.array(words[: prod(self.shape)], dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            stored = numbers.astype(self.dtype)
        if self.dtype.kind in "iu" and not np.array_equal(stored, numbers):
            raise ValueError(f"some of its numbers are none of type {self.dtype.name}")
        return self._intensities(stored.reshape(self.shape, order="F"))

    @property
    def _thickness(self) -> int:
        return max(1, _SLAB_BYTES // (self.nbytes // self.shape[-1]))

    @property
    def _as_stored(self) -> bool:
        return self.slope is None and (self.dtype.kind in "iu" or self.dtype.itemsize == 4)

    @property
    def _intensity_dtype(self) -> np.dtype[Any]:
        return self.dtype.newbyteorder("=") if self._as_stored else np.dtype(np.float32)

    def _intensities(self, stored: NDArray[Any]) -> NDArray[Any]:
        with np.errstate(over="ignore", invalid="ignore"):
            if self.slope is not None:
                stored = stored * np.float64(self.slope) + self.intercept
            return stored.astype(self._intensity_dtype, copy=False)


class _Inflated(io.RawIOBase):
    """The content of a zlib or gzip stream, of one member or several.

    Reading it to the end verifies the checksums, which is why it doesn't matter whether anybody
    wrote down how long it is.
    """

    def __init__(self, packed: BinaryIO) -> None:
        self._packed = packed
        self._waiting = packed.read(_PIECE)
        self._gzip = self._waiting.startswith(_GZIP_MAGIC)
        self._member = zlib.decompressobj(_GZIP if self._gzip else _ZLIB)

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer as far as one step goes; raise EOFError where a member is cut short."""
        wanted = memoryview(buffer).nbytes
        while wanted:
            if self._member.eof:
                following = self._member.unused_data + self._packed.read(1)
                if not self._gzip or not following.startswith(_GZIP_MAGIC[:1]):
                    return 0
                self._waiting = following + self._packed.read(_PIECE)
                self._member = zlib.decompressobj(_GZIP)
            self._waiting = self._waiting or self._packed.read(_PIECE)
            if not self._waiting:
                raise EOFError(CUT_SHORT)
            found = self._member.decompress(self._waiting, wanted)
            self._waiting = self._member.unconsumed_tail
            if found:
                memoryview(buffer).cast("B")[: len(found)] = found
                return len(found)
        return 0


class _Joined(io.RawIOBase):
    """The content of several streams, one after the other, of each just so many bytes.

    Parameters
    ----------
    streams : iterator of ByteStream
        Taken one by one; each is read to its end before the next is asked for.
    share : int
        How many bytes each has to give.
    """

    def __init__(self, streams: Iterator[ByteStream], share: int) -> None:
        self._streams, self._share = streams, share
        self._stream: ByteStream | None = None
        self._left = 0

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer as far as one stream goes; raise EOFError where one is too short."""
        view = memoryview(buffer).cast("B")
        while not self._left:
            self._drain()
            self._stream = next(self._streams, None)
            if self._stream is None:
                return 0
            self._left = self._share
        assert self._stream is not None
        got = self._stream.readinto(view[: self._left])
        if not got:
            raise EOFError(CUT_SHORT)
        self._left -= got
        return got

    def _drain(self) -> None:
        rest = bytearray(_PIECE)
        while self._stream is not None and self._stream.readinto(rest):
            pass


def _rest(path: Path, start: int) -> bytes:
    with path.open("rb") as stream:
        stream.seek(start)
        return stream.read()


def _unpacked(
    parts: Sequence[tuple[Path, int]], encoding: Encoding, skip: int
) -> Iterator[ByteStream]:
    """Yield a stream for each file, which is closed when the next is asked for."""
    for path, start in parts:
        with path.open("rb") as raw:
            raw.seek(start)
            stream = raw
            if encoding == "zlib":
                stream = _Inflated(raw)
            elif encoding == "bzip2":
                stream = bz2.BZ2File(raw)
            _skip(stream, skip)
            yield stream


def _skip(stream: ByteStream, count: int) -> None:
    piece = bytearray(min(count, _PIECE))
    while count:
        got = stream.readinto(memoryview(piece)[: min(count, _PIECE)])
        if not got:
            raise EOFError(CUT_SHORT)
        count -= got


def _fill(stream: ByteStream, rest: memoryview) -> None:
    while rest:
        got = stream.readinto(rest)
        if not got:
            raise EOFError(CUT_SHORT)
        rest = rest[got:]
