"""A volume goes to the server: what it lacks, in chunks, and again should it lose it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_fastsam3d.errors import ServerError
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.model.predictor import GoOn, Progress, always
from napari_fastsam3d.session.remote.chunks import ChunkGrid, content_digest
from napari_fastsam3d.session.remote.connection import Connection, RefusedError

_SENDING = "Sending the scan"
_TRIES = 3


class Upload:
    """Sees to it that the server has a volume.

    Parameters
    ----------
    volume : Volume
    connection : Connection
    progress : callable
        Told how many chunks are there.
    headers : mapping
        Sent with every request. Those of a session lead all of them to one replica, which may
        have a disk of its own.
    """

    def __init__(
        self,
        volume: Volume,
        connection: Connection,
        progress: Progress,
        headers: Mapping[str, str],
    ) -> None:
        self._volume = volume
        self._connection = connection
        self._progress = progress
        self._headers = headers
        self._grid = ChunkGrid.of(volume)
        self._is_there = False

    def again(self) -> None:
        """Note that the server lost it."""
        self._is_there = False

    def ensure(self, roots: tuple[str, ...] = (), go_on: GoOn = always) -> None:
        """Send what the server lacks; what has arrived stays there if this is broken off.

        Parameters
        ----------
        roots : tuple of str
            Folders whose scans it can read by itself. No path outside of them is told.
        go_on : callable
            Asked between chunks; ends it by raising.
        """
        if self._is_there:
            return
        missing = self._begin(go_on)
        if missing and not self._named(roots, go_on):
            self._send(missing, go_on)
        self._is_there = True

    def _begin(self, go_on: GoOn) -> list[int] | None:
        """Return the chunks that are missing; None where the server has all, checked."""
        header = {
            "shape": self._volume.shape,
            "dtype": self._grid.dtype,
            "affine": self._volume.affine.tolist(),
            "planes": self._grid.planes,
        }
        state = self._ask("PUT", "", go_on, header)
        if not state["complete"] and not state["missing"]:
            self._ask("POST", "/complete", go_on)
        return state["missing"] or None

    def _named(self, roots: tuple[str, ...], go_on: GoOn) -> bool:
        """Whether the server reads the scan by itself."""
        file = self._volume.source.path
        if file is None:
            return False
        path = Path(file).absolute()
        if not any(path.is_relative_to(root) for root in roots):
            return False
        try:
            self._ask("PUT", "/path", go_on, {"path": str(path)})
        except RefusedError:
            return False
        return True

    def _send(self, missing: list[int], go_on: GoOn) -> None:
        grid, count = self._grid, self._grid.count
        done = count - len(missing)
        try:
            for chunk in missing:
                self._progress(_SENDING, done, count)
                self._send_chunk(chunk, grid.compress(grid.raw(self._volume, chunk)), go_on)
                done += 1
            self._ask("POST", "/complete", go_on)
        finally:
            self._progress(_SENDING, count, count)

    def _send_chunk(self, chunk: int, data: bytes, go_on: GoOn) -> None:
        headers = {
            **self._headers,
            "Content-Type": "application/octet-stream",
            "Content-Digest": content_digest(data),
        }
        for _ in range(_TRIES):
            try:
                self._connection.octets(f"{self._path}/chunks/{chunk}", data, headers, go_on)
                return
            except RefusedError as refused:
                if refused.kind not in ("damaged_chunk", "slow"):
                    raise
        raise ServerError(
            f"The scan arrives damaged at {self._connection.access.name}.",
            "Check the network, and try again.",
        )

    def _ask(
        self, method: str, path: str, go_on: GoOn, body: Mapping[str, Any] | None = None
    ) -> Any:
        return self._connection.json(method, self._path + path, body, go_on, self._headers)

    @property
    def _path(self) -> str:
        return f"/v1/volumes/{self._volume.content_hash}"
