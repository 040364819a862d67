"""`measure` and `clean` on real files, read back by nibabel and SimpleITK."""

import csv
import io
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from napari_fastsam3d import cli
from napari_fastsam3d.geometry import Mask, Volume, read_volume, save_mask
from napari_fastsam3d.geometry.io.segment import Segment
from napari_fastsam3d.geometry.io.segments import read_segments, save_segments

AFFINE = np.array([[-0.8, 0, 0, 20], [0, 0, 2.5, -7], [0, 0.9, 0, 4], [0, 0, 0, 1.0]])


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A scan whose axes lie anyhow, and a label map with two labels, one of them named."""
    voxels = np.random.default_rng(2).normal(40, 20, (30, 28, 20)).astype(np.float32)
    labels = np.zeros(voxels.shape, np.uint8)
    labels[4:12, 5:20, 3:9] = 1
    labels[20, 20, 15] = 1
    labels[16:20, 4:9, 10:14] = 7
    labels[17, 6, 12] = 0
    scan, mask = tmp_path / "scan.nii.gz", tmp_path / "mask.nii.gz"
    nib.Nifti1Image(voxels, AFFINE).to_filename(scan)
    save_mask(mask, labels, Volume.from_array(voxels, AFFINE), label_names={7: "left kidney"})
    return scan, mask


def test_the_table_is_what_simpleitk_says_of_the_files(files, capsys):
    scan, mask = files
    assert cli.run(["measure", str(mask), "--scan", str(scan)]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    told = SimpleITK.LabelIntensityStatisticsImageFilter()
    told.Execute(SimpleITK.ReadImage(str(mask)), SimpleITK.ReadImage(str(scan)))
    assert [(row["name"], int(row["label"])) for row in rows] == [
        ("label 1", 1),
        ("left kidney", 7),
    ]
    for row in rows:
        label = int(row["label"])
        assert float(row["volume_ml"]) == pytest.approx(
            told.GetPhysicalSize(label) / 1000, rel=1e-4
        )
        assert float(row["mean"]) == pytest.approx(told.GetMean(label), rel=1e-4)
        assert float(row["sd"]) == pytest.approx(told.GetStandardDeviation(label), rel=1e-4)
        x, y, z = told.GetCentroid(label)
        centroid = [float(row[f"centroid_{axis}_mm"]) for axis in "ras"]
        assert centroid == pytest.approx([-x, -y, z], rel=1e-4, abs=1e-3)


def test_the_table_goes_to_a_file_as_csv_or_json(files, tmp_path, capsys):
    scan, mask = files
    for suffix in ("csv", "json"):
        out = tmp_path / f"table.{suffix}"
        assert cli.run(["measure", str(mask), "-s", str(scan), "-o", str(out)]) == 0
    rows = json.loads((tmp_path / "table.json").read_text())
    (start, end), length = rows[1]["long_axis"], rows[1]["long_axis_mm"]
    assert np.linalg.norm(np.subtract(start, end)) == pytest.approx(length, rel=1e-5)
    assert (tmp_path / "table.csv").read_text().startswith("name,label,volume_ml,long_axis_mm")
    capsys.readouterr()
    assert cli.run(["measure", str(mask), "-s", str(scan), "-o", str(tmp_path / "t.xls")]) == 1
    assert "Use a name in .csv or .json" in capsys.readouterr().err


def test_cleaning_up_does_what_is_asked_in_order(files, tmp_path, capsys):
    _, mask = files
    out = tmp_path / "clean.nii.gz"
    assert (
        cli.run(["clean", str(mask), "-o", str(out), "--do", "islands=0.01", "--do", "holes"]) == 0
    )
    before, after = nib.load(mask), nib.load(out)
    expected = np.asarray(before.dataobj).copy()
    expected[20, 20, 15] = 0
    expected[17, 6, 12] = 7
    assert np.array_equal(np.asarray(after.dataobj), expected)
    assert np.array_equal(after.affine, before.affine)
    assert "left kidney" in after.header.extensions[0].text


def test_growing_labels_leave_each_other_theirs(files, tmp_path):
    _, mask = files
    out = tmp_path / "grown.nii.gz"
    assert cli.run(["clean", str(mask), "-o", str(out), "--do", "grow=9", "--label", "7"]) == 0
    before, after = (np.asarray(nib.load(path).dataobj) for path in (mask, out))
    assert np.array_equal(after == 1, before == 1)
    assert np.count_nonzero(after == 7) > 5 * np.count_nonzero(before == 7)


def test_segments_that_overlap_are_measured_and_cleaned_up_each(files, tmp_path, capsys):
    scan, _ = files
    volume = read_volume(scan)
    first, second = np.zeros((2, *volume.shape), bool)
    first[4:12, 5:20, 3:9] = second[10:16, 5:20, 3:9] = True
    first[6, 8, 5] = False
    made = [Segment("a", 2, Mask.of_volume(first)), Segment("b", 5, Mask.of_volume(second))]
    mask = save_segments(tmp_path / "mask.seg.nrrd", made, volume)

    assert cli.run(["measure", str(mask), "-s", str(scan), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["voxels"]) for row in rows] == [
        ("a", first.sum()),
        ("b", second.sum()),
    ]

    out = tmp_path / "clean.seg.nrrd"
    for more in ([], ["--scan", str(scan)]):
        assert cli.run(["clean", str(mask), "-o", str(out), "--do", "holes", *more]) == 0
        a, b = (each.mask.volume(volume.shape) for each in read_segments(out, volume))
        first[6, 8, 5] = True
        assert np.array_equal(a, first)
        assert np.array_equal(b, second)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--do", "polish"], "no way to clean up"),
        (["--do", "grow=wide"], "no amount"),
        (["--do", "holes", "--label", "3"], "has no label 3"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(files, tmp_path, capsys, arguments, said):
    _, mask = files
    assert cli.run(["clean", str(mask), "-o", str(tmp_path / "out.nii.gz"), *arguments]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_converting_and_a_report_from_files(files, tmp_path, capsys):
    scan, mask = files
    outs = [tmp_path / name for name in ("a.seg.nrrd", "a.obj", "a.txt", "a.mha")]
    given = [word for out in outs for word in ("-o", str(out))]
    assert cli.run(["convert", str(mask), "--scan", str(scan), *given]) == 0
    assert [Path(line) for line in capsys.readouterr().out.split()] == outs
    image = SimpleITK.ReadImage(str(outs[0]))
    expected = np.asarray(nib.load(mask).dataobj)
    assert np.array_equal(SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0), expected)
    back = tmp_path / "back.nii.gz"
    assert cli.run(["convert", str(outs[0]), "--scan", str(scan), "-o", str(back)]) == 0
    assert np.array_equal(np.asarray(nib.load(back).dataobj), expected)
    page = tmp_path / "page.png"
    assert cli.run(["report", str(mask), "--scan", str(scan), "-o", str(page)]) == 0
    assert page.read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    assert cli.run(["convert", str(mask), "-s", str(scan), "-o", str(tmp_path / "a.dcm")]) == 1
    assert "not read from DICOM" in capsys.readouterr().err
