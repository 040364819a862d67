"""Measures of masks: SimpleITK's statistics of labels, and forms whose size is known."""

import csv
import io

import numpy as np
import pytest
import SimpleITK
from axis_order import ORDERS
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from napari_fastsam3d.geometry import Mask, Volume, measure
from napari_fastsam3d.geometry.measures import COLUMNS, Measured, table_of
from napari_fastsam3d.geometry.surface_area import surface_area


def oblique(spacing, seed=0):
    """An affine with axes turned anyhow, at right angles, of these voxel sizes."""
    rng = np.random.default_rng(seed)
    affine = np.eye(4)
    affine[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0] * spacing
    affine[:3, 3] = rng.uniform(-200, 200, 3)
    return affine


def as_itk(array, affine):
    """An image of SimpleITK: its space is LPS, its arrays are read backwards."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    sizes = np.linalg.norm(lps[:3, :3], axis=0)
    image = SimpleITK.GetImageFromArray(array.transpose(2, 1, 0))
    image.SetSpacing(sizes.tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    image.SetDirection((lps[:3, :3] / sizes).ravel().tolist())
    return image


def blob(shape, seed):
    """A few balls that overlap or not, as noise would make no form."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    inside = np.zeros(shape, dtype=bool)
    for _ in range(int(rng.integers(1, 4))):
        centre, radius = rng.uniform(2, np.subtract(shape, 3)), rng.uniform(0.9, 4)
        inside |= ((grid - centre) ** 2).sum(-1) <= radius**2
    return inside


@settings(max_examples=25)
@given(
    st.integers(0, 2**32),
    st.tuples(*[st.floats(0.4, 5)] * 3),
    st.sampled_from([np.int16, np.float32]),
)
def test_volume_place_and_values_are_those_of_simpleitk(seed, spacing, dtype):
    rng = np.random.default_rng(seed)
    inside = blob((13, 11, 12), seed)
    if not inside.any():
        inside[3, 4, 5] = True
    values = rng.normal(40, 300, inside.shape).astype(dtype)
    affine = oblique(spacing, seed)

    found = measure(Mask.of_volume(inside), Volume.from_array(values, affine))

    told = SimpleITK.LabelIntensityStatisticsImageFilter()
    told.Execute(as_itk(inside.astype(np.uint8), affine), as_itk(values, affine))
    x, y, z = told.GetCentroid(1)
    assert found.voxels == told.GetNumberOfPixels(1)
    assert found.volume_ml == pytest.approx(told.GetPhysicalSize(1) / 1000)
    assert found.centroid_mm == pytest.approx((-x, -y, z), abs=1e-3)
    assert found.mean == pytest.approx(told.GetMean(1), rel=1e-4, abs=1e-3)
    if found.voxels > 1:
        assert found.sd == pytest.approx(told.GetStandardDeviation(1), rel=1e-4)
    assert (found.minimum, found.maximum) == (told.GetMinimum(1), told.GetMaximum(1))


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.floats(0.5, 4))
def test_the_surface_is_that_of_itk_on_a_cubic_grid(seed, size):
    """On others ITK's directions keep the shares that they have on a cubic one."""
    inside = blob((13, 11, 12), seed)
    affine = oblique((size, size, size), seed)

    told = SimpleITK.LabelShapeStatisticsImageFilter()
    told.Execute(as_itk(inside.astype(np.uint8), affine))
    if told.GetNumberOfLabels():
        assert surface_area(inside, affine[:3, :3]) == pytest.approx(told.GetPerimeter(1), rel=1e-3)


@settings(max_examples=12)
@given(st.integers(0, 2**32), st.tuples(*[st.floats(0.5, 4)] * 3))
def test_the_longest_line_is_itks_feret_diameter_plus_at_most_a_voxel(seed, spacing):
    inside = blob((13, 11, 12), seed)
    inside[3, 4, 5] = True
    affine = oblique(spacing, seed)

    found = measure(Mask.of_volume(inside), Volume.from_array(inside, affine))

    parts = SimpleITK.ConnectedComponent(as_itk(inside.astype(np.uint8), affine), True)
    told = SimpleITK.LabelShapeStatisticsImageFilter()
    told.ComputeFeretDiameterOn()
    told.Execute(parts)
    feret = max(told.GetFeretDiameter(label) for label in told.GetLabels())
    assert feret - 1e-6 <= found.longest_3d.length <= feret + max(spacing) + 1e-6


@settings(max_examples=12)
@given(st.integers(0, 2**32), st.integers(0, 47))
def test_the_axes_are_the_longest_of_all_lines_in_a_slice(seed, order):
    """Against all pairs of faces of the voxels, in each slice and part by brute force."""
    inside = blob((9, 10, 7), seed)
    inside[4, 5, 3] = True
    volume = Volume.from_array(inside, spacing=(1.3, 0.7, 3.1))

    found = measure(Mask.of_volume(inside), volume)

    longest = 0.0
    for plane in np.moveaxis(inside, 2, 0):
        image = SimpleITK.GetImageFromArray(plane.astype(np.uint8))
        parts = SimpleITK.GetArrayFromImage(SimpleITK.ConnectedComponent(image, True))
        for label in range(1, parts.max() + 1):
            at = np.argwhere(parts == label)
            halves = [[0.5, 0], [-0.5, 0], [0, 0.5], [0, -0.5]]
            faces = (at[:, None] + np.array(halves)).reshape(-1, 2) * (1.3, 0.7)
            longest = max(longest, float(pdist(faces).max()))
    long_axis = np.subtract(found.long_axis.end, found.long_axis.start)
    short_axis = np.subtract(found.short_axis.end, found.short_axis.start)
    assert found.long_axis.length == pytest.approx(longest)
    assert found.short_axis.length <= longest + 1e-9
    assert long_axis @ short_axis == pytest.approx(0, abs=1e-6)
    assert long_axis[2] == short_axis[2] == 0
    assert found.long_axis.start[2] == pytest.approx(found.short_axis.start[2])
    stored = ORDERS[order].volume(volume)
    again = measure(Mask.of_volume(ORDERS[order].array(inside)), stored)
    assert again.long_axis.length == pytest.approx(longest)
    assert again.surface_cm2 == pytest.approx(found.surface_cm2)
    assert again.centroid_mm == pytest.approx(found.centroid_mm)


def test_a_box_has_the_diameters_of_its_faces():
    inside = np.zeros((40, 30, 12), bool)
    inside[5:35, 5:25, 4:8] = True

    found = measure(Mask.of_volume(inside), Volume.from_array(inside, spacing=(1, 1, 5)))

    assert found.long_axis.length == pytest.approx(np.hypot(30, 19), abs=0.1)
    assert found.volume_ml == pytest.approx(30 * 20 * 20 / 1000)
    # Across the diagonal of a rectangle a line leaves it at the nearer sides.
    assert found.short_axis.length == pytest.approx(20 / np.cos(np.arctan2(20, 30)), rel=0.03)


@pytest.mark.parametrize("spacing", [(1, 1, 1), (0.8, 0.8, 2.5), (3, 1, 1)])
def test_a_ball_has_the_surface_and_the_diameters_of_a_ball(spacing):
    radius = 15.0
    sides = [int(2 * radius / size) + 4 for size in spacing]
    grid = [(np.arange(n) - (n - 1) / 2) * size for n, size in zip(sides, spacing, strict=True)]
    x, y, z = np.meshgrid(*grid, indexing="ij")
    inside = x**2 + y**2 + z**2 <= radius**2

    found = measure(Mask.of_volume(inside), Volume.from_array(inside, oblique(spacing, 3)))

    assert found.surface_cm2 == pytest.approx(4 * np.pi * radius**2 / 100, rel=0.03)
    assert found.volume_ml == pytest.approx(4 / 3 * np.pi * radius**3 / 1000, rel=0.03)
    for line in (found.long_axis, found.short_axis, found.longest_3d):
        assert line.length == pytest.approx(2 * radius, abs=max(spacing))


def test_two_parts_are_measured_apart_and_a_shear_keeps_lengths():
    inside = np.zeros((60, 20, 6), bool)
    inside[2:12, 5:15, 2] = inside[45:50, 5:10, 2] = True
    sheared = np.eye(4)
    sheared[0, 2] = 0.7  # as of a gantry that was tilted
    plain, tilted = (
        measure(Mask.of_volume(inside), Volume.from_array(inside, affine))
        for affine in (np.eye(4), sheared)
    )

    assert plain.long_axis.length == pytest.approx(tilted.long_axis.length)
    assert plain.long_axis.length == pytest.approx(np.hypot(10, 9))
    assert plain.longest_3d.length < 15


def test_one_voxel_and_none():
    scan = Volume.from_array(np.full((3, 3, 3), np.nan), spacing=(2, 3, 4))
    one = np.zeros((3, 3, 3), bool)
    empty = measure(Mask.of_volume(one), scan)
    one[1, 1, 1] = True
    single = measure(Mask.of_volume(one), scan)

    assert (empty.voxels, empty.volume_ml, empty.long_axis) == (0, 0, None)
    assert set(empty.values) == set(COLUMNS)
    assert (single.long_axis.length, single.short_axis.length) == (3, 2)
    assert single.longest_3d.length == 4
    assert single.mean is None  # the scan has no number there
    assert single.surface_cm2 > 0


def test_the_table_is_read_back_as_it_was_measured():
    inside = np.zeros((6, 6, 6), bool)
    inside[1:4, 1:5, 2:5] = True
    scan = Volume.from_array(np.arange(216, dtype=np.float32).reshape(6, 6, 6))
    rows = [
        Measured('liver, "left"', 3, measure(Mask.of_volume(inside), scan)),
        Measured("nothing", 4, measure(Mask.empty(), scan)),
    ]

    first, second = csv.DictReader(io.StringIO(table_of(rows)))

    assert first["name"] == 'liver, "left"'
    assert int(first["label"]) == 3
    for name, value in rows[0].measures.values.items():
        assert float(first[name]) == pytest.approx(value, rel=1e-5)
    assert second["volume_ml"] == "0.0"
    assert second["long_axis_mm"] == ""
    assert table_of(rows, "\t").count("\t") == 3 * (len(COLUMNS) + 1)


def test_the_surface_of_a_half_space_is_its_plane():
    """However it is turned to the grid: the directions share the sphere evenly enough."""
    rng = np.random.default_rng(5)
    grid = np.stack(np.meshgrid(*[np.arange(64) - 31.5] * 3, indexing="ij"), -1)
    for _ in range(3):
        normal = rng.normal(size=3)
        normal /= np.linalg.norm(normal)
        across = grid - (grid @ normal)[..., None] * normal
        disc = (np.abs(grid @ normal) < 1.5) & (np.linalg.norm(across, axis=-1) < 25)
        whole = surface_area(disc, np.eye(3))
        assert whole == pytest.approx(2 * np.pi * 25**2 + 2 * np.pi * 25 * 3, rel=0.06)
