"""How deep a box drawn in one slice is, and that it is no cage."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtTest import QTest
from rod_and_ball import BALL, ROD, click, opened, turn_to, world_of

pytestmark = pytest.mark.gl


@pytest.fixture
def scene(open_window: Callable[..., Any]) -> Any:
    return opened(open_window)


def draw(scene: Any, settle: Any, key: str = "G") -> None:
    """Drag a rectangle round the rod in its axial slice."""
    viewer, widget, hand = scene
    turn_to(viewer, widget, ROD)
    hand.key(key)
    hand.drag(world_of(widget, (9, 13, 25)), world_of(widget, (19, 23, 25)))
    settle(widget)


def depth(widget: Any) -> int:
    """Count the axial slices of the mask that hold the middle of the rod."""
    return int(widget.view.session.mask()[ROD[:2]].sum())


def test_a_box_drawn_in_one_slice_reaches_as_far_as_the_structure(scene: Any, settle: Any) -> None:
    _, widget, _ = scene
    draw(scene, settle)
    assert widget.view.prompts[0].guessed == 2
    assert depth(widget) > 40
    assert not widget.view.session.mask()[BALL]


def test_a_depth_that_was_chosen_is_kept_until_a_click_beyond_it(scene: Any, settle: Any) -> None:
    _, widget, _ = scene
    spin = widget.prompts.box_depth
    spin.setFocus()
    spin.selectAll()
    QTest.keyClicks(spin.lineEdit(), "30\r")
    draw(scene, settle)
    assert widget.view.prompts[0].guessed is None
    assert 5 < depth(widget) < 15
    click(scene, settle, (14, 18, 35), key="Q")
    assert depth(widget) > 40


def test_a_box_after_a_click_keeps_what_the_click_found(scene: Any, settle: Any) -> None:
    _, widget, hand = scene
    click(scene, settle, ROD)
    before = widget.view.session.mask()
    draw(scene, settle)
    after = widget.view.session.mask()
    assert np.count_nonzero(before & after) >= 0.95 * np.count_nonzero(before)
    hand.key("U")
    settle(widget)
    assert np.array_equal(widget.view.session.mask(), before)
