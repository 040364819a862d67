"""A page about a session: three planes with outlines, the measures, the model; as PNG or PDF."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from math import isfinite
from pathlib import Path

from PIL import Image, ImageDraw

from napari_fastsam3d import __version__
from napari_fastsam3d.errors import SaveError
from napari_fastsam3d.geometry.io.atomic_write import replacing
from napari_fastsam3d.geometry.io.segment import Segment
from napari_fastsam3d.geometry.measures import Measured
from napari_fastsam3d.geometry.picture import Colour, system_font
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.session.report_planes import ink_of, three_planes

REPORT_SUFFIXES = (".pdf", ".png")
_SUBJECT = "Segmentation report"

_DPI = 150
_WIDE, _HIGH, _EDGE = 1754, 1240, 60  # A4 across
_TITLE, _TEXT, _SMALL = 34, 20, 16
_LINE = 30
_PLANES_HIGH = 560
_INK, _PALE = (20, 20, 20), (110, 110, 110)
_COLUMNS = {
    "Object": 300,
    "Volume ml": 150,
    "Long x short axis mm": 240,
    "3D mm": 110,
    "Mean ± SD": 220,
    "Min to max": 200,
    "Surface cm2": 150,
    "Centroid RAS mm": 250,
}
_FOOT = "Long and short axis: RECIST, in axial slices. For research only: not for diagnosis."


@dataclass(frozen=True, eq=False)
class Report:
    """What a report tells.

    Parameters
    ----------
    volume : Volume
        The scan.
    segments : sequence of Segment
        Its objects, at least one with a voxel, with their colours.
    measured : sequence of Measured
        The rows of the table.
    model : str
        What the masks were made with.
    window : tuple of float or None
        Intensities that become black and white; chosen by those of the scan where None.
    patient : tuple of str
        Lines about patient and scan; none unless they were asked for.
    """

    volume: Volume
    segments: Sequence[Segment]
    measured: Sequence[Measured]
    model: str
    window: tuple[float, float] | None = None
    patient: tuple[str, ...] = ()


def save_report(path: str | os.PathLike[str], report: Report) -> Path:
    """Write a report, a page or more; whole or not at all.

    Parameters
    ----------
    path : path
        Ending in .pdf, or in .png for one picture of all pages.
    report : Report

    Raises
    ------
    SaveError
        If it can't be written.
    """
    target = Path(path).expanduser().absolute()
    suffix = target.suffix.lower()
    if suffix not in REPORT_SUFFIXES:
        raise SaveError(
            f"A report cannot be written as {target.name}.", "Use a name ending in .pdf or .png."
        )
    if report.window is not None:
        low, high = report.window
        if not (isfinite(low) and isfinite(high) and low < high):
            raise SaveError(
                f"A window from {low:g} to {high:g} shows nothing.",
                "Give a lower intensity and a higher one.",
            )
    first, *others = _pages(report)
    with replacing(target, suffix) as temporary:
        if suffix == ".pdf":
            first.save(
                *(temporary, "PDF"),
                resolution=_DPI,
                save_all=True,
                append_images=others,
                title=_SUBJECT,
            )
        else:
            whole = Image.new("RGB", (_WIDE, _HIGH * (1 + len(others))), "white")
            for number, page in enumerate((first, *others)):
                whole.paste(page, (0, number * _HIGH))
            whole.save(temporary, "PNG", dpi=(_DPI, _DPI))
    return target


def patient_lines(volume: Volume) -> tuple[str, ...]:
    """Return what the scan's name and its DICOM header say of patient and study."""
    lines = [f"Scan: {volume.name}"]
    if volume.source.format == "dicom" and volume.source.files:
        from pydicom import dcmread

        try:
            header = dcmread(min(volume.source.files), stop_before_pixels=True, force=True)
        except OSError as error:
            raise SaveError(
                f"The DICOM series of {volume.name} can't be read any more: {error}",
                "Put it back where it was, or make the report without the patient.",
            ) from error
        told = {
            "Patient": "PatientName",
            "ID": "PatientID",
            "Born": "PatientBirthDate",
            "Study": "StudyDate",
            "Series": "SeriesDescription",
        }
        said = [(word, str(header.get(name) or "").strip()) for word, name in told.items()]
        lines.append("   ".join(f"{word}: {value}" for word, value in said if value))
    return tuple(line for line in lines if line)


def _pages(report: Report) -> list[Image.Image]:
    rows = iter(report.measured)
    page, pen, y = _new_page("Segmentation report")
    for line in (*report.patient, _about(report)):
        _write(pen, (_EDGE, y), line, _TEXT, _PALE)
        y += _LINE
    y += 10
    room = (_WIDE - 2 * _EDGE, _PLANES_HIGH)
    planes = three_planes(report.volume, report.segments, report.window, room)
    page.paste(planes, (_EDGE + (room[0] - planes.width) // 2, y))
    y = _table(pen, y + planes.height + 20, rows, report)
    pages = [page]
    while left := list(islice(rows, 1)):
        page, pen, y = _new_page("Segmentation report, continued")
        rows = iter([*left, *rows])
        _table(pen, y, rows, report)
        pages.append(page)
    return pages


def _new_page(title: str) -> tuple[Image.Image, ImageDraw.ImageDraw, int]:
    page = Image.new("RGB", (_WIDE, _HIGH), "white")
    pen = ImageDraw.Draw(page)
    _write(pen, (_EDGE, _EDGE), title, _TITLE, _INK)
    _write(pen, (_EDGE, _HIGH - _EDGE), _FOOT, _SMALL, _PALE)
    return page, pen, _EDGE + 50


def _about(report: Report) -> str:
    volume = report.volume
    sizes = " x ".join(f"{size:.3g}" for size in volume.spacing)
    kind = f"{volume.source.modality}, " if volume.source.modality else ""
    shape = " x ".join(map(str, volume.shape))
    return (
        f"{date.today().isoformat()}   {kind}{shape} voxels of {sizes} mm   "
        f"Model: {report.model}   napari-fastsam3d {__version__}"
    )


def _table(pen: ImageDraw.ImageDraw, y: int, rows: Iterator[Measured], report: Report) -> int:
    """Write as many rows as there is room for."""
    colours = {each.value: ink_of(each) for each in report.segments}
    _row(pen, y, list(_COLUMNS), _PALE)
    y += _LINE
    pen.line((_EDGE, y - 4, _WIDE - _EDGE, y - 4), fill=_PALE)
    while y + _LINE < _HIGH - _EDGE - 10 and (row := next(rows, None)) is not None:
        pen.rectangle((_EDGE, y + 3, _EDGE + 16, y + 19), fill=colours.get(row.label, _PALE))
        _row(pen, y, _cells(row), _INK)
        y += _LINE
    return y


def _cells(row: Measured) -> list[str]:
    found = row.measures
    if found.centroid_mm is None:
        return [row.name, "0", *["-"] * (len(_COLUMNS) - 2)]
    lengths = [
        f"{x.length:.1f}" for x in (found.long_axis, found.short_axis, found.longest_3d) if x
    ]
    values = ["-", "-"]
    if found.mean is not None:
        values = [
            f"{found.mean:.4g} ± {found.sd:.3g}",
            f"{found.minimum:.4g} to {found.maximum:.4g}",
        ]
    return [
        row.name,
        f"{found.volume_ml:.4g}",
        f"{lengths[0]} x {lengths[1]}",
        lengths[2],
        *values,
        f"{found.surface_cm2:.4g}",
        ", ".join(f"{mm:.1f}" for mm in found.centroid_mm),
    ]


def _row(pen: ImageDraw.ImageDraw, y: int, cells: Sequence[str], ink: Colour) -> None:
    x = _EDGE
    for number, (cell, width) in enumerate(zip(cells, _COLUMNS.values(), strict=True)):
        room = 28 if number == 0 else 0
        _write(pen, (x + room, y), _cut(cell, width - room - 10), _TEXT, ink)
        x += width


def _cut(text: str, width: float) -> str:
    font = system_font(_TEXT)
    while len(text) > 1 and font.getlength(text) > width:
        text = text.rstrip("…")[:-1] + "…"
    return text


def _write(
    pen: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int, ink: Colour
) -> None:
    pen.text(at, text, fill=ink, font=system_font(size))
