"""A torso made of simple shapes, for demonstrations and tests without a scan."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry.volume import Spacing, Volume

_EXTENT_MM = (375.0, 270.0, 330.0)
_NOISE_HU = 12.0
_TEXTURE_HU = 6.0
_BLUR_MM = 0.9

LABEL_NAMES = {
    1: "liver",
    2: "spleen",
    3: "right kidney",
    4: "left kidney",
    5: "spine",
    6: "aorta",
    7: "right lung",
    8: "left lung",
    9: "stomach",
    10: "body",
}

Field = NDArray[np.floating[Any]]
Level = Callable[[Field, Field, Field], Field]


@dataclass(frozen=True)
class _Shape:
    """A solid: where `level` is below 1, within `reach` mm of `centre`.

    Coordinates are RAS mm from the middle of the torso, first relative to `centre`.
    """

    centre: Sequence[float]
    reach: Sequence[float]
    level: Level


def torso_phantom(
    seed: int = 0, spacing: Spacing = (1.5, 1.5, 3.0)
) -> tuple[Volume, NDArray[np.uint8], dict[int, str]]:
    """Make a CT-like torso with known organs.

    Ellipsoids and superquadrics bent into something like anatomy: skin, fat and muscle, lungs,
    liver, spleen, kidneys, stomach, ribs, a spine of vertebrae with a dense shell, and the
    aorta before it, with smooth texture, blurred borders and noise. It is nobody's scan.

    Parameters
    ----------
    seed : int
        Of noise, texture and small variations in the place of the organs.
    spacing : tuple of float
        Voxel size in mm along R, A and S; the whole is 375 x 270 x 330 mm.

    Returns
    -------
    volume : Volume
        int16, near Hounsfield units; (250, 180, 110) voxels by default, axes R, A, S, the origin of
        world mm in the middle.
    labels : ndarray of uint8, shape of the volume
        Label values, 0 outside the body.
    names : dict of int to str
        What each label value means.

    Raises
    ------
    VolumeError
        If the spacing isn't three positive mm, or leaves next to no voxels.
    """
    rng = np.random.default_rng(seed)
    shape = _grid_shape(spacing)
    painter = _Painter(shape, spacing)
    _paint_body(painter)
    _paint_organs(painter, rng)
    _paint_skeleton(painter)
    voxels = _scan(painter.intensity, spacing, rng)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = [-(n - 1) / 2 * s for n, s in zip(shape, spacing, strict=True)]
    volume = Volume.from_array(voxels, affine, name="torso phantom")
    return volume, painter.labels, dict(LABEL_NAMES)


class _Painter:
    """Two grids, intensities in HU and labels, into which solids are painted in turn."""

    def __init__(self, shape: tuple[int, int, int], spacing: Spacing) -> None:
        self.intensity = np.full(shape, -1000, dtype=np.float32, order="F")
        self.labels = np.zeros(shape, dtype=np.uint8, order="F")
        self._axes = [
            ((np.arange(n) - (n - 1) / 2) * s).astype(np.float32)
            for n, s in zip(shape, spacing, strict=True)
        ]

    def paint(self, shape: _Shape, hu: float, label: int | None = None, over: int = 0) -> None:
        """Fill a solid with an intensity and a label; only over one label if `over` says so."""
        region, x, y, z = self._around(shape)
        solid = shape.level(x, y, z) < 1
        if over:
            solid &= self.labels[region] == over
        self.intensity[region][solid] = hu
        if label is not None:
            self.labels[region][solid] = label

    def _around(self, shape: _Shape) -> tuple[tuple[slice, ...], Field, Field, Field]:
        slices: list[slice] = []
        coordinates: list[Field] = []
        for axis, centre, reach in zip(self._axes, shape.centre, shape.reach, strict=True):
            start, stop = np.searchsorted(axis, [centre - reach, centre + reach])
            slices.append(slice(int(start), int(stop)))
            coordinates.append(axis[start:stop] - np.float32(centre))
        x, y, z = coordinates
        return tuple(slices), x[:, None, None], y[None, :, None], z[None, None, :]


def _superquadric(
    centre: Sequence[float], radii: ArrayLike, power: float = 2.0, turn: float = 0.0
) -> _Shape:
    """Return |x/a|^p + |y/b|^p + |z/c|^p < 1, turned by `turn` degrees about the S axis."""
    a, b, c = (float(r) for r in np.asarray(radii))
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    wide = max(a, b) if turn else 0.0

    def level(x: Field, y: Field, z: Field) -> Field:
        u, v = (x * cos + y * sin) / a, (y * cos - x * sin) / b
        return np.abs(u) ** power + np.abs(v) ** power + np.abs(z / c) ** power

    return _Shape(centre, (max(a, wide), max(b, wide), c), level)


def _minus(solid: _Shape, other: _Shape) -> _Shape:
    """Return the part of a solid that lies outside another."""
    offset = [np.float32(a - b) for a, b in zip(solid.centre, other.centre, strict=True)]

    def level(x: Field, y: Field, z: Field) -> Field:
        hole = other.level(x + offset[0], y + offset[1], z + offset[2]) < 1
        return np.where(hole, np.float32(2), solid.level(x, y, z))

    return _Shape(solid.centre, solid.reach, level)


def _trunk(shrink: float) -> _Shape:
    """Return the trunk: wider at the chest and at the hips, flattened at the back."""

    def level(x: Field, y: Field, z: Field) -> Field:
        girth = 1 + 0.04 * np.cos((z - 60) / 80)
        a, b = 172 * girth - shrink, (120 * girth - shrink) * np.where(y < 0, 0.92, 1)
        return np.abs(x / a) ** 2.4 + np.abs(y / b) ** 2.4 + 0 * z

    return _Shape((0, 0, 0), (200, 150, 400), level)


def _spine_curve(z: Field) -> Field:
    """Return how far the spine lies before (+) its mean plane, mm: lordosis and kyphosis."""
    return -9 * np.sin((z + 20) / 75)


def _column(
    y: float, z_reach: tuple[float, float], radius: Callable[[Field], Field], x: float = 0.0
) -> _Shape:
    """Return a tube along the spine's curve, of a radius that changes with height."""
    middle, half = (z_reach[0] + z_reach[1]) / 2, (z_reach[1] - z_reach[0]) / 2

    def level(u: Field, v: Field, w: Field) -> Field:
        z = w + np.float32(middle)
        return np.hypot(u, v - _spine_curve(z)) / radius(z)

    return _Shape((x, y, middle), (40, 50, half), level)


def _paint_body(painter: _Painter) -> None:
    body = 10
    painter.paint(_trunk(0), 20, body)
    painter.paint(_trunk(3), -105, body)
    painter.paint(_trunk(20), 52, body)
    cavity = _superquadric((0, 8, -10), (138, 84, 200), 2.6)
    painter.paint(cavity, -85, body, over=body)


def _paint_organs(painter: _Painter, rng: np.random.Generator) -> None:
    def near(*centre: float) -> Sequence[float]:
        return [c + float(d) for c, d in zip(centre, rng.uniform(-2, 2, 3), strict=True)]

    dome = _superquadric((56, 12, 40), (92, 84, 62), 2.3)
    left_dome = _superquadric((-62, 8, 26), (78, 78, 56), 2.3)
    _paint_abdominal_wall(painter, rng)
    heart = _superquadric(near(-18, 34, 104), (46, 40, 48), 2.2, 30)
    for label, x, under in ((7, 66, dome), (8, -66, left_dome)):
        lung = _minus(_superquadric((x, 4, 84), (62, 84, 96), 2.5), under)
        painter.paint(_minus(lung, heart), -850, label)
    painter.paint(heart, 130)
    lobe = _superquadric(near(56, 8, 26), (82, 74, 70), 2.3, -8)
    hollow = _superquadric((30, -48, -34), (64, 56, 56), 2.0)
    painter.paint(_minus(lobe, hollow), 108, 1)
    painter.paint(_superquadric(near(-6, 46, 30), (52, 30, 32), 2.2, 12), 108, 1)
    painter.paint(_superquadric(near(-62, 34, 14), (36, 34, 52), 2.2, -25), 38, 9)
    painter.paint(_superquadric((-62, 56, 44), (20, 12, 18)), -900, 9, over=9)
    painter.paint(_superquadric(near(-104, -30, 26), (25, 38, 50), 2.2, 20), 118, 2)
    for label, x, turn in ((3, 62, 30), (4, -62, -30)):
        centre = near(x, -46, -42 if label == 3 else -32)
        kidney = _superquadric(centre, (29, 23, 54), 2.2, turn)
        painter.paint(kidney, 165, label)
        pelvis = _superquadric((centre[0] * 0.76, centre[1] + 3, centre[2]), (15, 9, 20))
        painter.paint(pelvis, 10, 10, over=label)
    painter.paint(_column(-13, (-120, 110), lambda z: 11.5 + z / 60, -9), 185, 6)


def _paint_abdominal_wall(painter: _Painter, rng: np.random.Generator) -> None:
    """Fill what the named organs leave: psoas and back muscles, and loops of bowel."""
    body = 10
    for side in (-1, 1):
        painter.paint(_column(-44, (-170, 10), lambda z: 17 - z / 14, 34 * side), 55, body)
        painter.paint(_superquadric((38 * side, -82, 0), (30, 17, 400), 2.4), 52, body)
    for _ in range(40):
        centre = [*rng.uniform((-95, 0), (95, 70)), rng.uniform(-165, -40)]
        radii = rng.uniform(11, 22, 3)
        painter.paint(_superquadric(centre, radii, 2.2, rng.uniform(-60, 60)), 40, body, over=body)
        content = rng.choice([25, 45, -700], p=[0.4, 0.4, 0.2])
        painter.paint(_superquadric(centre, radii * 0.75, 2.0), float(content), body, over=body)


def _paint_skeleton(painter: _Painter) -> None:
    reach = (-170.0, 170.0)
    pitch = 36.0

    def vertebra(z: Field) -> Field:
        return 19.5 - z / 40 - 2.5 * np.cos(2 * np.pi * z / pitch) ** 3

    def disc(z: Field) -> Field:
        return np.where(np.cos(2 * np.pi * z / pitch) > 0.82, vertebra(z) - 1, np.float32(1e-3))

    painter.paint(_column(-46, reach, vertebra), 520, 5)
    painter.paint(_column(-46, reach, lambda z: vertebra(z) - 3.5), 210, 5)
    painter.paint(_column(-46, reach, disc), 85, 5)
    painter.paint(_column(-74, reach, lambda z: 11 + 0 * z), 420, 5)
    for z in range(-108, 170, 36):
        warp = float(_spine_curve(np.array(float(z))))
        painter.paint(_superquadric((0, -76 + warp, z), (32, 5, 7)), 430, 5)
        painter.paint(_superquadric((0, -90 + warp, z - 6), (3.5, 9, 10)), 400, 5)
    painter.paint(_column(-74, reach, lambda z: 8 + 0 * z), 30, 5)
    _paint_ribs(painter)


def _paint_ribs(painter: _Painter) -> None:
    inner = _trunk(29)

    def ribs(x: Field, y: Field, z: Field) -> Field:
        sloped = (z + 0.35 * y) / 26
        near_axis = np.abs(sloped - np.round(sloped)) * 26 < 5
        cage = (_trunk(22).level(x, y, z) < 1) & (inner.level(x, y, z) > 1)
        return np.where(
            near_axis & cage & (np.abs(x) > 30) & (z > 0.8 * y - 40), np.float32(0), np.float32(2)
        )

    painter.paint(_Shape((0, 0, 0), (200, 150, 400), ribs), 380, 10, over=10)


def _scan(intensity: Field, spacing: Spacing, rng: np.random.Generator) -> NDArray[np.int16]:
    """Blur borders, add texture and noise, and round, as a scanner would."""
    from scipy import ndimage

    blurred = ndimage.gaussian_filter(intensity, [_BLUR_MM / s for s in spacing], truncate=2)
    coarse = rng.standard_normal([max(2, n // 6) for n in intensity.shape], dtype=np.float32)
    zoom = [n / c for n, c in zip(intensity.shape, coarse.shape, strict=True)]
    blurred += _TEXTURE_HU * np.asarray(ndimage.zoom(coarse, zoom, order=1))
    blurred += _NOISE_HU * rng.standard_normal(intensity.shape, dtype=np.float32)
    return np.clip(np.rint(blurred), -1024, 3071).astype(np.int16)


def _grid_shape(spacing: Spacing) -> tuple[int, int, int]:
    if len(spacing) != 3 or not all(0.2 <= s <= 20 for s in spacing):
        raise VolumeError(f"A phantom of spacing {spacing} mm isn't possible.", "Use 0.2 to 20 mm.")
    i, j, k = (round(extent / s) for extent, s in zip(_EXTENT_MM, spacing, strict=True))
    return (i, j, k)
