"""The table of commands: complete, unambiguous, and clear of napari's own keys."""

from collections.abc import Callable
from typing import Any

import pytest
from napari._app_model import get_app_model
from napari.components.viewer_model import ViewerModel
from napari.layers import Image, Labels, Points, Shapes
from napari.utils.shortcuts import default_shortcuts
from qtpy.QtGui import QAction, QKeySequence
from qtpy.QtWidgets import QAbstractButton

from napari_fastsam3d._napari.commands.table import COMMANDS, markdown_table
from napari_fastsam3d._napari.shortcuts import SHARED

KEYS = [(entry.key, keys) for entry in COMMANDS.values() for keys in entry.shortcuts]


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


def test_each_command_has_one_key(make_widget: Callable[..., Any]) -> None:
    _, widget = make_widget()
    assert len(COMMANDS) == 93
    for key, entry in COMMANDS.items():
        assert entry.key == key
        reason = entry.why_not(widget.workspace)  # without a scan
        assert reason is None or reason.endswith((".", "above."))


def test_a_hint_names_the_keys() -> None:
    assert COMMANDS["undo"].hint.endswith("Shortcut: Ctrl+Z or U")


def test_every_command_can_be_done_by_keyboard() -> None:
    assert [entry.key for entry in COMMANDS.values() if not entry.shortcuts] == []


def test_every_command_can_be_done_by_mouse(make_widget: Callable[..., Any]) -> None:
    """By a button or an entry of a menu of its own, or by what is named here."""
    elsewhere = {
        "next_plane": "a button for each plane",
        "next_prompt": "rows of the list of prompts",
        "previous_prompt": "rows of the list of prompts",
        "find_structure": "Find, beside the remembered structures",
        "toggle_memory": "its check box",
        "toggle_crop": "its check box",
        "show_change": "the notice on the picture",
        "revert_change": "the notice on the picture",
        "take_over": "the notice on the picture",
        "unlock_holder": "the notice on the picture",
    }
    _, widget = make_widget()
    controls = [*widget.findChildren(QAbstractButton), *widget.findChildren(QAction)]
    assert COMMANDS.keys() - {each.objectName() for each in controls} == elsewhere.keys()


def test_the_documentation_lists_every_command() -> None:
    table = markdown_table()
    assert len(table.splitlines()) == len(COMMANDS) + 2
    assert all(entry.text in table for entry in COMMANDS.values())
    assert "`Shift+S`" in table
