"""Keeps a napari window alive under a release of PySide6 that aborts older Pythons.

PySide6 6.12.0 gives back one reference too many to None with every call of a Qt method that returns
nothing, and to True with every signal that it emits; 6.10.3 and 6.11.3 do not. Before Python 3.12,
which made these immortal, the interpreter aborts when the last reference is gone, after some
minutes of clicking, and takes the user's work with it. This project does not install that release
there, but the napari to which it is added may have it.
"""

import ctypes
import sys
from importlib.metadata import PackageNotFoundError, version

_PLENTY = 1 << 40


def needs_guard(pyside: str | None, python: tuple[int, ...]) -> bool:
    """Tell whether this release of PySide6 under this Python loses references to constants."""
    return pyside == "6.12.0" and python < (3, 12)


def guard() -> bool:
    """Give None, True and False more references than can be lost; True if that was needed."""
    if not needs_guard(_installed(), sys.version_info[:2]):
        return False
    for constant in (None, True, False):
        references = ctypes.c_ssize_t.from_address(id(constant))
        if references.value < _PLENTY:
            references.value += _PLENTY
    return True


def _installed() -> str | None:
    """Version of PySide6, read without importing it: a reader may run where Qt cannot."""
    try:
        return version("PySide6")
    except PackageNotFoundError:
        return None
