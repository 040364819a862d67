"""What one step of the user costs the window: every list and layer is drawn once."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.layers import Layer

from napari_fastsam3d._napari.contributions.reader import image_layer_data
from napari_fastsam3d._napari.layers.masks import MaskLayer
from napari_fastsam3d._napari.layers.points import PointsLayer
from napari_fastsam3d._napari.layers.session_layers import SessionLayers
from napari_fastsam3d._napari.panels.history import Steps
from napari_fastsam3d._napari.panels.objects import ObjectsPanel
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.session.prompt_actions import AddPrompt

INSIDE, BESIDE = (6, 6, 5), (14, 16, 11)


@pytest.fixture
def widget(make_widget: Callable[..., Any], settle: Any) -> Any:
    voxels = np.zeros((20, 24, 16), np.int16)
    voxels[4:9, 4:9, 4:8] = 300
    voxels[12:17, 14:19, 9:13] = 600
    viewer, made = make_widget()
    volume = Volume.from_array(voxels, np.diag([-2.0, -2.0, 2.0, 1.0]), name="blocks")
    viewer.add_layer(Layer.create(*image_layer_data(volume)))
    settle(made)
    return made


@pytest.fixture
def counts(widget: Any, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each of these was called since."""
    counted: Counter[str] = Counter()

    def count(owner: type, name: str) -> None:
        original = getattr(owner, name)

        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            counted[f"{owner.__name__}.{name}"] += 1
            return original(self, *args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    for owner, name in (
        (SessionLayers, "draw"),
        (PointsLayer, "_draw"),
        (MaskLayer, "write"),
        (SessionView, "draw"),
        (Steps, "show"),
        (ObjectsPanel, "_fit"),
        (AddPrompt, "apply"),
    ):
        count(owner, name)
    widget.view.state_changed.connect(lambda _: counted.update(["state_changed"]))
    return counted


def click(widget: Any, index: tuple[int, int, int]) -> None:
    widget.view.points.layer.add(widget.view.frame.to_layer(index)[0])


ONCE = {
    "SessionLayers.draw": 1,
    "PointsLayer._draw": 1,
    "MaskLayer.write": 1,
    "SessionView.draw": 1,
    "Steps.show": 1,
    "state_changed": 1,
}


def test_a_click_is_applied_and_drawn_once(widget: Any, counts: Any, settle: Any) -> None:
    for index in (INSIDE, BESIDE):
        counts.clear()
        click(widget, index)
        settle(widget)
        assert {name: counts[name] for name in ONCE} == ONCE
        assert counts["AddPrompt.apply"] == 1
        assert counts["ObjectsPanel._fit"] == 1
    assert len(widget.view.points.layer.data) == 2


def test_undo_and_redo_are_drawn_once_and_apply_nothing(
    widget: Any, counts: Any, settle: Any
) -> None:
    click(widget, INSIDE)
    click(widget, BESIDE)
    settle(widget)
    for command in ("undo", "redo"):
        counts.clear()
        widget.run(command)
        settle(widget)
        assert {name: counts[name] for name in ONCE} == ONCE
        assert counts["AddPrompt.apply"] == 0


def test_what_the_session_refuses_is_drawn_once_and_changes_nothing(
    widget: Any, counts: Any, settle: Any
) -> None:
    before = widget.view.session.history
    click(widget, (500, 2, 2))
    settle(widget)
    assert counts["SessionView.draw"] == 1
    assert widget.view.session.history == before
    assert len(widget.view.points.layer.data) == 0
