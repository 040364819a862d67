"""Teaching a structure in the real window, beside clicks; and what was taught, without one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from remembered import remembered
from small_pyramid import ball_scan, small_pyramid

from napari_fastsam3d.inference.crop_policy import CropPolicy
from napari_fastsam3d.inference.scan_part import kept_scan
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.model.adaptation import AdapterConfig
from napari_fastsam3d.training.adaptation import objective, teaching
from napari_fastsam3d.training.adaptation.outcome import TeachingOptions

pytestmark = pytest.mark.gl

PICTURES: Path | None = None


def press(button: Any) -> None:
    assert button.isEnabled(), button.toolTip()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def take(viewer: Any, name: str) -> None:
    if PICTURES is not None:
        viewer.screenshot(str(PICTURES / f"{name}.png"), canvas_only=False, flash=False)


@pytest.fixture
def predictor() -> Any:
    return small_pyramid()


@pytest.fixture
def balls(predictor: Any) -> None:
    """Five balls in the user's own memory, with the parts of the scans around them."""
    with MemoryBank() as bank:
        for seed in range(5):
            volume, mask = ball_scan(seed)
            case = remembered("ball", seed)
            bank.add(case)
            policy = CropPolicy.of(volume, predictor)
            bank.scans.put(case.entry.id, kept_scan(volume, mask, policy))


def test_a_structure_is_taught_beside_clicks_and_segmented_without_one(
    balls: None,
    predictor: Any,
    open_window: Callable[..., Any],
    settle: Any,
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setitem(objective.RATES, "bottleneck", 0.03)
    monkeypatch.setattr(teaching, "HELPS", -1.0)  # whatever a network of random weights gains
    viewer, widget, hand = open_window(ball_scan(9)[0], size=(1200, 1100), model=predictor)
    panel, teacher = widget.memory.teaching, widget.workspace.teacher
    press(widget.sections["memory"].heading)
    assert not panel.keep.isChecked()
    press(panel.keep)
    assert widget.workspace.memory.bank.scans.agreed
    teacher.options = TeachingOptions(AdapterConfig("bottleneck"), steps=24, folds=0)

    press(panel.teach)
    qtbot.waitUntil(lambda: teacher.progress[1] > 12, timeout=60_000)
    press(panel.pause)
    qtbot.wait(200)
    rested = teacher.progress
    take(viewer, "paused")
    world = widget.view.mask.layer.data_to_world((15, 15, 15))
    viewer.dims.set_point(range(3), tuple(world))
    press(panel.pause)
    hand.click(tuple(world))
    settle(widget)
    assert not widget.view.session.region().is_empty
    assert teacher.structure == "ball"
    assert rested[1] < rested[2]
    take(viewer, "teaching")
    qtbot.waitUntil(lambda: teacher.structure is None, timeout=120_000)

    assert "fitted on 5 cases" in panel.about.text().lower()
    assert [panel.taught.item(n).text() for n in range(panel.taught.count())] == ["ball"]
    assert not panel.bar.isVisible()
    assert panel.automatic.isEnabled()
    take(viewer, "taught")
    hand.key("Shift+Alt+Q")
    qtbot.waitUntil(lambda: len(widget.view.session.state.objects) == 2, timeout=60_000)
    settle(widget)
    found = widget.view.session.state.objects[1]
    assert (found.name, found.adapter is not None) == ("ball", True)
    _, truth = ball_scan(9)
    assert widget.view.session.region(found.id).agreement(truth) > 0.4
    take(viewer, "segmented")
    widget.run("undo")
    settle(widget)
    assert len(widget.view.session.state.objects) == 1
