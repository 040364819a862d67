"""Saves the user napari's question which reader to take for a scan.

napari's own image reader claims NIfTI, NRRD, MetaImage, DICOM and every folder too, though it knows
neither spacing nor orientation, so napari would ask at every scan.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import npe2
from napari.settings import get_settings
from npe2 import PluginManager

_PLUGIN = "napari-fastsam3d"
_BUILTIN = "napari"
_OURS = {_PLUGIN, _BUILTIN}
_PATTERNS = (
    *("*.nii", "*.nii.gz", "*.nrrd", "*.nhdr", "*.mha", "*.mhd"),
    *("*.dcm", "*.dicom", "*.ima"),
)
# Matches every folder, and is the least specific of such patterns: any other one goes before it.
_FOLDERS = f"*?*{os.sep}"

_log = logging.getLogger(__name__)


def on_activate(_context: Any = None) -> None:
    """Prefer our reader, for the kinds of file that only we and napari itself can read.

    A preference of the user and any other installed reader are respected. It can be seen and
    changed in napari's Preferences under Plugins.
    """
    try:
        _prefer(PluginManager.instance())
    except Exception:  # without it napari asks, which is no reason to fail
        _log.debug("The reader's preference could not be set.", exc_info=True)


def folders_come_to_us() -> bool:
    """Whether napari brings every folder to this plugin."""
    return get_settings().plugins.extension2reader.get(_FOLDERS) == _PLUGIN


def napari_reads(path: str | list[str]) -> list[Any]:
    """Read a folder by napari's own reader, as if this plugin were not there."""
    paths = path if isinstance(path, list) else [path]
    return npe2.read(paths, stack=isinstance(path, list), plugin_name=_BUILTIN)


def _prefer(manager: PluginManager) -> None:
    plugins = get_settings().plugins
    preferred = dict(plugins.extension2reader)
    for pattern in _PATTERNS:
        if _readers(manager, pattern.replace("*", "scan")) <= _OURS:
            preferred.setdefault(pattern, _PLUGIN)
    if _readers(manager, str(Path(__file__).parent)) <= _OURS:
        preferred.setdefault(_FOLDERS, _PLUGIN)
    elif preferred.get(_FOLDERS) == _PLUGIN:
        del preferred[_FOLDERS]  # a reader of folders was installed since, and napari should ask
    if preferred != plugins.extension2reader:
        plugins.extension2reader = preferred


def _readers(manager: PluginManager, path: str) -> set[str]:
    return {reader.plugin_name for reader in manager.iter_compatible_readers(path)}
