import pytest

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
