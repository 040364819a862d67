import gzip
import tracemalloc

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from scipy.spatial.transform import Rotation

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry import list_frames, read_volume, save_mask

SHAPE = (6, 5, 4)


def an_affine() -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("z", 12, degrees=True).as_matrix() * (1, 2, 3)
    affine[:3, 3] = (-40, 11, 7)
    return affine


def grid(dtype=np.int16, shape=SHAPE) -> np.ndarray:
    return (np.arange(np.prod(shape)).reshape(shape) % 120 + 1).astype(dtype)


def image(voxels=None, affine=None, kind=nib.Nifti1Image, **fields):
    """A NIfTI image with header fields set to whatever they are given."""
    made = kind(grid() if voxels is None else voxels, an_affine() if affine is None else affine)
    for name, value in fields.items():
        made.header[name] = value
    return made


def raw(made, path, *, patch=()):
    """Write an image, then bytes at places in its header, to say what no library would write."""
    made.to_filename(path)
    content = bytearray(path.read_bytes())
    for offset, dtype, value in patch:
        block = np.array(value, dtype).tobytes()
        content[offset : offset + len(block)] = block
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", ["u1", "i2", ">i2", "u2", "i4", "f4", ">f4", "f8"])
def test_agrees_with_nibabel(tmp_path, kind, suffix, dtype):
    path = tmp_path / f"scan{suffix}"
    made = kind(grid(dtype), an_affine())
    if dtype.startswith(">"):
        made.header.set_data_dtype(np.dtype(dtype))
        made = kind(grid(dtype), an_affine(), made.header.as_byteswapped(">"))
    made.to_filename(path)
    volume = read_volume(path)
    theirs = nib.load(path)
    assert np.array_equal(volume.voxels, np.asanyarray(theirs.dataobj))
    assert np.array_equal(volume.affine, theirs.affine)
    assert volume.voxels.dtype.kind == np.dtype(dtype).kind
    assert volume.voxels.dtype.isnative
    assert volume.name == "scan"
    assert volume.notes == ()


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_slope_and_intercept(tmp_path, suffix):
    made = image(grid(np.uint16))
    made.header.set_slope_inter(0.5, -1024)
    made.to_filename(tmp_path / f"scan{suffix}")
    volume = read_volume(tmp_path / f"scan{suffix}")
    theirs = nib.load(tmp_path / f"scan{suffix}").get_fdata(dtype=np.float32)
    assert volume.voxels.dtype == np.float32
    assert np.array_equal(volume.voxels, theirs)


def test_plain_integers_are_mapped_not_read(tmp_path):
    path = tmp_path / "big.nii"
    image(np.zeros((200, 200, 100), np.int16)).to_filename(path)
    tracemalloc.start()
    volume = read_volume(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert volume.voxels.dtype == np.int16
    assert peak < 1 << 20


@pytest.mark.parametrize(("dtype", "slope"), [(np.int16, None), (np.float64, None), (">i2", 0.5)])
def test_opening_needs_little_more_than_the_volume(tmp_path, dtype, slope):
    made = image(np.zeros((400, 400, 300), dtype))
    made.header.set_slope_inter(slope, 0 if slope else None)
    made.to_filename(tmp_path / "big.nii.gz")
    read_volume(tmp_path / "big.nii.gz").voxels.sum()  # imports aside
    tracemalloc.start()
    volume = read_volume(tmp_path / "big.nii.gz")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2.2 * volume.voxels.nbytes


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_frames(tmp_path, suffix):
    path = tmp_path / f"film{suffix}"
    voxels = grid(shape=(*SHAPE, 3))
    image(voxels).to_filename(path)
    assert list(list_frames(path)) == [0, 1, 2]
    with pytest.raises(VolumeError, match="3 volumes") as caught:
        read_volume(path)
    assert "frame" in caught.value.remedy
    for frame in range(3):
        assert np.array_equal(read_volume(path, frame=frame).voxels, voxels[..., frame])
    for frame in (-1, 3):
        with pytest.raises(VolumeError):
            read_volume(path, frame=frame)


@pytest.mark.parametrize("shape", [(*SHAPE, 1), (*SHAPE, 1, 1), (6, 5, 1)])
def test_axes_of_length_one(tmp_path, shape):
    image(grid(shape=shape)).to_filename(tmp_path / "a.nii")
    assert read_volume(tmp_path / "a.nii").shape == shape[:3]
    assert list(list_frames(tmp_path / "a.nii")) == [0]


@pytest.mark.parametrize(
    ("voxels", "fields"),
    [
        (grid(shape=(6, 5)), {}),
        (grid(shape=(*SHAPE, 1, 3)), {}),
        (grid(shape=(*SHAPE, 2, 3)), {}),
        (grid(shape=(*SHAPE, 3)), {"intent_code": 1007}),
        (np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")]), {}),
        (grid(np.complex64), {}),
    ],
)
def test_what_is_no_scalar_volume_is_refused(tmp_path, voxels, fields):
    image(voxels, **fields).to_filename(tmp_path / "a.nii.gz")
    with pytest.raises(VolumeError) as caught:
        read_volume(tmp_path / "a.nii.gz")
    assert caught.value.remedy


# --- geometry


def test_the_sform_wins_and_a_disagreement_is_told(tmp_path):
    made = image()
    made.set_sform(an_affine(), 2)
    made.set_qform(np.diag([1, 2, 3, 1]), 1)
    made.to_filename(tmp_path / "a.nii")
    volume = read_volume(tmp_path / "a.nii")
    np.testing.assert_allclose(volume.affine, an_affine(), atol=1e-6)
    assert any("disagree" in note for note in volume.notes)


def test_the_qform_serves_where_there_is_no_sform(tmp_path):
    made = image()
    made.set_qform(an_affine(), 1)
    made.set_sform(None, 0)
    made.to_filename(tmp_path / "a.nii")
    volume = read_volume(tmp_path / "a.nii")
    np.testing.assert_allclose(volume.affine, an_affine(), atol=1e-5)
    assert volume.notes == ()


@pytest.mark.parametrize(
    "rows", [np.zeros((3, 4)), np.full((3, 4), np.nan), np.ones((3, 4)), [[1, 0, 0, np.inf]] * 3]
)
def test_an_unusable_sform_gives_way_to_the_qform(tmp_path, rows):
    made = image()
    made.set_qform(an_affine(), 1)
    path = raw(made, tmp_path / "a.nii", patch=[(280, "<f4", rows)])
    volume = read_volume(path)
    np.testing.assert_allclose(volume.affine, an_affine(), atol=1e-5)
    assert any("sform" in note for note in volume.notes)


def test_a_qform_that_is_no_rotation_is_ignored(tmp_path):
    made = image()
    made.set_qform(an_affine(), 1)
    path = raw(made, tmp_path / "a.nii", patch=[(256, "<f4", [0.9, 0.9, 0.9])])
    volume = read_volume(path)
    np.testing.assert_allclose(volume.affine, an_affine(), atol=1e-6)
    assert any("qform" in note for note in volume.notes)


def without_forms(path, sizes):
    made = image(affine=np.diag([1, 1, 1, 1]))
    made.set_sform(None, 0)
    made.set_qform(None, 0)
    return raw(made, path, patch=[(80, "<f4", sizes)])


def test_no_form_at_all_is_told(tmp_path):
    volume = read_volume(without_forms(tmp_path / "a.nii", [1, 2, 3]))
    assert volume.spacing == (1, 2, 3)
    assert any("orientation" in note for note in volume.notes)
    assert np.array_equal(volume.affine, nib.load(tmp_path / "a.nii").affine)


def test_negative_sizes_lose_their_sign(tmp_path):
    volume = read_volume(without_forms(tmp_path / "a.nii", [-1, 2, 3]))
    assert volume.spacing == (1, 2, 3)
    assert any("negative" in note for note in volume.notes)


@pytest.mark.parametrize("sizes", [[0, 1, 1], [1, np.nan, 1], [np.inf, 1, 1]])
def test_sizes_that_nobody_knows_are_refused(tmp_path, sizes):
    with pytest.raises(VolumeError, match="how large"):
        read_volume(without_forms(tmp_path / "a.nii", sizes))


@pytest.mark.parametrize("sizes", [[0, 0, 0], [np.nan, 1, 1]])
def test_but_a_sform_is_enough(tmp_path, sizes):
    made = image()
    made.set_qform(None, 0)
    volume = read_volume(raw(made, tmp_path / "a.nii", patch=[(80, "<f4", sizes)]))
    np.testing.assert_allclose(volume.affine, an_affine(), atol=1e-6)


@pytest.mark.parametrize(("unit", "scale"), [("micron", 1e3), ("meter", 1e-3), ("mm", 1)])
def test_units(tmp_path, unit, scale):
    affine = an_affine()
    affine[:3] *= scale
    made = image(affine=affine)
    made.header.set_xyzt_units(unit)
    made.to_filename(tmp_path / "a.nii")
    volume = read_volume(tmp_path / "a.nii")
    np.testing.assert_allclose(volume.affine, an_affine(), rtol=1e-5)
    assert bool(volume.notes) == (unit != "mm")


def test_an_unbelievable_unit_is_not_believed(tmp_path):
    made = image()
    made.header.set_xyzt_units("meter")
    made.header["pixdim"][1] = 1
    affine = an_affine() * 1000
    affine[3] = (0, 0, 0, 1)
    made = image(affine=affine)
    made.header.set_xyzt_units("meter")
    made.to_filename(tmp_path / "a.nii")
    volume = read_volume(tmp_path / "a.nii")
    np.testing.assert_allclose(volume.affine, affine, rtol=1e-6)
    assert any("unbelievable" in note for note in volume.notes)


def qform_alone(path, *, patch=(), suffix=".nii", kind=nib.Nifti1Image):
    """A file whose only orientation is a qform, turned and with voxels of three sizes."""
    made = kind(grid(), None)
    turn = Rotation.from_euler("xyz", [15, -8, 100], degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * (2, 2.5, 3), (50, -30, 10)
    made.header.set_qform(affine, code=1)
    made.header.set_xyzt_units("mm")
    return raw(made, path.with_suffix(suffix), patch=patch), affine


def itk_affine(path):
    image = SimpleITK.ReadImage(str(path))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


@pytest.mark.parametrize("qfac", [0.0, 1.0, -1.0])
def test_a_qfac_of_zero_counts_as_one(tmp_path, qfac):
    path, affine = qform_alone(tmp_path / "a", patch=[(76, "<f4", qfac)])
    volume = read_volume(path)
    affine[:3, 2] *= -1 if qfac < 0 else 1
    np.testing.assert_allclose(volume.affine, affine, atol=1e-5)
    np.testing.assert_allclose(volume.affine, itk_affine(path), atol=1e-5)
    assert volume.notes == ()
    saved = nib.load(save_mask(tmp_path / "m.nii", volume.voxels > 5, volume))
    np.testing.assert_allclose(saved.affine, volume.affine, atol=1e-6)
    assert saved.header["qform_code"] == 1


@pytest.mark.parametrize(("qfac", "side"), [(np.nan, 1), (2, 1), (-0.5, -1)])
def test_a_qfac_that_is_none_counts_by_its_sign_and_is_told(tmp_path, qfac, side):
    path, affine = qform_alone(tmp_path / "a", patch=[(76, "<f4", qfac)])
    volume = read_volume(path)
    affine[:3, 2] *= side
    np.testing.assert_allclose(volume.affine, affine, atol=1e-5)
    assert any("qfac" in note for note in volume.notes)


@pytest.mark.parametrize("excess", [0, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2])
@pytest.mark.parametrize("quaternion", [(1, 0, 0), (0, 0, 1), (0.6, 0.8, 0), (-0.5, 0.5, 2**-0.5)])
def test_a_quaternion_a_hair_over_one_is_one(tmp_path, excess, quaternion):
    told = np.multiply(quaternion, 1 + excess)
    path, _ = qform_alone(tmp_path / "a", patch=[(256, "<f4", told)])
    volume = read_volume(path)
    turn = Rotation.from_quat([*quaternion, 0]).as_matrix() * (2, 2.5, 3)
    np.testing.assert_allclose(volume.affine[:3, :3], turn, atol=1e-3)
    np.testing.assert_allclose(volume.affine, itk_affine(path), atol=1e-3)
    assert volume.notes == ()
    saved = nib.load(save_mask(tmp_path / "m.nii", volume.voxels > 5, volume))
    np.testing.assert_allclose(saved.affine, volume.affine, atol=1e-6)


def test_a_quaternion_that_is_none_is_told(tmp_path):
    for told in ([2, 0, 0], [np.nan, 0, 0]):
        path, _ = qform_alone(tmp_path / "a", patch=[(256, "<f4", told)])
        assert any("qform" in note for note in read_volume(path).notes)


@pytest.mark.parametrize("row", [[0, 0, 0, 0] * 3, [np.nan] * 12])
def test_an_sform_of_nothing_gives_way_to_the_qform(tmp_path, row):
    patch = [(254, "<i2", 1), (280, "<f4", row)]
    path, affine = qform_alone(tmp_path / "a", patch=patch)
    volume = read_volume(path)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-5)
    assert any("sform" in note for note in volume.notes)
    saved = nib.load(save_mask(tmp_path / "m.nii", volume.voxels > 5, volume))
    np.testing.assert_allclose(saved.affine, affine, atol=1e-5)


@pytest.mark.parametrize("sizes", [[0, 0, 0], [np.nan, 1, 1], [1, np.inf, 1]])
def test_sizes_that_are_none_beside_an_sform(tmp_path, sizes):
    made = image()
    made.set_qform(None, 0)
    path = raw(made, tmp_path / "a.nii", patch=[(80, "<f4", sizes)])
    volume = read_volume(path)
    np.testing.assert_allclose(volume.affine, an_affine(), atol=1e-6)
    saved = nib.load(save_mask(tmp_path / "m.nii", volume.voxels > 5, volume))
    np.testing.assert_allclose(saved.affine, an_affine(), atol=1e-6)
    np.testing.assert_allclose(saved.header.get_zooms(), volume.spacing, rtol=1e-6)


@pytest.mark.parametrize("sizes", [[0, 0, 0], [np.nan, 1, 1], [1, 1, np.inf]])
def test_sizes_that_are_none_alone_are_refused(tmp_path, sizes):
    made = image()
    made.set_sform(None, 0)
    made.set_qform(None, 0)
    with pytest.raises(VolumeError, match="how large its voxels are"):
        read_volume(raw(made, tmp_path / "a.nii", patch=[(80, "<f4", sizes)]))


def test_an_sform_with_other_sizes_than_pixdim_is_told(tmp_path):
    made = image()
    made.set_qform(None, 0)
    path = raw(made, tmp_path / "a.nii", patch=[(80, "<f4", [0.8, 0.8, 2.5])])
    volume = read_volume(path)
    np.testing.assert_allclose(volume.affine, an_affine(), atol=1e-6)
    assert any("pixdim" in note for note in volume.notes)


@pytest.mark.parametrize("scale", [1e-3, 1, 100])
@pytest.mark.parametrize("code", [0, 4, 7])
def test_without_a_unit_unusual_sizes_are_told(tmp_path, scale, code):
    affine = an_affine()
    affine[:3] *= scale
    path = raw(image(affine=affine), tmp_path / "a.nii", patch=[(123, "u1", code)])
    volume = read_volume(path)
    np.testing.assert_allclose(volume.affine, affine, rtol=1e-6)
    assert any("names no unit" in note for note in volume.notes) == (scale != 1)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("order", "<>")
def test_names_of_labels(tmp_path, suffix, kind, order):
    made = kind(grid(), an_affine())
    made = kind(grid(), an_affine(), made.header.as_byteswapped(order))
    carets = b"""<?xml version="1.0"?><CaretExtension><LabelTable>
        <Label Key="2" Red="1"><![CDATA[kidney_left]]></Label><Label Key="3">a &amp; b</Label>
        </LabelTable></CaretExtension>"""
    for content in (b"nothing of ours", b'{"7": "left kidney"}', carets, b""):
        made.header.extensions.append(nib.nifti1.Nifti1Extension(0, content))
    made.to_filename(tmp_path / f"a{suffix}")
    volume = read_volume(tmp_path / f"a{suffix}")
    assert volume.source.label_names == {7: "left kidney", 2: "kidney_left", 3: "a & b"}
    assert np.array_equal(volume.voxels, grid())
    # They are the scan's own, and not of a mask made on it.
    assert not nib.load(save_mask(tmp_path / "m.nii", grid() > 5, volume)).header.extensions


@pytest.mark.parametrize("size", [-5, 0, 7, 8, 1 << 30])
def test_extensions_of_nonsense_are_no_names(tmp_path, size):
    made = image()
    made.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b'{"1": "a"}'))
    path = raw(made, tmp_path / "a.nii", patch=[(352, "<i4", size)])
    volume = read_volume(path)
    assert volume.source.label_names == {}
    assert np.array_equal(volume.voxels, grid())


@pytest.mark.parametrize("at", [10, 348, 360, 400])
def test_a_gzip_file_of_several_members(tmp_path, at):
    image().to_filename(tmp_path / "a.nii")
    content = (tmp_path / "a.nii").read_bytes()
    packed = b"".join(map(gzip.compress, (content[:at], b"", content[at:])))
    (tmp_path / "a.nii.gz").write_bytes(packed)
    assert np.array_equal(read_volume(tmp_path / "a.nii.gz").voxels, grid())


# --- damage


def damaged(path, change):
    content = bytearray(path.read_bytes())
    path.write_bytes(bytes(change(content)))
    return path


def flipped(content):
    content[len(content) // 2] ^= 0xFF
    return content


def noisy(tmp_path, name):
    voxels = np.random.default_rng(0).integers(-1000, 1000, (20, 20, 20), dtype=np.int16)
    image(voxels).to_filename(tmp_path / name)
    return tmp_path / name


@pytest.mark.parametrize(
    "change",
    [
        flipped,
        lambda b: b[: len(b) // 2],
        lambda b: b[:-1],
        lambda b: b[:-4] + bytes(4),  # a wrong length after right voxels
        lambda b: b[:30],
        lambda b: b[:3],
        lambda b: b + b"garbage",
    ],
)
def test_damaged_gzip_is_told_never_read(tmp_path, change):
    path = damaged(noisy(tmp_path, "a.nii.gz"), change)
    with pytest.raises(VolumeError) as caught:
        read_volume(path)
    assert "again" in caught.value.remedy


@pytest.mark.parametrize("length", [0, 3, 100, 347, 351, 352, 5000, -1])
def test_truncated_plain_files(tmp_path, length):
    path = damaged(noisy(tmp_path, "a.nii"), lambda b: b[:length])
    with pytest.raises(VolumeError):
        read_volume(path)


@pytest.mark.parametrize(
    "patch",
    [
        (0, "<i4", 0),  # the header's size
        (344, "S4", b"nope"),  # the magic
        (40, "<i2", [3, -1, 5, 4]),  # dimensions
        (40, "<i2", [9, 1, 5, 4]),
        (40, "<i2", [3, 32767, 32767, 32767]),
        (70, "<i2", 77),  # a type that doesn't exist
        (112, "<f4", [2, np.nan]),  # slope and intercept
    ],
)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nonsense_in_the_header(tmp_path, patch, suffix):
    path = raw(image(), tmp_path / "a.nii", patch=[patch])
    if suffix == ".nii.gz":
        (tmp_path / "a.nii.gz").write_bytes(gzip.compress(path.read_bytes()))
        path = tmp_path / "a.nii.gz"
    with pytest.raises(VolumeError) as caught:
        read_volume(path)
    assert caught.value.remedy


@pytest.mark.parametrize("offset", [0, np.nan, np.inf, -5])
def test_a_missing_offset_is_that_of_the_format(tmp_path, offset):
    path = raw(image(), tmp_path / "a.nii", patch=[(108, "<f4", offset)])
    assert np.array_equal(read_volume(path).voxels, grid())


def test_a_later_offset_is_followed(tmp_path):
    made = image()
    made.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * 500))
    made.to_filename(tmp_path / "a.nii.gz")
    assert np.array_equal(read_volume(tmp_path / "a.nii.gz").voxels, grid())


def test_names_that_do_not_fit_the_content(tmp_path):
    image().to_filename(tmp_path / "a.nii")
    packed = tmp_path / "packed.nii"
    packed.write_bytes(gzip.compress((tmp_path / "a.nii").read_bytes()))
    volume = read_volume(packed)
    assert np.array_equal(volume.voxels, grid())
    assert any("compressed" in note for note in volume.notes)

    unnamed = tmp_path / "scan_without_suffix"
    unnamed.write_bytes((tmp_path / "a.nii").read_bytes())
    assert np.array_equal(read_volume(unnamed).voxels, grid())

    plain = tmp_path / "plain.nii.gz"
    plain.write_bytes((tmp_path / "a.nii").read_bytes())
    with pytest.raises(VolumeError, match="not gzip") as caught:
        read_volume(plain)
    assert ".nii" in caught.value.remedy


def test_header_and_image_pairs_are_refused(tmp_path):
    nib.Nifti1Pair(grid(), an_affine()).to_filename(tmp_path / "a.hdr")
    with pytest.raises(VolumeError, match="pair"):
        read_volume(tmp_path / "a.hdr")
