"""When each command is disabled, and what the user is told then."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scene import BALL, Scene, two_balls

from napari_fastsam3d._napari.commands.command import NO_OBJECT, NO_PROMPT, NO_SCAN
from napari_fastsam3d._napari.commands.scans import PRESETS
from napari_fastsam3d._napari.commands.table import COMMANDS
from napari_fastsam3d._napari.commands.tool_selection import TOOL_COMMANDS
from napari_fastsam3d.geometry import Volume

ANYWHERE = {
    *(each.key for each in TOOL_COMMANDS),
    *("open_scan", "earlier_sessions", "worklist", "compact", "toggle_crop"),
    *("toggle_memory", "import_memory"),
}
"""What needs no scan."""

CLEAN_UPS = {key for key in COMMANDS if key.startswith("clean_")}
CANDIDATES = {"smaller_candidate", "larger_candidate"}
SAVED = {key for key in COMMANDS if key.startswith("save_")} | {"measures", "draw_diameters"}
LISTED = {
    "Open a folder of scans as a worklist first.": {"next_case", "previous_case", "case_done"},
    "This scan has no other time point or channel.": {"next_volume", "volume_before"},
    "Lay a second scan over this one first.": {"flicker", "both_scans"},
    "Select a prompt first.": {"delete_prompt"},
    "The last click changed nothing out of sight.": {"show_change", "revert_change"},
    "No other object keeps the voxel of the last click.": {"take_over", "unlock_holder"},
    "Nothing is remembered yet: name an object and accept it first.": {
        "find_structure",
        "export_memory",
    },
    "No structure is ticked that the model was taught; see Teach in the Memory panel.": {
        "segment_automatically"
    },
}
"""What stays disabled in each state here."""


@pytest.fixture
def scene(make_bare: Callable[..., Any], settle: Any) -> Scene:
    return Scene(make_bare()[1], settle)


def disabled(scene: Scene) -> dict[str, str]:
    """The commands that are disabled, but for those of `LISTED`, and why."""
    reasons = {key: scene.why_not(key) for key in COMMANDS}
    for sentence, keys in LISTED.items():
        assert {reasons.pop(key) for key in keys} == {sentence}
    return {key: reason for key, reason in reasons.items() if reason is not None}


def test_what_is_disabled_and_why_from_no_scan_to_a_locked_object(scene: Scene) -> None:
    worklist = {"next_case", "previous_case", "case_done", "export_memory"}
    assert scene.enabled() == ANYWHERE
    assert {scene.why_not(key) for key in COMMANDS.keys() - ANYWHERE - worklist} == {NO_SCAN}
    assert scene.do("undo") == [NO_SCAN]  # a key that is disabled says so in the status line

    scene.open(Volume.from_array(two_balls(), np.diag([3.0, 3.0, 3.0, 1.0]), name="ct"))
    scan_alone = {
        **dict.fromkeys(CANDIDATES, "Click in a structure or draw a box first."),
        **dict.fromkeys(("object_after", "object_before"), "There is no other object."),
        **dict.fromkeys(CLEAN_UPS | SAVED, NO_OBJECT),
        **dict.fromkeys(("name_object", "value_object", "colour_object"), NO_OBJECT),
        **dict.fromkeys(("remove_object", "lock_object", "accept_object"), NO_OBJECT),
        **dict.fromkeys(("reset_object", "next_prompt", "previous_prompt"), NO_OBJECT),
        **dict.fromkeys(("next_object", "exclude_neighbours", "remember_object"), NO_OBJECT),
        **dict.fromkeys(("fainter", "stronger", "fly_to_object"), NO_OBJECT),
        "undo": "There is nothing to undo.",
        "redo": "There is nothing to redo.",
        "flip_point": "There is no point or scribble to flip.",
    }
    assert disabled(scene) == scan_alone
    assert scene.do("lock_object") == [NO_OBJECT]

    scene.click(BALL)
    after_a_click = {
        **dict.fromkeys(("object_after", "object_before"), "There is no other object."),
        "redo": "There is nothing to redo.",
        "exclude_neighbours": "No other object is locked.",
        "remember_object": "object 1 has no name yet, by which it could be recalled: "
        "give it one first.",
    }
    assert disabled(scene) == after_a_click

    scene.do("next_object")
    begun = {
        **dict.fromkeys(CANDIDATES, "Click in a structure or draw a box first."),
        **dict.fromkeys(CLEAN_UPS, NO_PROMPT),
        **dict.fromkeys(("lock_object", "accept_object", "exclude_neighbours"), NO_PROMPT),
        **dict.fromkeys(("reset_object", "next_prompt", "previous_prompt"), NO_PROMPT),
        "remember_object": NO_PROMPT,
        "redo": "There is nothing to redo.",
        "flip_point": "There is no point or scribble to flip.",
        "fly_to_object": "object 2 has no voxel yet.",
    }
    assert disabled(scene) == begun
    assert scene.do("next_object") == []
    assert len(scene.objects) == 2  # one that is empty is gone on with

    scene.do("object_before")
    scene.do("lock_object")
    locked = "object 1 is locked. Unlock it first (Shift+F)."
    after_lock = {
        **dict.fromkeys(CANDIDATES | CLEAN_UPS, locked),
        "flip_point": locked,
        "redo": "There is nothing to redo.",
        "remove_object": "A locked object can't be removed: unlock it first.",
        "exclude_neighbours": "object 1 is locked.",
        "remember_object": after_a_click["remember_object"],
    }
    unlisted = {key: scene.why_not(key) for key in COMMANDS.keys() - {"delete_prompt"}}
    assert scene.why_not("delete_prompt") == locked
    known = {key for keys in LISTED.values() for key in keys}
    assert {k: v for k, v in unlisted.items() if v and k not in known} == after_lock
    before = scene.session.label_map().copy()
    for key in ("clean_holes", "flip_point", "remove_object"):
        assert scene.do(key) == [after_lock[key]]
    assert np.array_equal(scene.session.label_map(), before)


def test_windows_of_ct_are_not_offered_for_another_kind_of_scan(scene: Scene) -> None:
    steps = np.linspace(0, 1, 30, dtype=np.float32)
    volume = Volume.from_array(np.tile(steps, (20, 20, 1)), name="share")
    scene.open(replace(volume, source=replace(volume.source, modality="MR")))
    for preset in PRESETS.values():
        assert scene.do(preset.key) == [
            "share is no CT: windows in Hounsfield units do not fit it. Alt+8 does."
        ]
    assert scene.do("window_auto") == []
    low, high = scene.view.image.contrast_limits
    assert 0 <= low < high <= 1


def test_tools_of_a_slice_are_refused_in_3d_and_the_tool_stays(scene: Scene) -> None:
    scene.open(Volume.from_array(two_balls(), name="ct"))
    refused: list[None] = []

    def hear() -> None:
        refused.append(None)

    scene.work.toolbox.refused.connect(hear)
    scene.work.viewer.dims.ndisplay = 3
    scene.do("include")
    for key in ("box", "scribble", "lasso", "freeze", "brush", "erase", "ruler"):
        (said,) = scene.do(key)
        assert said == "This tool works in a slice: leave the 3D view (Ctrl+Y) to use it."
        assert scene.work.toolbox.tool == "include"
    assert len(refused) == 7
    for key in ("exclude", "adjust"):
        assert scene.do(key) == []
        assert scene.work.toolbox.tool == key
    scene.do("pan")
    assert scene.work.toolbox.tool is None
    scene.work.viewer.dims.ndisplay = 2
    for each in TOOL_COMMANDS[:-1]:
        scene.do(each.key)
        assert scene.work.toolbox.tool == each.key
