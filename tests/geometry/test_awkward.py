"""Every file that is meant to break a reader opens as it should, or gives one clear error."""

from dataclasses import dataclass

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry import Crop, read_volume, save_mask


@dataclass(frozen=True)
class Opens:
    """What is expected of a file that opens."""

    shape: tuple[int, int, int]
    codes: str
    dtype: type = np.int16
    note: str = ""  # words in one of the notes; there are no notes without
    frame: int | None = None
    series: str | None = None


@dataclass(frozen=True)
class Refused:
    """What is expected of a file that does not: words of the problem and of the remedy."""

    problem: str
    remedy: str


AGAIN = "again"
U8, U16, F32 = np.uint8, np.uint16, np.float32

EXPECTED = {
    "2d_slice.nii.gz": Refused("flat image", "3D"),
    "4d_fmri_30vols.nii.gz": Opens((68, 68, 6), "LAS", frame=29),
    "4d_mr_128x96x24x2.nii.gz": Opens((128, 96, 24), "LAS", frame=1),
    "4d_ultrasound_float32.nii.gz": Opens((56, 52, 56), "RAS", F32, frame=0),
    "MRIcrop-orig.gipl.gz": Refused("no format", "NIfTI"),
    "anisotropic_0.84x0.84x17mm_5slices.nii.gz": Opens((40, 40, 5), "LAS"),
    "anisotropic_t2_0.75x0.75x5.5.nii.gz": Opens((320, 320, 26), "LAS"),
    "bigendian_float32_nan.nii": Opens((17, 21, 3), "LAS", F32, "not finite"),
    "bigendian_int16_uncompressed.nii": Opens((33, 41, 25), "LAS"),
    "breast1_image.nrrd": Opens((45, 120, 21), "LPS"),
    "breast1_label.nrrd": Opens((45, 120, 21), "LPS"),
    "constant_image.nii.gz": Opens((40, 40, 40), "RAS"),
    "corrupted.nii.gz": Refused("CRC", AGAIN),
    "ct_with_nan_block.nii.gz": Opens((122, 101, 30), "RAS", F32, "not finite"),
    "dicom_ct_20slices": Opens((512, 512, 20), "LPS"),
    "dicom_missing_slice": Opens((384, 384, 19), "LPS", U16, "slice index 9"),
    "dicom_mr_hippocampus_crop": Opens((35, 51, 32), "LPS"),
    "dicom_mr_prostate_oblique": Opens((384, 384, 19), "LPS", U16),
    "dicom_two_series": Opens((512, 512, 6), "LPS", series="2"),
    "empty_label_made.nii.gz": Opens((122, 101, 30), "RAS", U8),
    "flipped_negative_affine.nii.gz": Opens((122, 101, 30), "LAS"),
    "float64_4d.nii.gz": Opens((34, 34, 6), "LAS", F32, frame=3),
    "float64_label.nii.gz": Opens((60, 55, 52), "PSR", F32),
    "label_shape_mismatch.nii.gz": Opens((119, 101, 30), "RAS", U8),
    "lfs_pointer.nii.gz": Refused("git-LFS pointer", "git lfs pull"),
    "mask_only_uncompressed.nii": Opens((204, 201, 60), "LPS", U8),
    "negative_pixdim.nii.gz": Opens((60, 55, 52), "LAS", note="negative"),
    "nifti2_4d.nii.gz": Opens((32, 20, 12), "LAS", frame=0),
    "no_qform_no_sform.nii.gz": Opens((60, 55, 52), "LAS", note="orientation"),
    "nonfinite_mtr_float32.nii.gz": Opens((40, 40, 5), "LAS", F32, "not finite"),
    "nonfinite_nan.mha": Opens((78, 110, 64), "LPS", F32, "not finite"),
    "not_gzip.nii.gz": Refused("not gzip", ".nii"),
    "oblique_ct_gantry_pitch.nii.gz": Opens((175, 248, 58), "RAS", U8),
    "oblique_permuted_t2_chunk.nii.gz": Opens((58, 41, 17), "LSP"),
    "oblique_prostate_t2.mha": Opens((384, 384, 19), "LPS", U16),
    "orient_LIA_labels_256.nii.gz": Opens((256, 256, 256), "LIA", np.int32),
    "orient_PIR_labels_158.nii.gz": Opens((256, 256, 176), "PIR", U8),
    "orient_PSR_t2.nii.gz": Opens((60, 55, 52), "PSR"),
    "orient_PSR_t2_seg.nii.gz": Opens((60, 55, 52), "PSR", U8),
    "prostate_phantom.nrrd": Opens((82, 67, 13), "RAS", U16),
    "scl_slope_inter_int16.nii.gz": Opens((40, 40, 5), "LAS", F32),
    "scl_slope_uint8.nii.gz": Opens((57, 67, 56), "RAS", F32),
    "sform_qform_disagree.nii.gz": Opens((60, 55, 52), "PSR", note="disagree"),
    "single_slice_3d.nii.gz": Opens((122, 101, 1), "RAS"),
    "truncated.nii.gz": Refused("damaged", AGAIN),
    "uint16_scl_slope_0.5_inter_-1024.nii.gz": Opens((122, 101, 30), "RAS", F32),
    "vector_rgb_nifti.nii.gz": Refused("vector", "grey-scale"),
    "zero_pixdim.nii.gz": Refused("how large its voxels are", "pixdim"),
}
OPENING = [name for name, expected in EXPECTED.items() if isinstance(expected, Opens)]
REFUSED = [name for name, expected in EXPECTED.items() if isinstance(expected, Refused)]


@pytest.fixture
def awkward(shared):
    return shared / "data" / "awkward"


def opened(awkward, name):
    return read_volume(awkward / name, frame=EXPECTED[name].frame, series=EXPECTED[name].series)


def test_an_expectation_for_every_file(awkward):
    assert {p.name for p in awkward.iterdir()} == set(EXPECTED)


@pytest.mark.parametrize("name", OPENING)
def test_opens(awkward, name):
    expected, volume = EXPECTED[name], opened(awkward, name)
    assert volume.shape == expected.shape
    assert volume.axis_codes == expected.codes
    assert volume.voxels.dtype == expected.dtype
    assert volume.voxels.dtype.isnative
    assert volume.intensity_floor is None
    assert bool(volume.notes) == bool(expected.note)
    assert any(expected.note in note for note in volume.notes) or not expected.note


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused(awkward, name):
    with pytest.raises(VolumeError) as caught:
        read_volume(awkward / name)
    assert EXPECTED[name].problem in caught.value.problem
    assert EXPECTED[name].remedy in caught.value.remedy
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [n for n in OPENING if EXPECTED[n].frame is not None])
def test_asks_which_frame(awkward, name):
    with pytest.raises(VolumeError, match="volumes") as caught:
        read_volume(awkward / name)
    assert "frame=" in caught.value.remedy


def test_asks_which_series(awkward):
    with pytest.raises(VolumeError, match="2 DICOM series") as caught:
        read_volume(awkward / "dicom_two_series")
    assert "series=" in caught.value.remedy


@pytest.mark.parametrize("name", [n for n in OPENING if ".nii" in n])
def test_agrees_with_nibabel(awkward, name):
    expected, volume, theirs = EXPECTED[name], opened(awkward, name), nib.load(awkward / name)
    voxels = theirs.get_fdata(dtype=np.float32)
    if expected.frame is not None:
        voxels = voxels[..., expected.frame]
    assert np.array_equal(volume.voxels.astype(np.float32), voxels, equal_nan=True)
    assert np.array_equal(volume.affine, theirs.affine)


@pytest.mark.parametrize("name", OPENING)
def test_a_crop_around_the_middle_and_a_mask_around_the_click(awkward, tmp_path, name):
    volume = opened(awkward, name)
    click = np.array(volume.shape) // 2
    crop = Crop.around(volume, click)
    cube = crop.extract(volume.voxels)
    assert np.isfinite(cube).all()
    assert cube.std() > 0 or "constant" in name or "empty" in name or "label" in name

    cells = (np.indices((32,) * 3).transpose(1, 2, 3, 0) * 4 + 1.5 - crop.to_crop(click)) * 1.5
    box, region = crop.paste_mask((20 - np.linalg.norm(cells, axis=-1)).astype(np.float32))
    mask = np.zeros(volume.shape, bool)
    mask[box.slices] = region
    assert mask[tuple(click)]
    mm = np.linalg.norm(volume.to_world(np.argwhere(mask)) - volume.to_world(click), axis=1)
    assert mm.max() < 22

    saved = save_mask(tmp_path / "mask.nii.gz", mask, volume)
    assert np.array_equal(np.asanyarray(nib.load(saved).dataobj), mask)
    np.testing.assert_allclose(nib.load(saved).affine, volume.affine, atol=1e-4)
    if volume.source.header is not None:
        assert np.array_equal(nib.load(saved).affine, nib.load(awkward / name).affine)


def test_slope_and_intercept_give_hounsfield_units(awkward, shared):
    scaled = opened(awkward, "uint16_scl_slope_0.5_inter_-1024.nii.gz")
    plain = read_volume(shared / "data" / "labelled" / "totalseg_ct" / "example_ct_sm_img.nii.gz")
    # Its unsigned voxels cannot say less than the intercept.
    assert np.array_equal(scaled.voxels, np.maximum(plain.voxels, -1024))


@pytest.mark.parametrize("name", ["dicom_ct_20slices", "dicom_mr_prostate_oblique"])
def test_dicom_lies_where_itk_puts_it(awkward, name):
    volume = opened(awkward, name)
    names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(awkward / name))
    image = SimpleITK.ReadImage(names)
    assert np.array_equal(SimpleITK.GetArrayFromImage(image).transpose(), volume.voxels)
    for index in ((0, 0, 0), (100, 200, 10), (383, 1, 18)):
        lps = image.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(volume.to_world(index), np.multiply(lps, (-1, -1, 1)), atol=0.02)


def test_the_missing_slice_changes_no_place(awkward):
    whole = opened(awkward, "dicom_mr_prostate_oblique")
    gap = opened(awkward, "dicom_missing_slice")
    np.testing.assert_allclose(gap.affine, whole.affine, atol=1e-3)
    kept = [k for k in range(19) if k != 9]
    assert np.array_equal(gap.voxels[:, :, kept], whole.voxels[:, :, kept])
    assert not np.array_equal(gap.voxels[:, :, 9], whole.voxels[:, :, 9])


def test_the_same_series_as_mha_and_dicom_lies_at_the_same_place(awkward):
    dicom = opened(awkward, "dicom_mr_prostate_oblique")
    mha = opened(awkward, "oblique_prostate_t2.mha")
    assert np.array_equal(dicom.voxels, mha.voxels)
    np.testing.assert_allclose(dicom.affine, mha.affine, atol=1e-3)
