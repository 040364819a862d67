# pyright: basic
"""Saves the user napari's question which reader to take for a scan.

napari's own image reader claims NIfTI, NRRD and MetaImage too, though it knows neither spacing nor
orientation, so napari would ask at every scan.
"""

from __future__ import annotations

import logging
from typing import Any

from napari.settings import get_settings
from npe2 import PluginManager

_PLUGIN = "napari-fastsam3d"
_BUILTIN = "napari"
_OURS = {_PLUGIN, _BUILTIN}
_PATTERNS = ("*.nii", "*.nii.gz", "*.nrrd", "*.nhdr", "*.mha", "*.mhd")

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


def _prefer(manager: PluginManager) -> None:
    plugins = get_settings().plugins
    unclaimed = {
        pattern: _PLUGIN
        for pattern in _PATTERNS
        if pattern not in plugins.extension2reader and _readers(manager, pattern) <= _OURS
    }
    if unclaimed:
        plugins.extension2reader = {**plugins.extension2reader, **unclaimed}


def _readers(manager: PluginManager, pattern: str) -> set[str]:
    name = pattern.replace("*", "scan")
    return {reader.plugin_name for reader in manager.iter_compatible_readers(name)}
