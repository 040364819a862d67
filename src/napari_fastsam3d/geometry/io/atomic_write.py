"""Files written so that none is ever half written."""

import csv
import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from napari_fastsam3d.errors import SaveError

_ELSEWHERE = "Choose another folder, or make room; nothing that was there has changed."


@contextmanager
def replacing(target: Path, suffix: str) -> Generator[Path]:
    """Give a temporary path in the folder of a file, and put it in its place at the end.

    Whoever looks sees the old file or the whole new one. If anything fails the old one is left
    as it was.

    Parameters
    ----------
    target : Path
        The file to be written.
    suffix : str
        How the temporary name ends, for writers that go by it.

    Raises
    ------
    SaveError
        If the file can't be written.
    """
    # A link stays a link; what it points to is replaced.
    target = Path(os.path.realpath(target))
    temporary = target.with_name(f".{uuid4().hex}{suffix}")
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except (OSError, RuntimeError, MemoryError) as error:
        raise SaveError(f"{target} was not written: {_reason(error)}.", _ELSEWHERE) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a table, a line of its columns first; what else rows hold is left out.

    Parameters
    ----------
    path : Path
    columns : sequence of str
    rows : iterable of mapping
        Cells by column; those that are missing stay empty.

    Raises
    ------
    SaveError
        If it can't be written.
    """
    with (
        replacing(path, ".csv") as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def _reason(error: Exception) -> str:
    lines = str(getattr(error, "strerror", None) or error).strip().splitlines()
    return lines[-1].rstrip(".") if lines else "out of memory"


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power cut, where the system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
