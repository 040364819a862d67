"""Commands from mask to mask, table, mesh and page, beside scipy, nibabel, SimpleITK and pillow."""

import csv
import io
import json

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from PIL import Image
from scipy import ndimage

from napari_fastsam3d import cli

AFFINE = np.array([[-1.0, 0, 0, 20], [0, 1.5, 0, -30], [0, 0, 2.0, 5], [0, 0, 0, 1]])
SHAPE = (30, 26, 20)


def labels():
    """An organ with a hole, a speck of it far away, and a second organ beside it."""
    made = np.zeros(SHAPE, np.uint8)
    made[4:14, 4:14, 4:14] = 1
    made[8:10, 8:10, 8:10] = 0
    made[24:26, 20:22, 15:17] = 1
    made[14:20, 6:12, 6:12] = 2
    return made


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    stored = labels()
    image = (100 * stored + rng.normal(0, 5, SHAPE)).astype(np.int16)
    for name, array in (("mask", stored), ("scan", image), ("empty", 0 * stored)):
        nib.save(nib.Nifti1Image(array, AFFINE), tmp_path / f"{name}.nii.gz")
    return tmp_path


def run(*words, code=0):
    assert cli.run([str(word) for word in words]) == code


def cleaned(files, *steps):
    doing = [word for step in steps for word in ("--do", step)]
    run("clean", files / "mask.nii.gz", "-o", files / "out.nii.gz", *doing)
    out = nib.load(files / "out.nii.gz")
    np.testing.assert_array_equal(out.affine, AFFINE)
    return np.asanyarray(out.dataobj)


def only(values, mask):
    """A label map where one label was replaced by a mask, which takes nothing of the others."""
    made = labels()
    made[made == values] = 0
    made[mask & (made == 0)] = values
    return made


def test_holes_are_those_of_scipy(files):
    filled = ndimage.binary_fill_holes(labels() == 1)
    np.testing.assert_array_equal(cleaned(files, "holes"), only(1, filled))


def test_islands_and_what_is_connected_are_itk_s_components(files):
    parts = SimpleITK.ConnectedComponent(
        SimpleITK.GetImageFromArray((labels() == 1).astype(np.uint8)), True
    )
    largest = SimpleITK.GetArrayFromImage(SimpleITK.RelabelComponent(parts)) == 1
    for step in ("islands=0.1", "connected"):
        np.testing.assert_array_equal(cleaned(files, step), only(1, largest))
    np.testing.assert_array_equal(cleaned(files, "islands=0.001"), labels())


def test_a_margin_is_a_distance_in_millimetres(files):
    sizes = np.abs(np.diag(AFFINE)[:3])
    organ = labels() == 2
    near = ndimage.distance_transform_edt(~organ, sampling=sizes) <= 3
    run("clean", files / "mask.nii.gz", "-o", files / "out.nii.gz", "--do", "grow=3", "-l", "2")
    out = np.asanyarray(nib.load(files / "out.nii.gz").dataobj)
    np.testing.assert_array_equal(out, only(2, near))
    deep = ndimage.distance_transform_edt(organ, sampling=sizes) > 2
    run("clean", files / "mask.nii.gz", "-o", files / "out.nii.gz", "--do", "shrink=2", "-l", "2")
    out = np.asanyarray(nib.load(files / "out.nii.gz").dataobj)
    np.testing.assert_array_equal(out, only(2, deep))


def test_steps_are_done_in_their_order(files):
    one = cleaned(files, "grow=2", "shrink=2")
    other = cleaned(files, "shrink=2", "grow=2")
    assert np.count_nonzero(one == 1) > np.count_nonzero(other == 1)
    assert not other[24:26].any(), "a speck that was shrunk away doesn't come back"


@pytest.mark.parametrize(
    ("step", "told"),
    [
        *[(f"smooth={n}", "takes an amount of mm") for n in ("nan", "-1", "inf", "0", "1e300")],
        *[(f"islands={n}", "takes an amount of ml") for n in ("-0.5", "nan", "1001")],
        *[(f"{kind}=2", "takes no amount") for kind in ("holes", "connected", "interpolate")],
        *[("smooth=1,5", "is no amount"), ("magic", "no way to clean up"), ("=", "no way")],
    ],
)
def test_an_amount_that_cannot_be_is_one_line_and_writes_nothing(files, capsys, step, told):
    run("clean", files / "mask.nii.gz", "-o", files / "out.nii.gz", "--do", step, code=1)
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert told in said
    assert said.count("\n") == 1
    assert not (files / "out.nii.gz").exists()


def test_what_is_empty_stays_empty(files):
    run("clean", files / "empty.nii.gz", "-o", files / "out.nii.gz", "--do", "grow=5")
    assert not np.asanyarray(nib.load(files / "out.nii.gz").dataobj).any()


def test_the_table_is_that_of_numpy(files, capsys):
    run("measure", files / "mask.nii.gz", "-s", files / "scan.nii.gz")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    image = np.asanyarray(nib.load(files / "scan.nii.gz").dataobj).astype(float)
    assert [row["label"] for row in rows] == ["1", "2"]
    for row, value in zip(rows, (1, 2), strict=True):
        inside = labels() == value
        voxels = image[inside]
        assert int(row["voxels"]) == np.count_nonzero(inside)
        assert float(row["volume_ml"]) == pytest.approx(inside.sum() * 3 / 1000, rel=1e-4)
        assert float(row["mean"]) == pytest.approx(voxels.mean(), rel=1e-4)
        assert float(row["sd"]) == pytest.approx(voxels.std(ddof=1), rel=1e-3)
        assert float(row["minimum"]) == voxels.min()
        assert float(row["maximum"]) == voxels.max()
        centre = AFFINE @ [*np.argwhere(inside).mean(axis=0), 1]
        told = [float(row[f"centroid_{axis}_mm"]) for axis in "ras"]
        np.testing.assert_allclose(told, centre[:3], atol=1e-3)


def test_an_empty_mask_has_a_table_without_rows(files, capsys):
    run("measure", files / "empty.nii.gz", "-s", files / "scan.nii.gz")
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith("name,label,volume_ml")
    assert rows == []
    run("measure", files / "empty.nii.gz", "-s", files / "scan.nii.gz", "--json")
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize("suffix", [".nii", ".nrrd", ".mha", ".seg.nrrd"])
def test_a_mask_in_another_format_is_the_same_voxel_by_voxel(files, suffix, capsys):
    out = files / f"other{suffix}"
    run("convert", files / "mask.nii.gz", "-o", out, "-s", files / "scan.nii.gz")
    assert capsys.readouterr().out == f"{out}\n"
    run("convert", out, "-o", files / "back.nii.gz", "-s", files / "scan.nii.gz")
    back = nib.load(files / "back.nii.gz")
    np.testing.assert_array_equal(np.asanyarray(back.dataobj), labels())
    if suffix != ".seg.nrrd":
        image = SimpleITK.ReadImage(str(out))
        place = np.array([5, 6, 7])
        world = image.TransformIndexToPhysicalPoint([int(n) for n in place])
        lps = np.diag([-1, -1, 1]) @ (AFFINE @ [*place, 1])[:3]
        np.testing.assert_allclose(world, lps, atol=1e-4)
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(image).T, labels())


def test_several_formats_are_written_at_once(files, capsys):
    outputs = [files / name for name in ("one.nrrd", "two.mha", "names.txt", "mesh.stl")]
    words = [word for path in outputs for word in ("-o", path)]
    run("convert", files / "mask.nii.gz", *words, "-s", files / "scan.nii.gz")
    written = capsys.readouterr().out.splitlines()
    assert len(written) >= 4
    assert all((files / path).is_file() for path in written)
    table = (files / "names.txt").read_text()
    assert len([line for line in table.splitlines() if not line.startswith("#")]) >= 2


@pytest.mark.parametrize("name", ["x.png", "x", "x.nii.bz2"])
def test_a_format_that_is_none_names_those_there_are(files, name, capsys):
    run("convert", files / "mask.nii.gz", "-o", files / name, "-s", files / "scan.nii.gz", code=1)
    said = capsys.readouterr().err
    assert "cannot be written" in said
    assert ".nii.gz, .nii, .nrrd, .mha." in said
    assert not (files / name).exists()


def test_a_dicom_segmentation_needs_the_images_that_it_refers_to(files, capsys):
    mask, out = files / "mask.nii.gz", files / "x.dcm"
    run("convert", mask, "-o", out, "-s", files / "scan.nii.gz", code=1)
    assert "was not read from DICOM" in capsys.readouterr().err
    assert not out.exists()


def test_a_mask_of_another_scan_is_refused_by_every_command(files, capsys):
    nib.save(nib.Nifti1Image(labels()[:10], AFFINE), files / "other.nii.gz")
    for command in (
        ("measure",),
        ("convert", "-o", files / "x.nrrd"),
        ("report", "-o", files / "x.pdf"),
    ):
        run(*command, files / "other.nii.gz", "-s", files / "scan.nii.gz", code=1)
        assert "has shape (10, 26, 20) and the scan (30, 26, 20)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "window", [("9", "1"), ("5", "5"), ("nan", "3"), ("0", "inf"), ("-inf", "inf")]
)
def test_a_window_that_shows_nothing_is_refused(files, capsys, window):
    out, scan = files / "page.png", files / "scan.nii.gz"
    run("report", files / "mask.nii.gz", "-o", out, "-s", scan, "--window", *window, code=1)
    assert "shows nothing. Give a lower intensity and a higher one." in capsys.readouterr().err
    assert not out.exists()


def test_a_page_shows_what_the_window_says(files):
    pages = []
    for window in (("-100", "300"), ("1000", "2000"), None):
        out = files / f"page{len(pages)}.png"
        more = ("--window", *window) if window else ()
        run("report", files / "mask.nii.gz", "-o", out, "-s", files / "scan.nii.gz", *more)
        pages.append(np.asarray(Image.open(out).convert("RGB")).astype(int))
    first, dark, _ = pages
    assert first.shape == dark.shape
    black = [(page.max(axis=-1) < 10).mean() for page in (first, dark)]
    assert black[1] > black[0] + 0.05, "beyond the window all is black"


def test_a_page_without_a_mask_is_refused(files, capsys):
    out = files / "page.pdf"
    run("report", files / "empty.nii.gz", "-o", out, "-s", files / "scan.nii.gz", code=1)
    assert "holds no mask" in capsys.readouterr().err
    assert not out.exists()
