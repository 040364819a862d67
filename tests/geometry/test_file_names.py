"""Headers and data files of any name, on reading and on saving."""

import unicodedata

import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from text_headers import ARRAY, VOXELS, meta_image, nrrd

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry import Volume, read_labels, read_volume, save_mask

NAMES = [
    "Müller",
    "50% Dosis",
    "%d",
    "a%03d b 1 2 1",
    "100%s%n",
    "患者 7",
    "пациент",
    "מטופל",
    "Ω=1; x: #3, 'a' \"b\"",
    "LIST",
    "LOCAL heroes",
    "back\\slash",
    "emoji 🫀",
    "a.b.c",
    ".hidden",
]
printable = st.text(
    st.characters(exclude_categories=("C", "Z"), exclude_characters="/") | st.just(" "),
    min_size=1,
    max_size=30,
).filter(lambda name: name.strip() == name and len(name.encode()) < 200 and name.strip("."))
anywhere = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def named(examples):
    def decorated(test):
        for name in examples:
            test = example(name)(test)
        return test

    return decorated


@anywhere
@given(printable)
@named(NAMES)
def test_headers_and_data_files_of_any_name(tmp_path, name):
    folder = tmp_path / f"in {name}"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.raw").write_bytes(VOXELS.tobytes())
    (folder / name).write_bytes(VOXELS.tobytes())
    data = [f"{name}.raw"] if name in ("LIST", "LOCAL") else [f"{name}.raw", name]
    for named_in_it in data:
        mhd = meta_image(folder / f"{name}.mhd", {"ElementDataFile": named_in_it}, b"")
        nhdr = nrrd(folder / f"{name}.nhdr", {"data file": named_in_it}, b"")
        for path in (mhd, nhdr):
            assert np.array_equal(read_volume(path).voxels, ARRAY)
            assert read_volume(path).name == name


@anywhere
@given(printable)
@named(NAMES)
def test_masks_of_any_name_and_with_any_label(tmp_path, name):
    volume = Volume.from_array(ARRAY, spacing=(0.7, 0.7, 3))
    for suffix in (".nii.gz", ".nii", ".nrrd", ".mha"):
        path = save_mask(tmp_path / f"{name}{suffix}", ARRAY > 4, volume, label_names={1: name})
        assert path.name == f"{name}{suffix}"
        found = read_labels(path, volume)
        assert np.array_equal(found.labels, ARRAY > 4)
        assert found.names == {1: name}
        path.unlink()


@pytest.mark.parametrize("write", [meta_image, nrrd])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_name_in_another_encoding_or_composed_otherwise(tmp_path, write, encoding, form):
    field = "ElementDataFile" if write is meta_image else "data file"
    path = write(tmp_path / "a.nhdr" if write is nrrd else tmp_path / "a.mhd", {field: "@"}, b"")
    path.write_bytes(path.read_bytes().replace(b"@", "Müller.raw".encode(encoding)))
    (tmp_path / unicodedata.normalize(form, "Müller.raw")).write_bytes(VOXELS.tobytes())
    assert np.array_equal(read_volume(path).voxels, ARRAY)


def test_a_data_file_written_on_windows(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.raw").write_bytes(VOXELS.tobytes())
    path = meta_image(tmp_path / "a.mhd", {"ElementDataFile": "data\\a.raw"}, b"")
    assert np.array_equal(read_volume(path).voxels, ARRAY)


def test_a_lost_data_file_is_called_by_its_name(tmp_path):
    for name in ("Müller.raw", "50%.raw", "s%03d.raw 1 2 1"):
        path = meta_image(tmp_path / "a.mhd", {"ElementDataFile": name}, b"")
        with pytest.raises(VolumeError, match="lost its data file") as caught:
            read_volume(path)
        assert name.replace("%03d.raw 1 2 1", "001.raw") in caught.value.problem


def test_itk_finds_what_was_saved_under_such_names(tmp_path):
    volume = Volume.from_array(ARRAY)
    for name in NAMES:
        path = save_mask(tmp_path / f"{name}.nrrd", ARRAY > 4, volume)
        image = SimpleITK.ReadImage(str(path))
        assert np.array_equal(SimpleITK.GetArrayFromImage(image).transpose(), ARRAY > 4)
