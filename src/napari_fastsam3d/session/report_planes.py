"""Three planes of a scan with the outlines of its objects, for a report."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.io.segment import Segment
from napari_fastsam3d.geometry.picture import Colour, panel, shades, system_font
from napari_fastsam3d.geometry.volume import Volume

_GAP = 20
_TEXT = 20
_PERCENTILES = (1.0, 99.0)
# What stands at the left, right, top and bottom of the axial, coronal and sagittal plane, as
# radiologists hold them.
_SIDES = ("RLAP", "RLSI", "APSI")


def three_planes(
    volume: Volume,
    segments: Sequence[Segment],
    window: tuple[float, float] | None,
    room: tuple[int, int],
) -> Image.Image:
    """Draw the planes that show most of some objects side by side, all at one scale.

    Parameters
    ----------
    volume : Volume
    segments : sequence of Segment
        At least one with a voxel.
    window : tuple of float or None
        Intensities that become black and white; chosen by those of the scan where None.
    room : tuple of int
        Pixels across and down that it may take.
    """
    display = volume.display
    spacing = [volume.spacing[axis] for axis in display.axes]
    extent = np.multiply(display.target_shape, spacing)
    wide, high = extent[2] + extent[2] + extent[1], max(extent[1], extent[0])
    scale = min((room[0] - 2 * _GAP) / wide, room[1] / high)
    window = window or _window(volume)
    drawn = [
        _plane(volume, segments, (axis, at), window, scale)
        for axis, at in enumerate(_places(volume, segments))
    ]
    sheet = Image.new(
        "RGB", (sum(p.width for p in drawn) + 2 * _GAP, max(p.height for p in drawn)), "white"
    )
    x = 0
    for each in drawn:
        sheet.paste(each, (x, 0))
        x += each.width + _GAP
    return sheet


def _plane(
    volume: Volume,
    segments: Sequence[Segment],
    plane: tuple[int, int],
    window: tuple[float, float],
    scale: float,
) -> Image.Image:
    """Draw one plane, given as an axis of the display and the place along it."""
    (axis, at), display = plane, volume.display
    start, stop = [0, 0, 0], list(display.target_shape)
    start[axis], stop[axis] = at, at + 1
    box = display.box_to_source(Box((start[0], start[1], start[2]), (stop[0], stop[1], stop[2])))
    shown = display.view(volume.valid_intensities(volume.voxels[box.slices])).squeeze(axis)
    contours = [
        (display.view(each.mask.within(box)).squeeze(axis), ink_of(each))
        for each in segments
        if not each.mask.box.intersection(box).is_empty
    ]
    rows, columns = (
        volume.spacing[source] for place, source in enumerate(display.axes) if place != axis
    )
    picture = panel(shades(shown, window), contours, (rows, columns), scale)
    pen = ImageDraw.Draw(picture)
    left, right, top, bottom = _SIDES[axis]
    across, down = picture.width, picture.height
    for letter, place, anchor in (
        (left, (6, down / 2), "lm"),
        (right, (across - 6, down / 2), "rm"),
        (top, (across / 2, 4), "ma"),
        (bottom, (across / 2, down - 4), "md"),
    ):
        pen.text(place, letter, fill=(255, 255, 160), font=system_font(_TEXT), anchor=anchor)
    return picture


def _places(volume: Volume, segments: Sequence[Segment]) -> tuple[int, int, int]:
    """Choose along each axis of the display the plane that shows most of all objects alike."""
    display = volume.display
    found: list[int] = []
    for axis in range(3):
        shares = np.zeros(display.target_shape[axis])
        for each in segments:
            if each.mask.is_empty:
                continue
            box = display.box_to_target(each.mask.box)
            others = tuple(other for other in range(3) if other != axis)
            counts = np.count_nonzero(display.view(each.mask.voxels), axis=others)
            # The root lets a plane that shows some of each win over one that shows all of one.
            shares[box.start[axis] : box.stop[axis]] += np.sqrt(counts / counts.sum())
        found.append(int(shares.argmax()))
    return found[0], found[1], found[2]


def _window(volume: Volume) -> tuple[float, float]:
    strides = tuple(slice(None, None, max(1, n // 64)) for n in volume.shape)
    low, high = np.percentile(volume.valid_intensities(volume.voxels[strides]), _PERCENTILES)
    return float(low), float(high)


def ink_of(each: Segment) -> Colour:
    """Return the colour in which an object is drawn, 0 to 255."""
    red, green, blue = (round(255 * part) for part in each.colour or (0.9, 0.7, 0.3))
    return (red, green, blue)
