"""Journals put aside: beside their own, under another name, the newest few of each scan."""

import shutil
from contextlib import suppress
from datetime import datetime
from pathlib import Path

SUFFIX = ".journal"
KEPT = 20


def journal_path(folder: Path, content_hash: str) -> Path:
    """Return where the journal of a volume is kept in a folder."""
    return folder / f"{content_hash}{SUFFIX}"


def parts_of(path: Path) -> list[Path]:
    """Return the files that SQLite may make of a journal."""
    return [path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))]


def moved_aside(path: Path, why: str) -> Path:
    """Give a closed journal another name, with a reason and the moment; OSError if it can't be."""
    aside = path.replace(_name_of(path, why))
    _remove_old(path, why)
    return aside


def copied_aside(path: Path, why: str) -> Path:
    """Copy a journal, with what belongs to it; OSError if it can't be."""
    aside = _name_of(path, why)
    for old, new in zip(parts_of(path), parts_of(aside), strict=True):
        if old.exists():
            shutil.copyfile(old, new)
    _remove_old(path, why)
    return aside


def _name_of(path: Path, why: str) -> Path:
    stamp = datetime.now().strftime("%Y-%m-%d_%H%M%S_%f")
    return path.with_name(f"{path.stem}.{why}-{stamp}{SUFFIX}")


def _remove_old(path: Path, why: str) -> None:
    """Remove all but the newest few, whose names sort by their moments."""
    found = sorted(path.parent.glob(f"{path.stem}.{why}-*{SUFFIX}"))
    for old in found[:-KEPT]:
        for part in parts_of(old):
            with suppress(OSError):  # tried again the next time
                part.unlink(missing_ok=True)
