import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from dicom_series import stack, write
from scipy.spatial.transform import Rotation

from napari_fastsam3d.errors import SaveError
from napari_fastsam3d.geometry import Volume, read_volume, save_mask

SUFFIXES = [".nii.gz", ".nii", ".nrrd", ".mha"]
SHAPE = (12, 10, 8)


def an_affine(shear: float = 0.0) -> np.ndarray:
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", [15, -8, 100], degrees=True).as_matrix()
    affine[:3, :3] = turn @ [[1, 0, 0], [0, 1, shear], [0, 0, 1]] * (0.84, 0.84, 5)
    affine[:3, 3] = (-101.5, 33.25, 1000.125)
    return affine


def a_mask() -> np.ndarray:
    return np.random.default_rng(0).random(SHAPE) < 0.3


def made(shear: float = 0.0) -> Volume:
    return Volume.from_array(np.zeros(SHAPE, np.int16), an_affine(shear))


@contextmanager
def no_file_larger_than(size: int):
    """Let the system refuse to write more, as it does when a disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("shear", [0.0, 0.3])
def test_comes_back_as_it_was(tmp_path, suffix, shear):
    path = save_mask(tmp_path / f"mask{suffix}", a_mask(), made(shear))
    back = read_volume(path)
    assert np.array_equal(back.voxels, a_mask())
    assert back.voxels.dtype == np.uint8
    np.testing.assert_allclose(back.affine, an_affine(shear), atol=2e-4)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_itk_finds_it_at_the_same_place(tmp_path, suffix):
    volume = made()
    image = SimpleITK.ReadImage(str(save_mask(tmp_path / f"m{suffix}", a_mask(), volume)))
    assert np.array_equal(SimpleITK.GetArrayFromImage(image).transpose(), a_mask())
    for index in ((0, 0, 0), (11, 9, 7), (3, 1, 4)):
        lps = image.TransformIndexToPhysicalPoint(index)
        world = np.multiply(lps, (-1, -1, 1))
        np.testing.assert_allclose(volume.to_world(index), world, atol=1e-3)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("codes", [(1, 0), (0, 1), (2, 1), (4, 4), (0, 0)])
@pytest.mark.parametrize("units", [("mm", "sec"), ("mm", "unknown"), ("micron", "msec")])
def test_the_header_of_the_scan_is_kept(tmp_path, kind, codes, units):
    scan = kind(np.zeros((*SHAPE, 2), np.int16), an_affine())
    scan.set_sform(an_affine(), codes[0])
    scan.set_qform(an_affine(), codes[1])
    scan.header.set_xyzt_units(*units)
    scan.header.set_slope_inter(2, -1024)
    scan.header["cal_max"], scan.header["descrip"] = 900, b"a scanner"
    scan.to_filename(tmp_path / "scan.nii.gz")
    path = save_mask(
        tmp_path / "m.nii.gz", a_mask(), read_volume(tmp_path / "scan.nii.gz", frame=1)
    )
    theirs, ours = nib.load(tmp_path / "scan.nii.gz"), nib.load(path)
    assert type(ours) is type(theirs)
    assert np.array_equal(ours.affine, theirs.affine)
    for name in ("sform_code", "qform_code", "xyzt_units", "descrip", "quatern_b", "srow_x"):
        assert np.array_equal(ours.header[name], theirs.header[name]), name
    assert np.array_equal(ours.header["pixdim"][:4], theirs.header["pixdim"][:4])
    assert ours.shape == SHAPE
    assert ours.get_data_dtype() == np.uint8
    assert ours.dataobj.slope == 1
    assert ours.dataobj.inter == 0
    assert ours.header["cal_max"] == 0
    assert np.array_equal(np.asanyarray(ours.dataobj), a_mask())


def test_a_scan_from_itk_or_dicom_gets_a_full_header(tmp_path):
    scan = read_volume(write(tmp_path / "scan", stack([0, 3, 6, 9])))
    mask = np.zeros(scan.shape, bool)
    mask[2, 3, 1] = True
    saved = nib.load(save_mask(tmp_path / "m.nii.gz", mask, scan))
    np.testing.assert_allclose(saved.affine, scan.affine, atol=1e-5)
    assert saved.header["sform_code"] == saved.header["qform_code"] == 1
    assert saved.header.get_xyzt_units()[0] == "mm"
    np.testing.assert_allclose(saved.get_qform(), scan.affine, atol=1e-4)


@pytest.mark.parametrize(
    ("labels", "dtype"),
    [
        (np.full(SHAPE, 255, np.int64), np.uint8),
        (np.full(SHAPE, 256, np.int32), np.uint16),
        (np.full(SHAPE, 65535, np.uint16), np.uint16),
        (np.zeros(SHAPE, np.uint16), np.uint8),
        (np.ones(SHAPE, bool)[::-1, :, ::-1], np.uint8),
    ],
)
@pytest.mark.parametrize("suffix", [".nii", ".mha"])
def test_labels(tmp_path, labels, dtype, suffix):
    back = read_volume(save_mask(tmp_path / f"m{suffix}", labels, made()))
    assert back.voxels.dtype == dtype
    assert np.array_equal(back.voxels, labels)


def test_label_names(tmp_path):
    names = {1: "liver", 2: "Milz — groß"}
    labels = a_mask().astype(np.uint8)
    saved = nib.load(save_mask(tmp_path / "m.nii.gz", labels, made(), label_names=names))
    assert json.loads(saved.header.extensions[0].get_content()) == {"1": "liver", "2": names[2]}
    for suffix in (".nrrd", ".mha"):
        path = save_mask(tmp_path / f"m{suffix}", labels, made(), label_names=names)
        text = SimpleITK.ReadImage(str(path)).GetMetaData("label_names")
        assert json.loads(text)["2"] == names[2]


@pytest.mark.parametrize(
    "mask",
    [
        np.zeros((12, 10, 7), bool),
        np.zeros((8, 10, 12), bool),
        np.zeros(SHAPE, np.float32),
        np.full(SHAPE, -1),
        np.full(SHAPE, 70000),
    ],
)
def test_what_is_no_mask_of_the_volume_is_refused(tmp_path, mask):
    with pytest.raises(SaveError) as caught:
        save_mask(tmp_path / "m.nii.gz", mask, made())
    assert caught.value.remedy
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["mask", "mask.tif", "mask.nii.bz2", ".nii.gzz"])
def test_unknown_formats_are_refused(tmp_path, name):
    with pytest.raises(SaveError, match="cannot be written"):
        save_mask(tmp_path / name, a_mask(), made())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_full_disk_harms_nothing(tmp_path, suffix):
    path = save_mask(tmp_path / f"mask{suffix}", a_mask(), made())
    before = path.read_bytes()
    noise = np.random.default_rng(0).integers(0, 65000, SHAPE).astype(np.uint16)
    with no_file_larger_than(1000), pytest.raises(SaveError) as caught:
        save_mask(path, noise, made())
    assert caught.value.remedy
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_folder_that_is_not_there(tmp_path, suffix):
    with pytest.raises(SaveError):
        save_mask(tmp_path / "nowhere" / f"m{suffix}", a_mask(), made())
    (tmp_path / "file").touch()
    with pytest.raises(SaveError):
        save_mask(tmp_path / "file" / f"m{suffix}", a_mask(), made())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_folder_that_may_not_be_written_to(tmp_path, suffix):
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(SaveError):
        save_mask(tmp_path / f"m{suffix}", a_mask(), made())
    tmp_path.chmod(0o700)


def test_a_folder_in_the_place_of_the_file(tmp_path):
    (tmp_path / "m.nii.gz").mkdir()
    with pytest.raises(SaveError):
        save_mask(tmp_path / "m.nii.gz", a_mask(), made())
    assert os.listdir(tmp_path) == ["m.nii.gz"]


def test_the_scan_is_never_overwritten(tmp_path):
    path = save_mask(tmp_path / "scan.nii", a_mask(), made())
    volume = read_volume(path)
    (tmp_path / "link.nii").symlink_to(path)
    before = path.read_bytes()
    for target in (path, tmp_path / "link.nii"):
        with pytest.raises(SaveError, match="scan itself"):
            save_mask(target, ~a_mask(), volume)
    assert path.read_bytes() == before


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    real = save_mask(tmp_path / "real" / "m.nii.gz", a_mask(), made())
    link = tmp_path / "link.nii.gz"
    link.symlink_to(real)
    save_mask(link, ~a_mask(), made())
    assert link.is_symlink()
    assert np.array_equal(read_volume(real).voxels, ~a_mask())


def test_permissions_are_those_of_a_new_file(tmp_path):
    path = save_mask(tmp_path / "m.nii.gz", a_mask(), made())
    (tmp_path / "other").touch()
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_process_killed_while_saving_leaves_the_old_file(tmp_path):
    """SIGKILL at moments spread over many saves: what is there is always whole."""
    path = save_mask(tmp_path / "m.nii.gz", a_mask(), made())
    script = f"""
        import numpy as np
        from napari_fastsam3d.geometry import Volume, save_mask
        volume = Volume.from_array(np.zeros((60, 60, 60), np.int16))
        print("ready", flush=True)
        for n in range(10000):
            save_mask({str(path)!r}, np.full((60, 60, 60), n % 200, np.uint8), volume)
            print(n, flush=True)
    """
    for saves in (0, 1, 3):
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(saves + 1):
            child.stdout.readline()
        child.kill()
        child.communicate()
        voxels = read_volume(path).voxels
        assert voxels.shape == SHAPE or (voxels == voxels[0, 0, 0]).all()
