"""Downloading one large file: with progress, cancelling, going on after a break, and a check."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import cast
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from napari_fastsam3d.errors import CheckpointError
from napari_fastsam3d.geometry.io.json_text import parse_json

ReportBytes = Callable[[int, int | None], None]
"""Told the bytes that are here and the bytes there will be, if the server said so."""

_BLOCK = 1 << 18
_ATTEMPTS = 3
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


class DownloadCancelledError(CheckpointError):
    """The user stopped a download."""


@dataclass(frozen=True)
class Offer:
    """What a server says of a file before it is downloaded.

    Attributes
    ----------
    size : int or None
        Bytes, if told.
    tag : str or None
        What changes when the file does.
    """

    size: int | None
    tag: str | None


class _BrokenError(Exception):
    """A connection that ended early; what has arrived is kept."""


def look(url: str, timeout: float = 30) -> Offer:
    """Ask a server for the size of a file without downloading it.

    Raises
    ------
    CheckpointError
        When the server does not answer, or has no such file.
    """
    try:
        with _open(Request(url, method="HEAD"), timeout) as response:
            return _offer(response)
    except (OSError, HTTPException) as error:
        raise _explained(url, error) from error


def download(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    progress: ReportBytes = lambda done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
    timeout: float = 30,
) -> str:
    """Download a file; it is at `target` only when it is whole and right.

    What has arrived is kept in `target` + ".part", so that the next call goes on where this one
    stopped, if the server still has the same file. A connection that breaks is taken up again by
    itself as long as each attempt brings something.

    Parameters
    ----------
    url : str
        Where it is.
    target : Path
        Where it is to be.
    sha256 : str, optional
        What its SHA-256 must be.
    size : int, optional
        How many bytes it must have.
    progress : callable
        Told `(done, total)` after each block.
    cancelled : callable
        Asked before each block; True stops.
    timeout : float
        Seconds that the server may be silent.

    Returns
    -------
    str
        The file's SHA-256.

    Raises
    ------
    DownloadCancelledError
        When `cancelled` said so.
    CheckpointError
        When there is no network, no such file, no space, or the file is not what it should be.
    """
    part = _Part(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        total = _collect(url, part, size, progress, cancelled, timeout)
        return _accept(part, target, url, total, size, sha256)
    except (OSError, HTTPException) as error:
        raise _explained(url, error, part) from error


def _collect(
    url: str,
    part: "_Part",
    size: int | None,
    progress: ReportBytes,
    cancelled: Callable[[], bool],
    timeout: float,
) -> int | None:
    """Bring the file together over as many connections as it takes; gives the size told."""
    fruitless = 0
    while True:
        before = part.size
        try:
            return _continue(url, part, size, progress, cancelled, timeout)
        except (_BrokenError, HTTPException, TimeoutError, ConnectionError) as error:
            fruitless = 0 if part.size > before else fruitless + 1
            if fruitless >= _ATTEMPTS:
                raise _explained(url, error, part) from error


def _continue(
    url: str,
    part: "_Part",
    size: int | None,
    progress: ReportBytes,
    cancelled: Callable[[], bool],
    timeout: float,
) -> int | None:
    """Go on over one connection until the file has all its bytes."""
    request = Request(url)
    if part.resumable:
        request.add_header("Range", f"bytes={part.size}-")
        request.add_header("If-Range", part.tag or "")
    try:
        response = _open(request, timeout)
    except HTTPError as error:
        whole = _whole_size(error.headers.get("Content-Range", ""))
        if error.code == 416 and whole is not None:  # nothing follows what is here already
            return whole
        raise
    with response:
        total = _start(response, part)
        if (total or size or 0) - part.size > shutil.disk_usage(part.path.parent).free:
            raise OSError(errno.ENOSPC, "no space left")
        with part.path.open("ab") as file:
            while block := _block(response, url, part, cancelled):
                file.write(block)
                progress(file.tell(), total)
    if total is not None and part.size < total:
        raise _BrokenError(f"it ended after {part.size} of {total} bytes")
    return total


def _block(response: HTTPResponse, url: str, part: "_Part", cancelled: Callable[[], bool]) -> bytes:
    if cancelled():
        raise DownloadCancelledError(
            f"The download of {file_name(url)} was stopped.",
            "What has arrived is kept; fetch it again to go on.",
        )
    return response.read1(_BLOCK)  # what there is: nothing is lost if the rest never comes


def _start(response: HTTPResponse, part: "_Part") -> int | None:
    """Decide from the answer whether the file goes on or begins anew; gives its whole size."""
    offer = _offer(response)
    if response.status == 206:
        span = response.headers.get("Content-Range", "")
        if span.startswith(f"bytes {part.size}-"):
            return _whole_size(span)
        part.discard()
        raise _BrokenError("the server sent another part than was asked for")
    part.begin(offer)
    return offer.size


def _whole_size(told: str) -> int | None:
    """Read the size of the whole file off a Content-Range or Content-Length; None without one."""
    whole = told.rpartition("/")[2]
    return int(whole) if whole.isdecimal() and len(whole) < 16 else None


def _accept(
    part: "_Part", target: Path, url: str, total: int | None, size: int | None, sha256: str | None
) -> str:
    """Compare the file with what it should be, and put it where it is wanted."""
    for wanted in (total, size):
        if wanted is not None and part.size != wanted:
            arrived = part.size
            part.discard()
            raise CheckpointError(
                f"{file_name(url)} has {arrived} bytes and should have {wanted}.",
                "Fetch it again; if that does not help, the file at its origin has changed.",
            )
    with part.path.open("rb+") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    if sha256 is not None and actual != sha256:
        part.discard()
        raise CheckpointError(
            f"{file_name(url)} is not the file that it should be: its SHA-256 is {actual[:12]}..., "
            f"not {sha256[:12]}...",
            "It was deleted. The file at its origin was damaged or replaced; ask its authors.",
        )
    os.replace(part.path, target)
    part.discard()
    return actual


class _Part:
    """The beginning of a file, and what is known of the file that it is the beginning of."""

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(target.name + ".part")
        self._note = target.with_name(target.name + ".part.json")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def tag(self) -> str | None:
        try:
            return cast("str | None", parse_json(self._note.read_text("utf-8"))["tag"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @property
    def resumable(self) -> bool:
        """Whether a server can tell if this belongs to the file that it has now."""
        return self.size > 0 and self.tag is not None

    def begin(self, offer: Offer) -> None:
        self.discard()
        self._note.write_text(json.dumps(asdict(offer)), "utf-8")

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


def _open(request: Request, timeout: float) -> HTTPResponse:
    request.add_header("User-Agent", "napari-fastsam3d")
    # A compressed answer would have other bytes, and another length, than the file.
    request.add_header("Accept-Encoding", "identity")
    return cast(HTTPResponse, urlopen(request, timeout=timeout))


def _offer(response: HTTPResponse) -> Offer:
    tag, changed = (response.headers.get(name) for name in ("ETag", "Last-Modified"))
    strong = None if tag is None or tag.startswith("W/") else tag
    return Offer(_whole_size(response.headers.get("Content-Length", "")), strong or changed)


def file_name(url: str) -> str:
    """Give the name of the file at the end of an address."""
    return urlsplit(url).path.rpartition("/")[2] or "download"


def _explained(url: str, error: Exception, part: _Part | None = None) -> CheckpointError:
    """Turn what went wrong into words."""
    kept = part.size if part else 0
    again = "Fetch it again" + (f"; {kept >> 20} MiB are here already." if kept else ".")
    if isinstance(error, HTTPError):
        return CheckpointError(
            f"The server has no {file_name(url)} for us: {error.code} {error.reason}.",
            f"Look whether {url} opens in a browser; it may have moved.",
        )
    if isinstance(error, OSError) and error.errno in _FULL:
        return CheckpointError(
            f"There is no space left for {file_name(url)}.", "Free some space, then fetch it again."
        )
    if isinstance(error, URLError | _BrokenError | HTTPException | TimeoutError | ConnectionError):
        reason = getattr(error, "reason", None) or error
        return CheckpointError(
            f"{file_name(url)} could not be downloaded: {reason}.",
            f"Check the network connection. {again}",
        )
    return CheckpointError(
        f"{file_name(url)} could not be written: {error}.", "Make the folder writable."
    )
