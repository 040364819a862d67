"""A picture of three slices of a volume with the contours of masks on them."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from napari_fastsam3d.geometry.volume import Volume

Colour = tuple[int, int, int]

HEIGHT = 480
_DOT = 5
_GAP = 12
_CAPTION = 24
_LETTERS = 16
_FONTS = ("DejaVuSans.ttf", "Arial Unicode.ttf", "arial.ttf", "Arial.ttf")
_VIEWS = ("axial", "coronal", "sagittal")


@dataclass(frozen=True)
class Outline:
    """A mask to be drawn as a contour.

    Parameters
    ----------
    name : str
        Written below the slices, in the contour's colour.
    mask : ndarray of bool, shape (I, J, K)
        In source order.
    colour : tuple of 3 ints
        Red, green and blue, 0 to 255.
    """

    name: str
    mask: NDArray[np.bool_]
    colour: Colour


@dataclass(frozen=True)
class Dot:
    """A voxel to be marked: filled on a slice that it lies in, hollow on the others.

    Parameters
    ----------
    index : tuple of int
        Source index.
    colour : tuple of 3 ints
        Red, green and blue, 0 to 255.
    """

    index: tuple[int, int, int]
    colour: Colour


def best_planes(masks: Sequence[NDArray[np.bool_]]) -> tuple[int, int, int]:
    """Choose, along each axis, the plane that shows the most of the least shown mask.

    Parameters
    ----------
    masks : sequence of ndarray of bool, shape (I, J, K)
        At least one.

    Returns
    -------
    tuple of int
        An index along each axis of the masks.
    """
    planes: list[int] = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        areas = np.array([mask.sum(axis=others) / max(1, mask.sum()) for mask in masks])
        planes.append(int((areas.min(axis=0) + 1e-3 * areas.sum(axis=0)).argmax()))
    return (planes[0], planes[1], planes[2])


def planes_of(volume: Volume, outlines: Sequence[Outline]) -> tuple[int, int, int]:
    """Choose the axial, coronal and sagittal plane to draw.

    Returns
    -------
    tuple of int
        Index from the head, from the front and from the patient's right.
    """
    masks = [np.asarray(volume.display.view(each.mask), dtype=np.bool_) for each in outlines]
    return best_planes(masks)


def shades(plane: NDArray[Any], window: tuple[float, float]) -> NDArray[np.uint8]:
    """Return the greys of intensities, of which two become black and white."""
    low, high = window
    scaled = (plane.astype(np.float32) - low) / max(high - low, 1e-6)
    return (255 * np.clip(scaled, 0, 1)).astype(np.uint8)


def _contour(plane: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Outline a mask at the picture's resolution, two pixels wide; `size` is (width, height)."""
    large = np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.NEAREST))
    return large & ~np.asarray(ndimage.binary_erosion(large, iterations=2), np.bool_)


def panel(
    plane: NDArray[np.uint8],
    contours: Sequence[tuple[NDArray[np.bool_], Colour]],
    pixel: tuple[float, float],
    scale: float | None = None,
) -> Image.Image:
    """Draw one slice with contours.

    Parameters
    ----------
    plane : ndarray of uint8, shape (rows, columns)
    contours : sequence of (ndarray of bool, shape (rows, columns), and colour)
    pixel : tuple of float
        mm from row to row and from column to column.
    scale : float, optional
        Pixels of the picture per mm; by default the slice is as high as the picture.
    """
    high, wide = plane.shape[0] * pixel[0], plane.shape[1] * pixel[1]
    scale = HEIGHT / high if scale is None else scale
    size = (max(1, round(wide * scale)), max(1, round(high * scale)))
    grey = Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR)
    colours = np.array(grey.convert("RGB"))
    for mask, colour in contours:
        colours[_contour(mask, size)] = colour
    return Image.fromarray(colours)


def _mark(panel: Image.Image, place: tuple[float, float], colour: Colour, *, filled: bool) -> None:
    """Draw a disc or a circle at a place given in parts of the panel's width and height."""
    x, y = place[0] * panel.width, place[1] * panel.height
    ring = (x - _DOT, y - _DOT, x + _DOT, y + _DOT)
    ImageDraw.Draw(panel).ellipse(ring, fill=colour if filled else None, outline=colour, width=2)


def draw(
    volume: Volume,
    outlines: Sequence[Outline],
    window: tuple[float, float],
    dots: Sequence[Dot] = (),
) -> Image.Image:
    """Draw three slices side by side, as radiologists hold them, with the masks' contours.

    Parameters
    ----------
    volume : Volume
        The scan.
    outlines : sequence of Outline
        At least one; the slices are chosen to show them.
    window : tuple of float
        Intensities that become black and white.
    dots : sequence of Dot
        Voxels to be marked.

    Returns
    -------
    Image
        RGB: the axial, coronal and sagittal slice, and the names of the masks below.
    """
    display = volume.display
    voxels = display.view(volume.voxels)
    masks = [np.asarray(display.view(outline.mask), dtype=np.bool_) for outline in outlines]
    spacing = [volume.spacing[axis] for axis in display.axes]
    panels: list[Image.Image] = []
    for axis, at in enumerate(planes_of(volume, outlines)):
        contours = [
            (np.take(mask, at, axis=axis), outline.colour)
            for mask, outline in zip(masks, outlines, strict=True)
        ]
        rows, columns = (step for other, step in enumerate(spacing) if other != axis)
        plane = volume.valid_intensities(np.take(voxels, at, axis=axis))
        drawn = panel(shades(plane, window), contours, (rows, columns))
        for dot in dots:
            place = np.rint(display.to_target(dot.index))
            y, x = (np.delete(place, axis) + 0.5) / np.delete(voxels.shape, axis)
            _mark(drawn, (x, y), dot.colour, filled=bool(place[axis] == at))
        panels.append(drawn)
    return _side_by_side(panels, outlines)


def _side_by_side(panels: Sequence[Image.Image], outlines: Sequence[Outline]) -> Image.Image:
    width = sum(panel.width for panel in panels) + _GAP * (len(panels) + 1)
    sheet = Image.new("RGB", (width, HEIGHT + 2 * _GAP + 2 * _CAPTION), (16, 16, 16))
    pen = ImageDraw.Draw(sheet)
    pen.font = ImageFont.load_default(_LETTERS)
    left = _GAP
    for panel, view in zip(panels, _VIEWS, strict=True):
        pen.text((left, _GAP), view, fill=(200, 200, 200))
        sheet.paste(panel, (left, _GAP + _CAPTION))
        left += panel.width + _GAP
    left = _GAP
    for outline in outlines:
        pen.text((left, HEIGHT + 2 * _GAP + _CAPTION), outline.name, fill=outline.colour)
        left += int(pen.textlength(outline.name)) + 2 * _GAP
    return sheet


@cache
def system_font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return a font of the system; where there is none Pillow's, of Western Europe's letters."""
    for name in _FONTS:
        with suppress(OSError):
            return ImageFont.truetype(name, size)
    return ImageFont.load_default(size)
