"""A volume goes to the server: what it lacks, in chunks, and again should it lose it."""

from pathlib import Path

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
    """

    def __init__(self, volume: Volume, connection: Connection, progress: Progress) -> None:
        self._volume = volume
        self._connection = connection
        self._progress = progress
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
        state = self._connection.json("PUT", self._path, header, go_on)
        if not state["complete"] and not state["missing"]:
            self._connection.json("POST", f"{self._path}/complete", go_on=go_on)
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
            self._connection.json("PUT", f"{self._path}/path", {"path": str(path)}, go_on)
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
            self._connection.json("POST", f"{self._path}/complete", go_on=go_on)
        finally:
            self._progress(_SENDING, count, count)

    def _send_chunk(self, chunk: int, data: bytes, go_on: GoOn) -> None:
        headers = {
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

    @property
    def _path(self) -> str:
        return f"/v1/volumes/{self._volume.content_hash}"
