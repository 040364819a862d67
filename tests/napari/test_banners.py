"""What stands above the status line until it is answered: hidden scans, cases, earlier work."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from feature_model import FeatureModel
from feature_model import scan as tissues
from napari.layers import Image
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton
from scene import BALL, OTHER, Scene, scan, two_balls

from napari_fastsam3d._napari.commands import objects as object_commands
from napari_fastsam3d._napari.panels.banners import Banner, _description
from napari_fastsam3d._napari.panels.notice import NoticeChoice
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.session import History, Point, SavedSession
from napari_fastsam3d.session.object_actions import NewObject, RenameObject
from napari_fastsam3d.session.prompt_actions import AddPrompt

FIRST = (25, 20, 18)


def words(banner: Banner) -> tuple[str, list[str]] | None:
    """What a banner says and offers; None where it is hidden."""
    if banner.isHidden():
        return None
    return banner.text.text(), [button.text() for button in banner.buttons]


def press(banner: Banner, text: str) -> None:
    next(button for button in banner.buttons if button.text() == text).click()


def test_a_banner_shows_one_sentence_with_its_buttons_at_a_time(qtbot: Any) -> None:
    banner, pressed = Banner(), []
    qtbot.addWidget(banner)
    assert words(banner) is None
    choices = [NoticeChoice(t, f"{t}!", lambda t=t: pressed.append(t)) for t in ("Yes", "No")]
    banner.show_message("<i>Is it so?</i>", choices)
    assert words(banner) == ("<i>Is it so?</i>", ["Yes", "No"])
    assert banner.text.textFormat() == Qt.TextFormat.PlainText  # a file's name is no markup
    assert [button.toolTip() for button in banner.buttons] == ["Yes!", "No!"]
    before = banner.buttons
    banner.show_message("<i>Is it so?</i>", choices)
    assert banner.buttons is before  # nothing flickers, and what is pressed stays pressed
    banner.buttons[1].click()
    assert pressed == ["No"]
    banner.show_message("Another.")
    assert words(banner) == ("Another.", [])
    seen = [each for each in banner.findChildren(QPushButton) if not each.isHidden()]
    assert seen == []
    banner.withdraw()
    assert words(banner) is None
    banner.show_message("Another.", choices)
    assert words(banner) == ("Another.", ["Yes", "No"])


def image(scene: Scene, name: str) -> Any:
    return next(layer for layer in scene.work.viewer.layers if layer.name == name)


def test_the_scan_that_is_segmented_is_told_where_another_is_seen(
    make_scene: Callable[..., Scene],
) -> None:
    long = "A very long name of a scan"
    scene = make_scene(scan("T1"), scan(long, voxels=two_balls()[::-1].copy()))
    banner = scene.widget.visibility_banner
    assert scene.view.image.name == long
    assert (image(scene, "T1").visible, image(scene, long).visible) == (False, True)
    assert words(banner) is None

    image(scene, long).visible = False
    scene.settle()
    assert words(banner) == (
        f"{long} is hidden, and a click would still segment it.",
        ["Show A very long name…"],
    )
    assert scene.widget.status.now.text() == banner.text.text()
    press(banner, "Show A very long name…")
    scene.settle()
    assert image(scene, long).visible
    assert words(banner) is None

    # Where nothing was segmented yet, what is seen is chosen.
    notification_manager.records.clear()
    image(scene, long).visible, image(scene, "T1").visible = False, True
    scene.settle()
    assert scene.view.image.name == "T1"
    (told,) = [note.message for note in notification_manager.records]
    assert told == "T1 is segmented now, the scan that is seen."

    # Where something was, the user is asked before the next click.
    scene.click(BALL)
    image(scene, long).visible = True
    scene.settle()
    offers = ["Segment A very long name…", "Show T1"]
    assert words(banner) == (f"You see {long}, but a click segments T1.", offers)
    image(scene, long).opacity = 0.5  # T1 is seen through it
    scene.settle()
    assert words(banner) is None
    image(scene, long).opacity = 1
    scene.settle()
    press(banner, "Segment A very long name…")
    scene.settle()
    assert scene.view.image.name == long
    assert words(banner) is None
    scene.widget.scan.choose(image(scene, "T1"))
    scene.settle()
    assert len(scene.objects) == 1  # what was done there stays with the other


def test_a_slice_beside_the_scan_is_told_and_turned_from(make_scene: Callable[..., Scene]) -> None:
    scene = make_scene(scan("T1"))
    banner, dims = scene.widget.visibility_banner, scene.work.viewer.dims
    scene.work.viewer.add_layer(Image(np.zeros((200, 4, 4)), name="tall", blending="additive"))
    scene.settle()
    dims.set_point(0, 190)
    scene.settle()
    told = ("This slice lies outside T1: there is nothing to click.", ["Go to it"])
    assert words(banner) == told
    assert scene.widget.status.now.text() == told[0]
    dims.ndisplay = 3  # there all of it is seen
    scene.settle()
    assert words(banner) is None
    dims.ndisplay = 2
    scene.settle()
    assert words(banner) == told
    press(banner, "Go to it")
    scene.settle()
    assert words(banner) is None
    assert scene.view.navigation.contains(dims.point)
    scene.work.viewer.layers.remove(scene.view.image)
    scene.settle()
    assert words(banner) is None


@pytest.fixture
def accepting(make_scene: Callable[..., Scene]) -> Scene:
    """A scan with an object that can be remembered."""
    model = FeatureModel(size=64, spacings=(2.0, 4.0), start_spacing=2.0)
    scene = make_scene(tissues(FIRST, 1)[0], model=model)
    scene.click(FIRST)
    return scene


def remembered(scene: Scene, qtbot: Any, count: int) -> None:
    qtbot.waitUntil(lambda: len(scene.work.memory.entries()) == count, timeout=30_000)
    scene.settle()


def test_an_accepted_object_is_remembered_once_the_user_says_so(
    accepting: Scene, qtbot: Any, monkeypatch: Any
) -> None:
    scene, banner = accepting, accepting.widget.memory_banner
    names: list[tuple[str, int | None] | None] = [None, ("ball", None)]
    monkeypatch.setattr(object_commands, "ask_name", lambda *_: names.pop(0))
    scene.do("accept_object")
    nameless = ("To remember object 1 for other scans, name it.", ["Name it...", "Not this one"])
    assert words(banner) == nameless
    press(banner, "Name it...")  # the user thinks better of it
    assert words(banner) == nameless
    press(banner, "Name it...")
    scene.settle()
    assert words(banner) is not None
    assert banner.text.text().startswith("Remember ball for other scans?")
    assert [button.text() for button in banner.buttons] == ["Remember", "Not this one"]
    press(banner, "Not this one")
    assert words(banner) is None
    assert scene.work.memory.entries() == ()
    assert scene.objects[0].accepted

    for _ in range(2):  # taken back, and accepted again
        scene.do("accept_object")
    press(banner, "Remember")
    assert words(banner) is None
    remembered(scene, qtbot, 1)
    assert scene.messages[-1] == "Remembered ball for other scans."

    # What was forgotten by mistake comes back.
    (entry,) = scene.work.memory.entries()
    scene.work.memory.forget(entry.id, banner.offer_back)
    scene.settle()
    told = f"Forgot ball of {entry.date}; nothing of it is on this disk."
    assert words(banner) == (told, ["Put it back", "Leave it so"])
    assert scene.work.memory.entries() == ()
    press(banner, "Put it back")
    scene.settle()
    assert [each.id for each in scene.work.memory.entries()] == [entry.id]
    scene.work.memory.forget(entry.id, banner.offer_back)
    scene.settle()
    press(banner, "Leave it so")
    assert (words(banner), scene.work.memory.entries()) == (None, ())
    banner.offer_back(None)  # a damaged one can't be put back, so nothing is offered
    assert words(banner) is None


@pytest.mark.parametrize("when", ["never", "always"])
def test_whether_it_is_asked_is_the_users_choice(accepting: Scene, qtbot: Any, when: str) -> None:
    scene, banner = accepting, accepting.widget.memory_banner
    panel = scene.widget.memory.when
    panel.setCurrentIndex(panel.findData(when))
    assert scene.work.memory.when == when
    scene.do("accept_object")
    if when == "never":
        assert words(banner) is None
        return
    assert words(banner) is not None  # without a name nothing can be remembered by itself
    scene.view.run(lambda session: session.rename_object(1, "ball"))
    for _ in range(2):
        scene.do("accept_object")
    why = scene.session.reason_not_to_remember(1)
    if why is None:
        remembered(scene, qtbot, 1)
        assert words(banner) is None
    else:
        asked = f"Remember ball for other scans? {why}"
        assert words(banner) == (asked, ["Remember", "Not this one"])
        scene.open(Volume.from_array(two_balls(), name="other"))
        assert words(banner) is None  # it was about another scan


def test_earlier_work_is_described_by_time_objects_and_damage() -> None:
    log = History()
    for number, name in ((1, "liver"), (2, "spleen"), (3, "")):
        log = log.do(NewObject(number))
        if name:
            log = log.do(AddPrompt(number, Point(number, BALL, True)))
            log = log.do(RenameObject(number, name))
    kept = SavedSession(log, {}, {})
    told = "Unfinished work on this scan: 2 objects (liver, spleen)."
    assert _description(kept) == told
    dated = replace(kept, saved=datetime(2026, 3, 9, 8, 5), damage="Its end is damaged.")
    assert _description(dated) == (
        "Unfinished work of 09 Mar 08:05 on this scan: 2 objects (liver, spleen). "
        "Its end is damaged."
    )


def test_an_offer_is_worded_by_what_was_done_since(
    make_scene: Callable[..., Scene], qtbot: Any
) -> None:
    scene = make_scene(scan())
    scene.click(BALL)
    mask = scene.session.mask()
    scene.work.viewer.layers.remove(scene.view.image)
    scene.settle()
    scene.open(scan())
    qtbot.waitUntil(lambda: not scene.widget.banner.isHidden(), timeout=30_000)
    banner = scene.widget.banner
    assert banner.found.text().endswith("on this scan: 1 object (object 1).")
    assert banner.afresh.text() == "Start afresh"
    scene.click(OTHER)
    assert banner.found.text().endswith("It is kept, and so is what you do now.")
    assert banner.afresh.text() == "Not now"
    banner.afresh.click()
    assert banner.isHidden()
    scene.click(BALL)
    assert banner.isHidden()  # it was answered
    assert len(scene.objects[0].prompts) == 2
    assert mask.any()
