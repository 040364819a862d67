"""The volumes of a server on disk, each user's by themselves, sent in chunks and checked."""

import contextlib
import errno
import json
import logging
import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from napari_fastsam3d.errors import FastSAM3DError
from napari_fastsam3d.geometry.io.atomic_write import replacing
from napari_fastsam3d.geometry.io.json_text import parse_json
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.serving.refusal import Refusal
from napari_fastsam3d.serving.server_settings import Limits
from napari_fastsam3d.session.remote.chunks import CHUNK_BYTES, ChunkGrid

_HEADER, _VOXELS, _PART, _GONE = "header.json", "voxels.raw", ".part", ".gone"
_LARGEST_CHUNK = 16 * CHUNK_BYTES
# Left free on the disk, for tokens and for what the system writes.
_SPARE_BYTES = 256 << 20

_log = logging.getLogger(__name__)


def unknown_volume() -> Refusal:
    """Return the refusal of what needs a volume that isn't there, or is another user's."""
    return Refusal(
        404, "unknown_volume", "The server does not have this volume.", "Send it, then ask again."
    )


class VolumeStore:
    """What one user has on a server.

    Parameters
    ----------
    folder : Path
        Of this user alone.
    limits : Limits
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = folder
        self._limits = limits

    def missing(self, digest: str) -> list[int] | None:
        """Return the chunks of a volume yet to be sent, none if it is whole; None if unknown."""
        if self.is_whole(digest):
            return []
        part = self._folder / (digest + _PART)
        if not (part / _HEADER).exists():
            return None
        grid, _ = _read_header(part)
        return [n for n in range(grid.count) if not (part / str(n)).exists()]

    def is_whole(self, digest: str) -> bool:
        """Whether a volume is there, checked."""
        return (self._folder / digest / _HEADER).exists()

    def begin(self, digest: str, header: dict[str, Any]) -> list[int]:
        """Make room for a volume; return the chunks that are missing, none if it is whole."""
        known = self.missing(digest)
        if known is not None:
            return known
        i, j, k = header["shape"]
        grid = ChunkGrid((i, j, k), header["dtype"], header["planes"])
        self._check(grid)
        part = self._folder / (digest + _PART)
        with _room():
            part.mkdir(parents=True, exist_ok=True, mode=0o700)
            with (part / _VOXELS).open("ab") as voxels:
                voxels.truncate(grid.nbytes)
            with replacing(part / _HEADER, ".json") as temporary:
                temporary.write_text(json.dumps(header), "utf-8")
        return list(range(grid.count))

    def put(self, digest: str, chunk: int, data: bytes) -> None:
        """Keep a compressed chunk; the same one again changes nothing."""
        part = self._folder / (digest + _PART)
        if (self._folder / digest).exists():
            return
        if not (part / _HEADER).exists():
            raise unknown_volume()
        grid, _ = _read_header(part)
        if not 0 <= chunk < grid.count:
            raise Refusal(
                422, "no_such_chunk", "The volume has no such chunk.", "Send those missing."
            )
        try:
            raw = grid.decompress(data, chunk)
        except ValueError:
            raise Refusal(
                422, "damaged_chunk", "The chunk is damaged or cut short.", "Send it again."
            ) from None
        with _room():
            with (part / _VOXELS).open("r+b") as voxels:
                voxels.seek(grid.start(chunk))
                voxels.write(raw)
            (part / str(chunk)).touch()
            (part / _HEADER).touch()

    def complete(self, digest: str) -> None:
        """Check a volume that was sent, and let it be used; it goes if it isn't what it was called.

        Idempotent.
        """
        missing = self.missing(digest)
        if missing is None:
            raise unknown_volume()
        part = self._folder / (digest + _PART)
        if missing:
            raise Refusal(409, "chunks_missing", "Chunks are missing.", "Send them first.")
        try:
            if _is(part, digest):
                _settle(part, self._folder / digest)
                return
        except FileNotFoundError:
            pass
        if not self.is_whole(digest):  # else another replica was quicker
            _remove(part)
            raise Refusal(
                422,
                "damaged_volume",
                "What was sent is not the volume that it was called.",
                "Send it again.",
            )

    def keep(self, digest: str, volume: Volume) -> None:
        """Keep a volume that the server read by itself."""
        grid = ChunkGrid.of(volume)
        header = {
            "shape": list(volume.shape),
            "dtype": grid.dtype,
            "affine": volume.affine.tolist(),
            "planes": grid.planes,
        }
        for chunk in self.begin(digest, header):
            self.put(digest, chunk, grid.compress(grid.raw(volume, chunk)))
        self.complete(digest)

    def open(self, digest: str) -> Volume:
        """Return a volume, its voxels left on disk; it stays for another lease."""
        folder = self._folder / digest
        try:
            (folder / _HEADER).touch(exist_ok=True)
            return _volume(folder)
        except (OSError, KeyError, TypeError, ValueError, FastSAM3DError):
            _remove(folder)
            raise unknown_volume() from None

    def touch(self, digest: str) -> None:
        """Let a volume stay for another lease."""
        try:
            os.utime(self._folder / digest / _HEADER)
        except OSError:
            raise unknown_volume() from None

    def delete(self, digest: str) -> None:
        """Forget a volume, whole or not."""
        for name in (digest, digest + _PART):
            _remove(self._folder / name)

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each volume, whole or not, by its digest."""
        found = [each for each in _folders(self._folder) if not each.name.endswith(_GONE)]
        return {folder.name.removesuffix(_PART): _size(folder) for folder in found}

    def _check(self, grid: ChunkGrid) -> None:
        limits, kept = self._limits, self.sizes()
        if min(grid.shape) < 1:
            raise Refusal(422, "no_volume", "A volume without voxels.", "Choose another.")
        if grid.nbytes > limits.volume_bytes or grid.length(0) > _LARGEST_CHUNK:
            most = f"{limits.volume_bytes >> 20} MiB"
            raise Refusal(
                413,
                "volume_too_large",
                f"The volume is too large for this server, which takes {most}.",
                "Crop it, or segment it on your own machine.",
            )
        full = sum(kept.values()) + grid.nbytes > limits.user_bytes
        if full or len(kept) >= limits.user_volumes:
            raise Refusal(
                507,
                "no_room",
                "You have as many volumes on this server as one user may have.",
                "Close scans that you no longer work on, or wait: unused ones go by themselves.",
            )
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if shutil.disk_usage(self._folder).free < grid.nbytes + _SPARE_BYTES:
            raise _disk_full()


def sweep(volumes: Path, keep_seconds: float) -> int:
    """Delete the volumes of all users that nobody used for so long; return how many."""
    gone, now = 0, _now(volumes)
    for user in _folders(volumes):
        for folder in _folders(user):
            with contextlib.suppress(OSError):
                header = folder / _HEADER
                used = (header if header.exists() else folder).stat().st_mtime
                if now - used > keep_seconds:
                    _remove(folder)
                    gone += 1
    return gone


def _is(part: Path, digest: str) -> bool:
    try:
        return _volume(part).content_hash == digest
    except FastSAM3DError:
        return False


def _settle(part: Path, whole: Path) -> None:
    """Give a volume that was checked its name; FileNotFoundError if it has one by now."""
    with (part / _VOXELS).open("r+b") as voxels:
        os.fsync(voxels.fileno())  # after a power cut, a name without its voxels would be wrong
    for marker in list(part.iterdir()):
        if marker.name not in (_HEADER, _VOXELS):
            marker.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # another replica may have been quicker
        part.rename(whole)


def _now(folder: Path) -> float:
    """Return the time by the clock of the disk, which is another machine's where it is shared."""
    clock = folder / ".clock"
    try:
        clock.touch(mode=0o600)
        os.utime(clock)
        return clock.stat().st_mtime
    except OSError:
        return 0.0


def _remove(folder: Path) -> None:
    """Delete a volume: at once for who looks, for half of one may look whole."""
    gone = folder if folder.name.endswith(_GONE) else folder.with_name(f"{uuid4().hex}{_GONE}")
    with contextlib.suppress(OSError):
        if gone != folder:
            folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


@contextlib.contextmanager
def _room() -> Generator[None]:
    """Tell of a disk that is full, or of a volume that went meanwhile."""
    try:
        yield
    except (OSError, FastSAM3DError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _disk_full() from error
        if isinstance(cause, FileNotFoundError):
            raise unknown_volume() from error
        raise


def _disk_full() -> Refusal:
    _log.error("The disk of the volumes is full")
    return Refusal(
        507,
        "disk_full",
        "The disk of the server is full.",
        "Try again later, or tell whoever runs it; what was sent is kept.",
    )


def _folders(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from (each for each in list(folder.iterdir()) if each.is_dir())


def _size(folder: Path) -> int:
    with contextlib.suppress(OSError):
        return (folder / _VOXELS).stat().st_size
    return 0


def _read_header(folder: Path) -> tuple[ChunkGrid, list[list[float]]]:
    try:
        header = parse_json((folder / _HEADER).read_text("utf-8"))
    except OSError:
        raise unknown_volume() from None
    i, j, k = header["shape"]
    return ChunkGrid((i, j, k), header["dtype"], header["planes"]), header["affine"]


def _volume(folder: Path) -> Volume:
    grid, affine = _read_header(folder)
    voxels: Any = np.memmap(folder / _VOXELS, grid.dtype, "r", shape=grid.shape, order="F")
    return Volume.from_array(voxels, affine)
