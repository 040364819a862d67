"""From the pointer to the voxel, and from a voxel to the slices that show it, beside nibabel."""

from collections.abc import Callable
from itertools import product
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from scene import Scene

from napari_fastsam3d._napari.panels.readout import describe_under
from napari_fastsam3d.geometry import Box, Volume
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.session import BoxPrompt, Choice, Edit, Point

SHAPE = (18, 22, 14)
LEFT_FIRST = np.array([[0, 0, 2.5, -20], [-0.8, 0, 0, 11], [0, -1.1, 0, 14], [0, 0, 0, 1]])
OBLIQUE = np.array(
    [[-0.95, 0.2, 0.3, 9], [0.25, 0.9, 0.5, -8], [0.1, -0.4, 2.2, -15], [0, 0, 0, 1]]
)
PLANES = ("axial", "coronal", "sagittal")


@pytest.fixture
def affine() -> np.ndarray:
    """Of the scan; a test may have another."""
    return OBLIQUE


@pytest.fixture
def scene(affine: np.ndarray, make_bare: Callable[..., Any], settle: Any) -> Scene:
    voxels = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    scene = Scene(make_bare()[1], settle)
    scene.open(Volume.from_array(voxels, affine, name="scan"))
    return scene


def world_of(scene: Scene, index: Any) -> tuple[float, ...]:
    """Where napari draws a voxel."""
    view = scene.view
    return tuple(view.mask.layer.data_to_world(view.frame.to_layer(index)[0]))


def shown(scene: Scene) -> list[int]:
    """The source index of the shown slice across each source axis."""
    frame = scene.view.frame
    return [round(float(x)) for x in frame.to_source(scene.view.navigation.steps()).reshape(3)]


@pytest.mark.parametrize("affine", [LEFT_FIRST, OBLIQUE], ids=["sagittal", "oblique"])
def test_slices_and_places_are_those_of_the_file(scene: Scene, affine: np.ndarray) -> None:
    navigation = scene.view.navigation
    corners = [*product(*((0, n - 1) for n in SHAPE)), (7, 3, 11)]
    for index in corners:
        world = world_of(scene, index)
        assert navigation.source_index(world) == index
        assert navigation.contains(world)
        navigation.go_to_place(nib.affines.apply_affine(affine, index))
        assert shown(scene) == [*index]
    for beyond in [(-1, 3, 3), (3, SHAPE[1], 3), (3, 3, SHAPE[2])]:
        assert not navigation.contains(world_of(scene, beyond))

    # Whichever plane is shown, its slices are counted along the axis of the file that they cut.
    towards = nib.io_orientation(affine)[:, 0].tolist()
    for key, way in zip(PLANES, (2, 1, 0), strict=True):
        scene.do(key)
        axis = navigation.source_axis()
        assert axis == towards.index(way)
        for index in (0, 5, SHAPE[axis] - 1):
            navigation.go_to_slice(axis, index)
            assert navigation.source_slice() == index
            assert navigation.slice_number(axis, index) == navigation.steps()[way_shown(scene)]

        # A step goes on by one, and stops at the ends.
        navigation.go_to_slice(axis, SHAPE[axis] // 2)
        before = navigation.steps()[way_shown(scene)]
        navigation.step(1)
        assert navigation.steps()[way_shown(scene)] == before + 1
        navigation.step(-2)
        assert navigation.steps()[way_shown(scene)] == before - 1
        navigation.step(1000)
        last = navigation.source_slice()
        navigation.step(-1000)
        assert {last, navigation.source_slice()} == {0, SHAPE[axis] - 1}

    # What was kept of the slices is shown again; what is no such thing is left alone.
    kept = navigation.steps()
    navigation.go_to_place(affine[:3, 3])
    for broken in (None, "slices", [1, 2], {"a": 1}):
        navigation.go_to_steps(broken)
        assert shown(scene) == [0, 0, 0]
    navigation.go_to_steps(kept)
    assert navigation.steps() == kept


def way_shown(scene: Scene) -> int:
    """The axis of the layer that the slices are across."""
    return int(scene.view.navigation.plane().axis)


def test_prompts_and_masks_are_turned_to(scene: Scene) -> None:
    navigation = scene.view.navigation
    box = Box((2, 4, 6), (9, 9, 9))
    spot, other = (PackedMask.of(Mask.of_indices([at])) for at in ((3, 20, 13), (15, 1, 2)))
    nothing = PackedMask.of(Mask.empty())
    for prompt, place in (
        (Point(1, (16, 2, 1), True), (16, 2, 1)),
        (BoxPrompt(2, box), (5, 6, 7)),
        (Edit(3, spot, other), (3, 20, 13)),
        (Edit(4, nothing, other), (15, 1, 2)),
    ):
        navigation.go_to_prompt(prompt)
        assert shown(scene) == [*place]
    navigation.go_to_prompt(Choice(5, 1))  # lies nowhere
    assert shown(scene) == [15, 1, 2]

    # Two blocks, of which the larger is on the other side of the scan.
    mask = Mask.of_volume(np.zeros(SHAPE, np.bool_))
    for small, corner in ((2, (1, 1, 1)), (5, (10, 12, 7))):
        block = Box(corner, tuple(x + small for x in corner))
        mask = mask.union(Mask.of(block, np.ones(block.shape, np.bool_)))
    navigation.go_to_middle(mask)
    assert mask.contains(shown(scene))
    assert Box((10, 12, 7), (15, 17, 12)).contains(shown(scene))

    # An object is turned to only where its mask is not in the slice already.
    axis = navigation.source_axis()
    for start, turned in ((shown(scene)[axis], False), (0 if shown(scene)[axis] else 5, True)):
        extent = Box((0, 0, 0), SHAPE).stretched(axis, start, start + 1)
        before, newest = shown(scene), [4, 4, 4]
        newest[axis] = start
        navigation.go_to_object(extent, Point(1, tuple(newest), True))
        assert (shown(scene) != before) is turned
        assert shown(scene)[axis] == start


def test_the_status_bar_says_what_lies_under_the_pointer(scene: Scene, affine: np.ndarray) -> None:
    view = scene.view
    scene.view.run(lambda session: session.edit_mask(Mask.of_indices([(7, 3, 11)])))
    scene.view.run(lambda session: session.rename_object(1, "liver"))
    scene.settle()
    for index in ((7, 3, 11), (0, 0, 0), (17, 21, 13)):
        words = describe_under(view, world_of(scene, index)).split("   ")
        x, y, z = nib.affines.apply_affine(affine, index)
        sides = ("LR"[int(x >= 0)], "PA"[int(y >= 0)], "IS"[int(z >= 0)])
        wanted = [
            str(scene.session.volume.voxels[index]),
            ", ".join(f"{s} {abs(v):.0f}" for s, v in zip(sides, (x, y, z), strict=True)) + " mm",
            "voxel {}, {}, {}".format(*index),
            *(["liver"] if index == (7, 3, 11) else []),
        ]
        assert words == wanted
    assert describe_under(view, world_of(scene, (-2, 0, 0))) == "outside the scan"
    scene.work.pointed.emit(world_of(scene, (7, 3, 11)))
    assert scene.widget.readout.text().endswith("voxel 7, 3, 11   liver")
