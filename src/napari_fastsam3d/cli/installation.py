"""The doctor's look at Python, the package and the folders it writes to."""

import platform
import shutil
import sys
import tempfile
from pathlib import Path

from napari_fastsam3d import __version__
from napari_fastsam3d.cli.check import Check

_OLDEST_PYTHON = (3, 11)
_ENOUGH_DISK = 1 << 30


def python() -> list[Check]:
    """Name the interpreter and say whether it is new enough."""
    text = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info[:2] >= _OLDEST_PYTHON:
        return [Check.ok("Python", text)]
    return [Check.fail("Python", text, "install Python 3.11 or newer")]


def package() -> list[Check]:
    """Name the package's version and where it lies."""
    place = Path(__file__).resolve().parents[1]
    return [Check.ok("napari-fastsam3d", f"{__version__} at {place}")]


def folders() -> list[Check]:
    """Try to write into the folders that hold the user's sessions and fetched models."""
    from platformdirs import user_cache_path, user_data_path

    places = {
        "data folder": user_data_path("napari-fastsam3d"),
        "cache folder": user_cache_path("napari-fastsam3d"),
    }
    return [_folder(name, place) for name, place in places.items()]


def _folder(name: str, place: Path) -> Check:
    existing = next(folder for folder in (place, *place.parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=existing) as probe:
            probe.write(b"napari-fastsam3d")
    except OSError as error:
        return Check.fail(
            name, f"{place} cannot be written: {error.strerror}", f"chmod u+rwx {existing}"
        )
    free = shutil.disk_usage(existing).free
    text = f"{place}, {free / 2**30:.0f} GiB free"
    if free < _ENOUGH_DISK:
        return Check.warning(name, text, f"free some space on the disk of {existing}")
    return Check.ok(name, text)
