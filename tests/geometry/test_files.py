import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry import list_frames, read_volume, save_mask, torso_phantom


@pytest.fixture
def mask_path(tmp_path):
    volume, labels, _ = torso_phantom(spacing=(15, 15, 15))
    return save_mask(tmp_path / "m.nii.gz", labels, volume)


@pytest.mark.parametrize("ask", [read_volume, list_frames])
def test_no_such_file(tmp_path, ask):
    with pytest.raises(VolumeError, match="There is no"):
        ask(tmp_path / "scan.nii.gz")


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.mha", "a.nrrd", "a.dcm", "a.txt", "a"])
@pytest.mark.parametrize("content", [b"", b"x", b"\0" * 2000, b"hello\n" * 500])
def test_no_content_is_read_as_a_volume(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(VolumeError) as caught:
        read_volume(path)
    assert caught.value.remedy
    assert "\n" not in str(caught.value)


def test_paths_may_be_text_or_relative_or_in_the_home_folder(mask_path, monkeypatch):
    monkeypatch.chdir(mask_path.parent)
    monkeypatch.setenv("HOME", str(mask_path.parent))
    for path in (str(mask_path), "m.nii.gz", "~/m.nii.gz"):
        assert read_volume(path).source.path == mask_path


def test_options_that_make_no_sense_for_a_format(mask_path):
    assert read_volume(mask_path, frame=0).source.frame == 0
    with pytest.raises(VolumeError, match="frame"):
        read_volume(mask_path, frame=1)
    with pytest.raises(VolumeError, match="series"):
        read_volume(mask_path, series="1")


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory):
    """A small whole file of each format that is one file."""
    folder = tmp_path_factory.mktemp("whole")
    voxels = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    for kind, name in ((nib.Nifti1Image, "one.nii"), (nib.Nifti2Image, "two.nii")):
        kind(voxels, np.diag([1, 2, 3, 1])).to_filename(folder / name)
    for name in ("raw.mha", "packed.mha", "raw.nrrd", "packed.nrrd"):
        image = SimpleITK.GetImageFromArray(voxels)
        SimpleITK.WriteImage(image, str(folder / name), useCompression="packed" in name)
    return sorted(folder.iterdir())


def read_or_error(path):
    try:
        return read_volume(path)
    except VolumeError as error:
        return error


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    which=st.integers(0, 5),
    spoilt=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), max_size=4),
    kept=st.floats(0.1, 1) | st.just(1.0),
)
def test_spoilt_files_give_a_volume_or_one_clear_error(
    whole_files, tmp_path_factory, which, spoilt, kept
):
    content = bytearray(whole_files[which].read_bytes())
    for place, noise in spoilt:
        at = int(place * (len(content) - 1))
        content[at : at + len(noise)] = noise
    path = tmp_path_factory.mktemp("spoilt") / whole_files[which].name
    path.write_bytes(content[: int(kept * len(content))])
    read = read_or_error(path)
    if isinstance(read, VolumeError):
        assert read.remedy
        assert "\n" not in str(read)
    else:
        assert read.voxels.ndim == 3
        assert np.isfinite(read.affine).all()
        assert np.isfinite(read.valid_intensities(read.voxels)).all()
