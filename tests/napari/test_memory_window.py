"""The memory in the real window: what is accepted on one scan helps on the next."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from canvas import Hand
from feature_model import FeatureModel, scan
from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_fastsam3d._napari.contributions.reader import image_layer_data

pytestmark = pytest.mark.gl

PICTURES: Path | None = None


def press(button: Any) -> None:
    assert button.isEnabled(), button.toolTip()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def choose(rows: Any, row: int) -> None:
    place = rows.visualItemRect(rows.item(row)).center()
    QTest.mouseClick(rows.viewport(), Qt.MouseButton.LeftButton, pos=place)


def take(viewer: Any, name: str) -> None:
    if PICTURES is not None:
        viewer.screenshot(str(PICTURES / f"{name}.png"), canvas_only=False, flash=False)


class Desk:
    """A window with the widget, and a hand at it."""

    def __init__(self, viewer: Any, widget: Any, hand: Hand, settle: Any, qtbot: Any) -> None:
        self.viewer, self.widget, self.hand = viewer, widget, hand
        self.settle, self.qtbot = settle, qtbot

    def open(self, centre: tuple[int, int, int], seed: int) -> None:
        volume, _ = scan(centre, seed)
        layer = self.viewer.add_layer(Layer.create(*image_layer_data(volume)))
        self.viewer.layers.selection.active = layer
        self.widget.scan.choose(layer)
        self.settle(self.widget)

    def click(self, place: tuple[int, int, int]) -> None:
        view = self.widget.view
        world = view.mask.layer.data_to_world(view.frame.to_layer(place)[0])
        self.viewer.dims.set_point(range(3), tuple(world))
        self.viewer.reset_view()
        self.qtbot.wait(50)
        self.hand.click(tuple(world))
        self.settle(self.widget)


@pytest.fixture
def desk(open_window: Callable[..., Any], settle: Any, qtbot: Any) -> Desk:
    model = FeatureModel(size=64, spacings=(2.0, 4.0), start_spacing=2.0)
    return Desk(*open_window(model=model), settle, qtbot)


def test_what_was_accepted_helps_on_the_next_scan_until_it_is_forgotten(desk: Desk, qtbot: Any):
    viewer, widget, memory = desk.viewer, desk.widget, desk.widget.memory
    for seed, centre in enumerate(((25, 20, 18), (22, 22, 18), (24, 26, 19)), start=1):
        desk.open(centre, seed)
        desk.click(centre)
        number = widget.view.session.state.current
        widget.view.run(lambda session, n=number: session.rename_object(n, "ball"))
        desk.hand.key("Shift+Y")
        qtbot.waitUntil(lambda: widget.memory_banner.isVisible(), timeout=20_000)
        assert "Remember ball" in widget.memory_banner.text.text()
        take(viewer, f"ask-{seed}")
        press(widget.memory_banner.buttons[0])
        qtbot.waitUntil(lambda n=seed: memory.structures.count() == 1, timeout=20_000)
        qtbot.waitUntil(lambda n=seed: f"({n})" in memory.structures.item(0).text())

    desk.open((20, 25, 20), 0)
    press(widget.sections["memory"].heading)
    desk.click((21, 24, 20))
    view = widget.view
    assert memory.cases.count() == 3
    assert "alike" in memory.cases.item(0).text()
    assert widget.sections["memory"].heading.text() == "Memory: 3 recalled"
    qtbot.waitUntil(lambda: not memory.cases.item(0).icon().isNull(), timeout=20_000)
    take(viewer, "recalled")
    recalling = view.session.region()

    press(memory.switch)
    desk.settle(widget)
    assert not view.session.region().equals(recalling)
    assert (memory.cases.count(), memory.switch.isChecked()) == (0, False)
    take(viewer, "off")
    desk.hand.key("Shift+Alt+A")
    desk.settle(widget)
    assert view.session.region().equals(recalling)

    choose(memory.cases, 0)
    gone = view.session.recalled()[0].id
    press(memory.forget)
    qtbot.waitUntil(lambda: widget.memory_banner.isVisible(), timeout=20_000)
    desk.settle(widget)
    assert len(widget.workspace.memory.entries()) == memory.cases.count() == 2
    take(viewer, "forgotten")
    press(widget.memory_banner.buttons[0])
    qtbot.waitUntil(lambda: len(widget.workspace.memory.entries()) == 3, timeout=20_000)
    assert gone in {entry.id for entry in widget.workspace.memory.entries()}

    desk.open((30, 30, 18), 7)
    choose(memory.structures, 0)
    press(memory.find_button)
    desk.settle(widget)
    assert widget.view.current.name == "ball"
    assert widget.view.session.region().contains((30, 30, 18))
    take(viewer, "found")
