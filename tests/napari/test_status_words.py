"""What the status line says: of every tool, of the last click, and while something is done."""

from collections.abc import Callable
from dataclasses import replace
from threading import Event
from typing import Any, get_args

import pytest
from scene import BALL, OTHER, Scene, ball, scan

from napari_fastsam3d._napari.commands.command import NO_SCAN
from napari_fastsam3d._napari.commands.table import KEYS
from napari_fastsam3d._napari.commands.tool_selection import SLICES_ONLY
from napari_fastsam3d._napari.layers.toolbox import Tool
from napari_fastsam3d._napari.panels.status_presenter import facts, hint, locked_hint
from napari_fastsam3d.errors import DeviceError, JournalError
from napari_fastsam3d.geometry import Box
from napari_fastsam3d.session import Change, JournalStatus, Mask, Result

NOWHERE = Box((0, 0, 0), (0, 0, 0))
RESULT = Result(1, NOWHERE, 0.9, 12.4)


@pytest.mark.parametrize("tool", [*get_args(Tool), None])
def test_every_tool_says_what_to_do_with_it_by_keys_that_exist(tool: Tool | None) -> None:
    told = [hint(None, tool, prompted) for prompted in (False, True)]
    for sentence in told:
        assert sentence.endswith(".")
        assert "{" not in sentence
    # A hint for one tool is not that of another, whatever there is of the object.
    others = {hint(None, each, True) for each in (*get_args(Tool), None) if each != tool}
    assert told[1] not in others
    assert (told[0] != told[1]) is (tool in ("include", "exclude"))  # they need a first click


def test_a_hint_of_the_3d_view_says_which_tools_work_there() -> None:
    on_mask = "3D view: click on a mask. Leave it (Ctrl+Y) to click anywhere else."
    for tool in get_args(Tool):
        told = hint(None, tool, True, flat=False)
        if tool in ("include", "exclude"):
            assert told == on_mask
        elif tool == "adjust":
            assert told == hint(None, tool, True)
        else:
            assert told == SLICES_ONLY
    assert hint(None, None, True, flat=False) == hint(None, None, True)


def test_what_a_mask_needs_said_goes_before_what_a_click_does() -> None:
    noted = replace(RESULT, notes=("The box was cut.", "Look at its edge."))
    for tool, flat in (("include", True), ("box", False), (None, True)):
        assert hint(noted, tool, True, flat) == "The box was cut. Look at its edge."
    assert hint(RESULT, "exclude", True) == hint(None, "exclude", True)


def test_hints_name_the_keys_of_the_table() -> None:
    first = f"({KEYS['include']}), or drag a box round it ({KEYS['box']})."
    assert hint(None, "include", False).endswith(first)
    assert hint(None, "include", True).startswith("Click what the mask lacks. W takes away")
    assert f"{KEYS['lock_object']} unlocks it" in locked_hint("liver")
    assert locked_hint("a {b}").startswith("a {b} is locked")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"model": ""}, ""),
        ({"model": "lite on cpu"}, "lite on cpu"),
        ({"model": "", "last": RESULT}, ""),
        ({"model": "lite", "last": RESULT}, "lite · 12 ms"),
        ({"model": "lite", "last": RESULT, "network": 7.6}, "lite · 12 ms (8 network)"),
        ({"model": "lite", "far": "1 ml"}, "lite"),
        ({"model": "lite", "last": RESULT, "far": "far"}, "lite · 12 ms · far"),
        ({"model": "lite", "journal": JournalStatus()}, "lite"),
        ({"model": "lite", "journal": JournalStatus("saving")}, "lite · saving..."),
        ({"model": "", "journal": JournalStatus("saved")}, "work saved"),
        ({"model": "", "journal": JournalStatus("failed")}, "WORK NOT SAVED"),
    ],
)
def test_facts_tell_only_what_there_is(given: dict[str, Any], words: str) -> None:
    assert facts(**{"last": None, **given}) == words


def test_facts_tell_what_a_click_won_and_lost() -> None:
    added, removed = (Mask.of_volume(ball(at, 4)) for at in (BALL, OTHER))
    changed = replace(RESULT, change=Change(added, removed, (3.0, 3.0, 3.0)))
    millilitres = int(ball(BALL, 4).sum()) * 0.027
    assert facts("lite", changed) == f"lite · 12 ms · +{millilitres:.3g} −{millilitres:.3g} ml"


@pytest.fixture
def scene(make_scene: Callable[..., Scene]) -> Scene:
    return make_scene()


def now(scene: Scene) -> str:
    return scene.widget.status.now.text()


def test_the_line_follows_scan_tool_object_and_lock(scene: Scene) -> None:
    assert now(scene) == NO_SCAN
    scene.open(scan())
    assert now(scene) == hint(None, "include", False)
    for tool in get_args(Tool):
        scene.do(tool)
        assert now(scene) == hint(None, tool, False)
    scene.click(BALL)
    assert now(scene) == hint(None, "include", True)
    assert scene.widget.status.facts.text().startswith("flood on cpu · ")
    assert scene.widget.status.facts.text().endswith("work saved")
    scene.do("lock_object")
    assert now(scene) == locked_hint("object 1")
    scene.do("pan")
    assert now(scene) == hint(None, None, True)  # nothing can be clicked, so no lock is in the way
    scene.do("include")
    scene.do("lock_object")
    assert now(scene) == hint(None, "include", True)
    scene.work.viewer.dims.ndisplay = 3
    scene.settle()
    assert now(scene) == hint(None, "include", True, flat=False)
    scene.work.viewer.dims.ndisplay = 2
    scene.settle()
    scene.work.viewer.layers.remove(scene.view.image)
    scene.settle()
    assert now(scene) == NO_SCAN


def test_a_message_stays_until_there_is_other_news(scene: Scene) -> None:
    scene.open(scan())
    scene.work.message.emit("Saved it beside the scan.")
    scene.settle()
    assert now(scene) == "Saved it beside the scan."
    scene.work.message.emit("")  # as when the right button is let go
    assert now(scene) == hint(None, "include", False)
    scene.work.message.emit("Read this.")
    scene.do("exclude")
    assert now(scene) == hint(None, "exclude", False)


def test_what_lasts_says_how_far_it_is_and_can_be_cancelled(scene: Scene) -> None:
    status = scene.widget.status
    scene.open(scan())
    gate = Event()
    scene.work.loader.thread.submit(gate.wait, 60)
    try:
        scene.view.run(lambda session: session.add_point(BALL))
        assert scene.view.pending == 1
        said = {}
        for done, total in ((0, 5), (3, 5), (0, 1)):
            scene.work.progress.emit("Making masks again", done, total)
            status._move_on()  # what the timer does once that has taken a while
            said[done, total] = now(scene)
        assert said == {
            (0, 5): "Making masks again, 1 of 5...",
            (3, 5): "Making masks again, 4 of 5...",
            (0, 1): "Making masks again...",
        }
        scene.work.progress.emit("Making masks again", 5, 5)
        status._move_on()
        assert now(scene) == "Working..."
        assert not status.cancel.isHidden()
        status.cancel.click()
    finally:
        gate.set()
    scene.settle()
    assert scene.view.pending == 0
    assert scene.objects == ()  # the step that asked it is taken back
    assert status.cancel.isHidden()
    assert now(scene) == hint(None, "include", False)


def test_trouble_with_model_or_disk_stands_until_it_is_over(scene: Scene) -> None:
    scene.open(scan())
    scene.work.loader.trouble = DeviceError("The model broke.", "Choose another.")
    scene.work.loader.changed.emit()
    assert now(scene) == "The model broke. Choose another."
    scene.click(BALL)  # it serves again
    assert scene.work.loader.trouble is None
    assert now(scene) == hint(None, "include", True)

    warning = scene.widget.status.warning
    failure = JournalStatus("failed", JournalError("The disk is full.", "Make room."))
    for status, words in (
        (failure, "Work is not saved. The disk is full. Make room."),
        (JournalStatus("saving"), "Work is not saved. The disk is full. Make room."),
        (JournalStatus("saved"), ""),
    ):
        scene.view.journal._on_status(status)
        scene.settle()
        assert warning.text() == words
        assert warning.isHidden() is (words == "")
