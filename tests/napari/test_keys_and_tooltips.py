"""Buttons, menus, keys and the status line agree with the table of commands."""

from collections.abc import Callable
from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QAction, QKeySequence, QShortcut
from qtpy.QtWidgets import QAbstractButton, QMainWindow, QToolButton
from scene import BALL, OTHER, Scene, scan

from napari_fastsam3d._napari.commands.table import COMMANDS, KEYS
from napari_fastsam3d._napari.panels.controls import Controls, fit_tool


def buttons(scene: Scene) -> dict[str, list[QAbstractButton]]:
    """The buttons of the widget by the commands that they do."""
    found: dict[str, list[QAbstractButton]] = {}
    for each in scene.widget.findChildren(QAbstractButton):
        if each.objectName() in COMMANDS:
            found.setdefault(each.objectName(), []).append(each)
    return found


def entries(scene: Scene) -> dict[str, QAction]:
    """The entries of its menus by the commands that they do."""
    actions = scene.widget.findChildren(QAction)
    return {each.objectName(): each for each in actions if each.objectName() in COMMANDS}


@pytest.fixture
def scene(make_scene: Callable[..., Scene]) -> Scene:
    return make_scene()


def check(scene: Scene) -> None:
    """Fail unless each control is enabled as its command is, and its tooltip says why or how."""
    for key, action in entries(scene).items():
        reason = scene.why_not(key)
        assert action.isEnabled() is (reason is None), key
        assert action.toolTip() == (reason or COMMANDS[key].tooltip), key
    for key, found in buttons(scene).items():
        reason = scene.why_not(key)
        for button in found:
            flips = key == "flip_point" and button is scene.widget.prompt_list.flip
            if flips and reason is None and not scene.view.selection.ids:
                assert "can be flipped: select one" in button.toolTip()
                continue
            if key in scene.widget.prompts.tools:
                assert button.toolTip() == COMMANDS[key].hint
                continue
            shown = button.toolTip()
            assert shown == reason if reason else KEYS[key] in shown, (key, shown)


def test_what_can_be_done_and_why_not_is_the_same_everywhere_at_any_time(scene: Scene) -> None:
    assert len(entries(scene)) > 30
    assert len(buttons(scene)) > 25
    check(scene)
    scene.open(scan())
    check(scene)
    scene.click(BALL)
    check(scene)
    scene.do("next_object")
    check(scene)
    scene.click(OTHER)
    scene.do("undo")
    check(scene)
    scene.do("redo")
    scene.do("lock_object")
    check(scene)
    scene.widget.prompt_list.list.setCurrentRow(0)
    check(scene)
    scene.do("object_before")
    check(scene)
    scene.work.viewer.layers.remove(scene.view.image)
    scene.settle()
    check(scene)


def test_menus_show_the_first_key_of_each_command(scene: Scene) -> None:
    for key, action in entries(scene).items():
        text, shown = action.text().split("\t")
        assert text == COMMANDS[key].text
        assert shown == KEYS[key]
        assert action.shortcut().isEmpty()  # the window has the key; twice it would be ambiguous


def test_a_key_does_what_its_command_does_in_whichever_window(scene: Scene, qtbot: Any) -> None:
    scene.open(scan())
    keys = scene.widget._shortcuts._keys
    assert {QKeySequence(text) for text in keys} == {
        QKeySequence(each) for command in COMMANDS.values() for each in command.shortcuts
    }
    for text, shortcut in keys.items():
        assert shortcut.key() == QKeySequence(text)
        assert shortcut.context() == Qt.ShortcutContext.WindowShortcut
    scene.messages.clear()
    keys["U"].activated.emit()
    assert scene.messages == ["There is nothing to undo."]
    for text, tool in (("W", "exclude"), ("G", "box"), ("Escape", None), ("Q", "include")):
        keys[text].activated.emit()
        assert scene.work.toolbox.tool == tool
    scene.click(BALL)
    keys["Ctrl+Z"].activated.emit()
    scene.settle()
    assert scene.objects == ()
    keys["Shift+U"].activated.emit()
    scene.settle()
    assert len(scene.objects) == 1

    # Docked, its window owns the keys; docked elsewhere, that one.
    windows = QMainWindow(), QMainWindow()
    for window in windows:
        qtbot.addWidget(window)
        scene.widget._shortcuts.dock(window)
        assert set(window.findChildren(QShortcut)) == set(keys.values())
    scene.widget._shortcuts.dock(None)  # floating: the keys stay with the last window
    assert set(windows[1].findChildren(QShortcut)) == set(keys.values())
    shortcuts = list(keys.values())
    scene.widget._shortcuts.release()
    assert not any(each.isEnabled() for each in shortcuts)
    assert scene.widget._shortcuts._keys == {}


def test_a_button_may_have_a_reason_of_its_own(scene: Scene) -> None:
    controls, reasons = Controls(scene.work), ["It is Sunday."]
    button = controls.push_button(
        COMMANDS["open_scan"], why_not=lambda: reasons[0] if reasons else None
    )
    controls.refresh()
    assert (button.isEnabled(), button.toolTip()) == (False, "It is Sunday.")
    reasons.clear()
    controls.refresh()
    assert (button.isEnabled(), button.toolTip()) == (True, COMMANDS["open_scan"].hint)
    reasons.append("Now it is Monday.")
    undo = controls.push_button(COMMANDS["undo"], why_not=lambda: reasons[0])
    controls.refresh()
    assert undo.toolTip() == scene.why_not("undo")  # why it can't be done at all goes first


def test_a_small_panel_shows_tools_by_their_icons_with_the_words_in_the_tooltip(
    scene: Scene,
) -> None:
    panel = scene.widget.prompts
    for small in (True, False, True):
        scene.work.layout.arranged.emit(small)
        assert scene.widget.minimumWidth() == (250 if small else 300)
        assert scene.widget.scan.open_button.text() == ("Open..." if small else "Open scan...")
        for key, button in panel.tools.items():
            style = button.toolButtonStyle()
            alone = style == Qt.ToolButtonStyle.ToolButtonIconOnly
            assert alone is small
            begins = COMMANDS[key].text if small else COMMANDS[key].tooltip.split(":")[0]
            assert button.toolTip().startswith(begins)
            assert KEYS[key] in button.toolTip()
            assert button.text() == f"{COMMANDS[key].text}\n{KEYS[key]}"
    scene.open(scan())
    assert panel._depth_row.isHidden()  # the depth of boxes is there with its tool alone
    scene.do("box")
    assert not panel._depth_row.isHidden()
    scene.do("include")
    assert panel._depth_row.isHidden()
    button = QToolButton()
    fit_tool(button, COMMANDS["brush"], True)
    assert button.toolTip() == f"Brush: {COMMANDS['brush'].hint}"
    button.deleteLater()


def test_the_depth_of_boxes_is_kept_from_scan_to_scan(scene: Scene) -> None:
    spin = scene.widget.prompts.box_depth
    assert spin.text() == "found by itself"
    scene.open(scan())
    assert scene.view.boxes.rule.depth is None
    spin.setValue(25)
    assert scene.view.boxes.rule.depth == 25
    scene.open(scan("next"))
    assert scene.view.boxes.rule.depth == 25
    spin.setValue(0)
    assert scene.view.boxes.rule.depth is None
