"""Which objects are shown, how strongly and in which order, without a viewer."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scene import BALL, OTHER, SHAPE, ball, scan

from napari_fastsam3d._napari.frame import frame_of_volume
from napari_fastsam3d._napari.layers.masks import MaskLayer
from napari_fastsam3d._napari.layers.object_display import ObjectDisplay, sorted_objects
from napari_fastsam3d.geometry import Box
from napari_fastsam3d.session import Mask, Session

THIRD = (8, 40, 4)
NAMES = {"liver": (BALL, 5.0), "Aorta": (OTHER, 2.0), "cyst": (THIRD, 3.0)}


@pytest.fixture
def session(flood: Any) -> Iterator[Session]:
    """Three objects of different sizes."""
    with Session(scan(), model=flood) as made:
        for name, (at, radius) in NAMES.items():
            made.new_object(name)
            made.edit_mask(Mask.of_volume(ball(at, radius)))
        yield made


@pytest.fixture
def mask(session: Session) -> MaskLayer:
    """The layer with all labels written."""
    layer = MaskLayer(frame_of_volume(session.volume))
    layer.write(Box.whole(SHAPE), session.label_map())
    return layer


def opacities(session: Session, mask: MaskLayer) -> dict[str, float]:
    """How opaque each object is drawn, by its name."""
    drawn = mask.layer.colormap.map
    return {o.name: round(float(drawn(o.value)[-1]), 2) for o in session.state.objects}


def test_what_is_hidden_one_by_one_stays_so_beside_showing_one_alone(
    session: Session, mask: MaskLayer
) -> None:
    display = ObjectDisplay(session, mask)
    display.draw()
    assert opacities(session, mask) == {"liver": 1, "Aorta": 1, "cyst": 1}
    display.set_visible(1, False)
    assert opacities(session, mask) == {"liver": 0, "Aorta": 1, "cyst": 1}
    display.show_alone(True)  # the current one is the last
    assert opacities(session, mask) == {"liver": 0, "Aorta": 0, "cyst": 1}
    session.select_object(1)
    display.draw()
    assert opacities(session, mask) == {"liver": 1, "Aorta": 0, "cyst": 0}  # though unticked
    assert display.hidden == {2, 3}
    assert display.unticked == {1}
    display.show_alone(False)
    assert opacities(session, mask) == {"liver": 0, "Aorta": 1, "cyst": 1}
    display.set_visible(1, True)
    assert opacities(session, mask) == {"liver": 1, "Aorta": 1, "cyst": 1}


def test_an_object_fades_by_itself_and_keeps_its_colour(session: Session, mask: MaskLayer) -> None:
    display = ObjectDisplay(session, mask)
    display.draw()
    before = {o.name: mask.layer.colormap.map(o.value)[:3] for o in session.state.objects}
    display.fade(2, 0.4)
    assert display.strength_of(2) == 0.4
    assert display.strength_of(1) == 1.0
    assert opacities(session, mask) == {"liver": 1, "Aorta": 0.4, "cyst": 1}
    for each in session.state.objects:
        assert np.allclose(mask.layer.colormap.map(each.value)[:3], before[each.name], atol=0.01)
    display.set_visible(2, False)
    assert opacities(session, mask)["Aorta"] == 0
    display.set_visible(2, True)
    assert opacities(session, mask)["Aorta"] == 0.4


def test_objects_are_sorted_as_begun_by_name_and_by_size(session: Session) -> None:
    def names(order: str) -> list[str]:
        return [each.name for each in sorted_objects(session, order)]

    assert names("begun") == ["liver", "Aorta", "cyst"]
    assert names("name") == ["Aorta", "cyst", "liver"]  # capitals count for nothing
    assert names("size") == ["liver", "cyst", "Aorta"]
    session.edit_mask(Mask.of_volume(ball(THIRD, 3.0) | ball(BALL, 9.0) & ~ball(BALL, 5.5)), None)
    assert names("size")[0] == "cyst"
    session.remove_object(3)
    assert names("size") == ["liver", "Aorta"]


def test_names_stand_beside_the_labels_for_naparis_status_bar(
    session: Session, mask: MaskLayer
) -> None:
    display = ObjectDisplay(session, mask)
    display.draw()
    features = mask.layer.features
    assert dict(zip(features["index"], features["object"], strict=True)) == {
        0: "",
        **{each.value: each.name for each in session.state.objects},
    }
    session.rename_object(1, "left lobe")
    display.draw()
    assert "left lobe" in set(mask.layer.features["object"])


def ray(mask: MaskLayer, start: Any, end: Any) -> tuple[int, ...] | None:
    """The first voxel that a ray between two source places meets, source index."""
    ends = (mask.frame.to_layer(place)[0] for place in (start, end))
    hit = mask.first_hit(*ends)
    return None if hit is None else mask.frame.source_index(hit)


def test_a_ray_of_the_3d_view_meets_what_is_seen_first(session: Session, mask: MaskLayer) -> None:
    display = ObjectDisplay(session, mask)
    display.draw()
    before, behind = (-10, *BALL[1:]), (60, *BALL[1:])
    hit = ray(mask, before, behind)
    assert hit is not None
    assert ball(BALL, 5.0)[hit]
    assert hit[0] == BALL[0] - 5
    hit = ray(mask, behind, before)
    assert hit is not None
    assert hit[0] == BALL[0] + 5
    display.set_visible(1, False)
    assert ray(mask, before, behind) is None  # what is hidden can't be clicked
    assert ray(mask, (-9, -9, -9), (-1, -1, -1)) is None  # beside the scan


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_what_is_written_by_boxes_is_what_the_layer_shows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer, wanted = MaskLayer(frame_of_volume(scan())), np.zeros(SHAPE, np.uint16)
    for value in (3, 200, 300):  # the last needs a wider type
        start = [int(rng.integers(0, n)) for n in SHAPE]
        stop = [int(rng.integers(a, n + 1)) for a, n in zip(start, SHAPE, strict=True)]
        box = Box(tuple(start), tuple(stop))  # type: ignore[arg-type]
        kind = np.uint16 if value > 255 else np.uint8
        labels = (rng.random(box.shape) < 0.5).astype(kind) * kind(value)
        layer.write(box, labels)
        if not box.is_empty:
            wanted[box.slices] = labels
    assert np.array_equal(layer.frame.source_view(np.asarray(layer.layer.data)), wanted)
    place = tuple(int(rng.integers(0, n)) for n in SHAPE)
    assert layer.value_at(place) == wanted[place]


def test_a_value_that_needs_a_wider_type_keeps_what_was_painted(mask: MaskLayer) -> None:
    before = np.asarray(mask.layer.data).copy()
    assert mask.layer.data.dtype == np.uint8
    mask.paint_with(40_000)
    assert mask.layer.selected_label == 40_000
    assert mask.layer.colormap.map(40_000)[-1] == 1  # a stroke that begins an object is seen
    assert mask.layer.data.dtype == np.uint16
    assert np.array_equal(mask.layer.data, before)
    # napari may convert the type by itself: the layer shows the session's own array all the same.
    mask.layer.data = before.astype(np.int64)
    mask.write(Box((0, 0, 0), (1, 1, 1)), np.full((1, 1, 1), 7, np.uint8))
    assert mask.frame.source_view(np.asarray(mask.layer.data))[0, 0, 0] == 7


def test_nothing_is_drawn_anew_where_nothing_changed(session: Session, mask: MaskLayer) -> None:
    display, drawn = ObjectDisplay(session, mask), []
    display.draw()
    mask.layer.events.colormap.connect(lambda _event: drawn.append(1))
    display.draw()
    display.set_visible(2, True)
    assert drawn == []
    display.fade(3, 0.5)
    assert drawn
