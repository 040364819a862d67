"""What every format says of where voxels lie comes back, for voxels from 0.001 to 100 mm."""

import itertools

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from text_headers import image_affine, meta_image, nrrd

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry import Orientation, Volume, read_labels, read_volume, save_mask

SHAPE = (4, 3, 2)
sizes = st.tuples(*[st.floats(0.001, 100)] * 3)
flips = st.tuples(*[st.booleans()] * 3)
UNITS = {"mm": 1.0, "um": 1e-3, "cm": 10.0, "m": 1e3, "nm": 1e-6}
quick = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def affines(draw) -> np.ndarray:
    """Any turn and reflection, any size of voxel, anywhere within half a metre."""
    angles = draw(st.tuples(*[st.floats(-180, 180)] * 3))
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn * draw(sizes) * draw(st.sampled_from([1, -1]))
    affine[:3, 3] = draw(st.tuples(*[st.floats(-500, 500)] * 3))
    return affine


@quick
@given(affines())
@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_a_mask_lies_where_its_scan_does(tmp_path, suffix, affine):
    volume = Volume.from_array(np.zeros(SHAPE, np.int16), affine)
    mask = np.random.default_rng(0).random(SHAPE) < 0.5
    path = save_mask(tmp_path / f"m{suffix}", mask, volume)
    assert np.array_equal(read_labels(path, volume).labels, mask)
    found = read_volume(path)
    smallest = min(volume.spacing)
    single = 0.0 if suffix in (".nrrd", ".mha") else 1e-6 * 500
    np.testing.assert_allclose(found.affine, affine, rtol=1e-6, atol=1e-9 * smallest + single)
    assert [note for note in found.notes if "no unit" not in note] == []
    if suffix in (".nrrd", ".mha"):
        theirs = image_affine(SimpleITK.ReadImage(str(path)))
        np.testing.assert_allclose(theirs, affine, rtol=1e-9, atol=1e-9)
    else:
        np.testing.assert_allclose(nib.load(path).affine, found.affine)


@quick
@given(sizes, st.sampled_from(sorted(UNITS)))
def test_any_unit(tmp_path, size, unit):
    """The same voxels, measured in any unit."""
    told = [each / UNITS[unit] for each in size]
    directions = " ".join("({!r},{!r},{!r})".format(*row) for row in np.diag(told).tolist())
    paths = [
        nrrd(
            tmp_path / "a.nrrd",
            {"space directions": directions, "space units": f'"{unit}" "{unit}" "{unit}"'},
        ),
        meta_image(
            tmp_path / "a.mha",
            {"ElementSpacing": " ".join(map(repr, told)), "DistanceUnits": unit},
        ),
    ]
    nifti = {"mm": "mm", "um": "micron", "m": "meter"}.get(unit)
    if nifti:
        image = nib.Nifti1Image(np.zeros(SHAPE, np.int16), np.diag([*told, 1]))
        image.header.set_xyzt_units(nifti)
        image.to_filename(tmp_path / "a.nii")
        paths.append(tmp_path / "a.nii")
    for path in paths:
        volume = read_volume(path)
        np.testing.assert_allclose(volume.spacing, size, rtol=1e-6)
        assert any("measures in" in note for note in volume.notes) == (unit != "mm")


@quick
@given(st.sampled_from(["nan", "inf", "-inf", "0", "0.0", "1e-400"]), st.integers(0, 2))
def test_a_size_that_is_none_is_refused(tmp_path, size, axis):
    told = ["0.8", "0.9", "2.5"]
    told[axis] = size
    directions = np.full((3, 3), "0", dtype=object)
    directions[range(3), range(3)] = told
    no_space = {"space directions": None, "space": None, "space origin": None}
    for path in (
        meta_image(tmp_path / "a.mha", {"ElementSpacing": " ".join(told)}),
        nrrd(tmp_path / "a.nrrd", {**no_space, "spacings": " ".join(told)}),
        nrrd(
            tmp_path / "b.nrrd",
            {"space directions": " ".join(f"({','.join(row)})" for row in directions)},
        ),
    ):
        with pytest.raises(VolumeError, match="how large its voxels are"):
            read_volume(path)


@quick
@given(affines(), st.sampled_from(list(itertools.permutations(range(3)))), flips)
def test_labels_in_any_order_of_the_same_grid_are_brought_to_the_scan(
    tmp_path, affine, order, mirrored
):
    volume = Volume.from_array(np.zeros(SHAPE, np.int16), affine)
    labels = np.random.default_rng(1).integers(0, 300, SHAPE).astype(np.uint16)
    other = Orientation(order, mirrored, SHAPE)
    stored = Volume.from_array(other.view(volume.voxels), other.affine_of(affine))
    for suffix in (".mha", ".nrrd"):
        path = save_mask(tmp_path / f"m{suffix}", other.view(labels), stored)
        assert np.array_equal(read_labels(path, volume).labels, labels)


@quick
@given(affines(), st.integers(0, 2), st.sampled_from(["mirrored", "shifted", "stretched"]))
def test_labels_that_lie_elsewhere_are_refused(tmp_path, affine, axis, fault):
    volume = Volume.from_array(np.zeros(SHAPE, np.int16), affine)
    moved = affine.copy()
    if fault == "mirrored":
        moved[:3, axis] *= -1
    elif fault == "shifted":
        moved[:3, 3] += 0.6 * affine[:3, axis]
    else:
        moved[:3, axis] *= 1.2
    stored = Volume.from_array(volume.voxels, moved)
    path = save_mask(tmp_path / "m.mha", np.ones(SHAPE, bool), stored)
    with pytest.raises(VolumeError, match="lies elsewhere"):
        read_labels(path, volume)
