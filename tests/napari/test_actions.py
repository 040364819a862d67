"""The table of actions: complete, unambiguous, and clear of napari's own keys."""

from collections.abc import Callable
from typing import Any

import pytest
from napari._app_model import get_app_model
from napari.components.viewer_model import ViewerModel
from napari.layers import Image, Labels, Points, Shapes
from napari.utils.shortcuts import default_shortcuts
from qtpy.QtGui import QAction, QKeySequence

from napari_fastsam3d._napari.actions import ACTIONS, action, markdown_table
from napari_fastsam3d._napari.layers.windowing import Windowing
from napari_fastsam3d._napari.object_files import ObjectFiles
from napari_fastsam3d._napari.object_verbs import ObjectVerbs
from napari_fastsam3d._napari.panels.click_feedback import ClickNews
from napari_fastsam3d._napari.panels.earlier_work import EarlierWork
from napari_fastsam3d._napari.shortcuts import SHARED
from napari_fastsam3d._napari.widget import FastSAM3DWidget

KEYS = [(entry.key, keys) for entry in ACTIONS for keys in entry.shortcuts]


@pytest.fixture
def bound_by_napari(make_napari_viewer: Callable[..., Any]) -> set[str]:
    """Every key of napari's viewer, layers, menus and palette."""
    window = make_napari_viewer().window._qt_window
    bound = {str(key) for keys in default_shortcuts.values() for key in keys}
    for provider in (ViewerModel, Image, Labels, Points, Shapes):
        bound |= {str(key) for key in provider.class_keymap if key is not Ellipsis}
    for entry in window.findChildren(QAction):
        bound |= {keys.toString() for keys in entry.shortcuts()}
    bound |= {str(entry.keybinding) for entry in get_app_model().keybindings}
    return {QKeySequence(keys).toString() for keys in bound}


def test_no_shortcut_is_one_of_naparis(bound_by_napari: set[str]) -> None:
    assert {"V", "Ctrl+S", "P", "Ctrl+Z", "Shift+A"} <= bound_by_napari
    ours = {QKeySequence(keys).toString() for _, keys in KEYS if keys not in SHARED}
    assert ours & bound_by_napari == set()


def test_each_shortcut_has_one_meaning() -> None:
    shortcuts = [keys for _, keys in KEYS]
    assert len(shortcuts) == len(set(shortcuts))


def test_the_widget_has_a_verb_for_each_action() -> None:
    parts = (FastSAM3DWidget, ObjectVerbs, ObjectFiles, Windowing, ClickNews, EarlierWork)
    for entry in ACTIONS:
        assert sum(callable(getattr(part, entry.key, None)) for part in parts) == 1, entry.key


def test_a_hint_names_the_keys() -> None:
    assert action("undo").hint.endswith("Shortcut: Ctrl+Z or U")


def test_every_action_can_be_done_by_keyboard() -> None:
    assert [entry.key for entry in ACTIONS if not entry.shortcuts] == []


def test_the_documentation_lists_every_action() -> None:
    table = markdown_table()
    assert len(table.splitlines()) == len(ACTIONS) + 2
    assert all(entry.text in table for entry in ACTIONS)
    assert "`Shift+S`" in table
