"""Earlier sessions: what the journals of this user's folder hold, and a way back to any of them."""

import base64
import binascii
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from napari_fastsam3d.errors import JournalError
from napari_fastsam3d.session.journal.recovery import SUFFIX, parts_of
from napari_fastsam3d.session.journal.saved_session import SavedSession
from napari_fastsam3d.session.journal.store import Journal
from napari_fastsam3d.session.state import worked_on

PICTURE = "picture"
"""Name of the fact that holds a small picture, PNG in base64."""
_NOT_LISTED = "damaged"


@dataclass(frozen=True)
class EarlierSession:
    """A session in a journal that can be gone on with.

    Parameters
    ----------
    path : Path
        The journal.
    session : str
        Identity of the session.
    scan : str
        Name of its scan.
    content_hash : str
        `Volume.content_hash` of its scan.
    source : Path or None
        Where the scan was read from; None for an array made in memory.
    frame : int or None
        Which volume of a 4D file.
    series : str or None
        Which series of a DICOM folder.
    objects : tuple of str
        Names of the objects with prompts, at least one.
    saved : datetime or None
        When it was written last, local time.
    picture : bytes or None
        A slice with the masks, PNG.
    """

    path: Path
    session: str
    scan: str
    content_hash: str
    source: Path | None
    frame: int | None
    series: str | None
    objects: tuple[str, ...]
    saved: datetime | None
    picture: bytes | None


def earlier_sessions(folder: Path) -> list[EarlierSession]:
    """List the sessions in a folder of journals, the newest first.

    Sessions without a prompt, and files that are damaged, are left out. Journals are read from
    copies, so that one which a session has open is neither waited for nor touched.
    """
    found = [each for path in sorted(folder.glob(f"*{SUFFIX}")) for each in _read(path)]
    return sorted(found, key=lambda each: each.saved or datetime.min, reverse=True)


def remove(earlier: EarlierSession) -> None:
    """Remove a journal for good; JournalError if it is in use or can't be removed."""
    Journal(earlier.path).discard()


def _read(path: Path) -> Iterator[EarlierSession]:
    stem, _, rest = path.name.removesuffix(SUFFIX).partition(".")
    if rest.startswith(_NOT_LISTED):
        return
    with suppress(OSError, JournalError), tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        for part in parts_of(path)[:2]:
            if part.exists():
                shutil.copy2(part, copy.with_name(part.name))
        journal = Journal(copy)
        saved = journal.saved
        journal.close()
        objects = worked_on(saved.history.state)
        if objects:
            yield _session(path, stem, saved, objects)


def _session(
    path: Path, stem: str, saved: SavedSession, objects: tuple[str, ...]
) -> EarlierSession:
    facts = saved.facts
    return EarlierSession(
        path,
        facts.get("session", ""),
        facts.get("scan", "scan"),
        stem,
        Path(facts["source"]) if facts.get("source") else None,
        int(facts["frame"]) if facts.get("frame", "").isdecimal() else None,
        facts.get("series") or None,
        objects,
        saved.saved,
        _picture(facts.get(PICTURE, "")),
    )


def _picture(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True) or None
    except (ValueError, binascii.Error):
        return None
