"""The pages of a report: every object has its row, however many there are, whatever their names."""

import re

import numpy as np
import pytest
from PIL import Image

from dicom_writer import planes, positions, save, slices
from napari_fastsam3d.errors import SaveError
from napari_fastsam3d.geometry import Box, Volume, measure, read_volume
from napari_fastsam3d.geometry.io.segment import Segment
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.measures import Measured
from napari_fastsam3d.session.report import Report, patient_lines, save_report

SHAPE = (12, 10, 8)
PAGE = (1754, 1240)
COLOUR = (0.2, 0.4, 0.8)
SWATCH = (51, 102, 204)


@pytest.fixture(scope="module")
def volume() -> Volume:
    voxels = np.random.default_rng(0).integers(-100, 100, SHAPE, dtype=np.int16)
    return Volume.from_array(voxels, spacing=(2.0, 1.5, 3.0), name="Mr. X")


def report(volume: Volume, count: int, name: str = "part", **more) -> Report:
    """A report of so many objects, all of them the same small block."""
    mask = Mask.of(Box((2, 2, 2), (6, 7, 5)), np.ones((4, 5, 3), bool))
    segments = [Segment(f"{name} {n}", n, mask, COLOUR) for n in range(1, count + 1)]
    measured = measure(mask, volume)
    rows = [Measured(each.name, each.value, measured) for each in segments]
    return Report(volume, segments, rows, "a model", **more)


def pixels(path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def swatches(page: np.ndarray) -> int:
    """How many small squares of an object's colour there are at the left of the table."""
    column = (page[:, 68] == SWATCH).all(axis=1)
    return int(np.diff(np.concatenate([[0], column, [0]]).astype(int)).clip(0).sum())


@pytest.mark.parametrize(("count", "pages"), [(1, 1), (40, 2)])
def test_every_object_has_its_row_on_as_many_pages_as_it_takes(volume, tmp_path, count, pages):
    path = save_report(tmp_path / "report.PNG", report(volume, count))
    picture = pixels(path)
    assert picture.shape == (PAGE[1] * pages, PAGE[0], 3)
    assert swatches(picture) == count
    pdf = save_report(tmp_path / "report.pdf", report(volume, count)).read_bytes()
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == pages
    assert pdf.rstrip().endswith(b"%%EOF")


def test_what_is_too_long_for_its_column_is_cut_and_covers_no_other(volume, tmp_path):
    short = pixels(save_report(tmp_path / "short.png", report(volume, 1, "liver")))
    long = pixels(save_report(tmp_path / "long.png", report(volume, 1, "liver " * 40)))
    column = slice(60 + 28, 60 + 300 - 8)
    differs = (short != long).any(axis=(0, 2))
    assert differs[column].any()
    assert not np.delete(differs, np.r_[column]).any()


def test_an_object_without_a_voxel_has_a_row_without_measures(volume, tmp_path):
    full = report(volume, 2)
    empty = Measured("nothing", 3, measure(Mask.empty(), volume))
    rows = Report(volume, full.segments, [*full.measured, empty], "a model")
    picture = pixels(save_report(tmp_path / "report.png", rows))
    column = picture[:, 60 + 300 : 60 + 300 + 140]
    darkest = column.min(axis=(1, 2)) < 100
    lines = np.diff(np.concatenate([[0], darkest, [0]]).astype(int)).clip(0).sum()
    assert swatches(picture) == 2  # the row of no segment has a pale square instead
    assert lines >= 3


def test_patient_and_window_are_as_they_were_asked_for(volume, tmp_path):
    plain = pixels(save_report(tmp_path / "plain.png", report(volume, 1)))
    named = pixels(save_report(tmp_path / "named.png", report(volume, 1, patient=("Scan: Mr. X",))))
    assert (plain[:140] != named[:140]).any()
    dark = pixels(save_report(tmp_path / "dark.png", report(volume, 1, window=(99.0, 5000.0))))
    assert dark[200:700].mean() < plain[200:700].mean()


@pytest.mark.parametrize(
    "window", [(1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0), (0.0, float("inf"))], ids=str
)
def test_a_window_that_shows_nothing_is_refused_and_the_old_report_stays(volume, tmp_path, window):
    path = tmp_path / "report.png"
    path.write_bytes(b"old")
    with pytest.raises(SaveError, match="shows nothing"):
        save_report(path, report(volume, 1, window=window))
    with pytest.raises(SaveError, match=r"\.pdf or \.png"):
        save_report(tmp_path / "report.jpg", report(volume, 1))
    assert [each.name for each in tmp_path.iterdir()] == ["report.png"]
    assert path.read_bytes() == b"old"


def test_what_dicom_says_of_the_patient_is_told_and_a_series_that_went_is_missed(volume, tmp_path):
    assert patient_lines(volume) == ("Scan: Mr. X",)
    files = slices(planes(3), positions(range(3)))
    for each in files:
        each.PatientName, each.PatientID = "Doe^Jane", "  77 "
        each.PatientBirthDate, each.SeriesDescription = "19700102", ""
        each.StudyDate = "20260102"
    save(tmp_path / "ct", files)
    scan = read_volume(tmp_path / "ct")
    scan_line, told = patient_lines(scan)
    assert scan_line == f"Scan: {scan.name}"
    assert told.split("   ") == ["Patient: Doe^Jane", "ID: 77", "Born: 19700102", "Study: 20260102"]
    for path in (tmp_path / "ct").iterdir():
        path.unlink()
    with pytest.raises(SaveError, match="can't be read any more"):
        patient_lines(scan)
