"""`napari-fastsam3d auto`: adapted structures of a scan, or of a folder, without a prompt."""

import csv
import json
from collections import Counter
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_fastsam3d.cli.adapt import StoreOption
from napari_fastsam3d.cli.segment import check_output, listed, make_folder
from napari_fastsam3d.errors import DataError, FastSAM3DError, SaveError

if TYPE_CHECKING:
    from napari_fastsam3d.model.adapter_store import AdapterStore
    from napari_fastsam3d.session import ModelThread

_COLUMNS: tuple[str, ...] = (
    "scan",
    "structure",
    "label",
    "volume_ml",
    "voxels",
    "predicted_iou",
    "mask",
    "error",
)
_SUFFIX = ".nii.gz"


def auto(
    scan: Annotated[Path, typer.Argument(help="A scan, or a folder of scans.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The label map; for a folder of scans, a folder."),
    ],
    structures: Annotated[
        str | None,
        typer.Option(help="Adapted structures, with commas between them; by default all."),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option("--csv", help="Volumes, a row a structure; for folders volumes.csv."),
    ] = None,
    model: Annotated[str, typer.Option(help="A model's name, or a file of weights.")] = "default",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    store: StoreOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """Segment adapted structures without a prompt, and tell their volumes.

    In a folder, a scan that cannot be read is told and passed over; what is there already in the
    folder of masks is not made again.
    """
    scans = _scans(scan)
    folder = len(scans) > 1 or (scan.is_dir() and scans != [scan])
    if folder:
        make_folder(output)
        table = table or output / "volumes.csv"
    else:
        check_output(output)
    wanted = None if structures is None else listed(structures)
    from napari_fastsam3d.cli.progress import progress_line
    from napari_fastsam3d.model.adapter_store import AdapterStore
    from napari_fastsam3d.session import ModelThread

    rows: list[dict[str, Any]] = []
    # Read before the first scan is written to it, and kept until each scan's turn has come.
    known = _known(table, scans)
    names = _mask_names(scans)
    with progress_line() as show, ModelThread(model, device) as thread:
        for number, path in enumerate(scans):
            show.step(f"segmenting {path.name}", number, len(scans))
            target = output / names[number] if folder else output
            before = known.pop(str(path), [])
            try:
                if before and target.exists():
                    rows += before
                else:
                    rows += _segmented(path, target, wanted, thread, AdapterStore(store))
            except FastSAM3DError as error:
                if not folder:
                    raise
                rows.append({"scan": str(path), "error": str(error)})
            if table is not None:
                _write(table, [*rows, *(row for of_scan in known.values() for row in of_scan)])
    typer.echo(json.dumps(rows, indent=2) if as_json else "\n".join(map(_line, rows)))


def _segmented(
    path: Path,
    target: Path,
    wanted: list[str] | None,
    thread: "ModelThread",
    store: "AdapterStore",
) -> list[dict[str, Any]]:
    """Segment one scan, and return its rows of the table."""
    from napari_fastsam3d.geometry import read_volume
    from napari_fastsam3d.session import Session

    volume = read_volume(path)
    with Session(volume, model=thread, adapters=store) as session:
        found = session.segment_automatically(wanted)
        session.wait()
        saved = session.save(target) if session.state.objects else None
        labels = {each.name: each.value for each in session.state.objects}
    return [
        {
            "scan": str(path),
            "structure": each.name,
            "label": labels.get(each.name, ""),
            "volume_ml": float(f"{each.mask.voxels.sum() * volume.voxel_mm3 / 1000:.6g}"),
            "voxels": int(each.mask.voxels.sum()),
            "predicted_iou": round(each.predicted_iou, 3),
            "mask": str(saved or ""),
            "error": "" if not each.mask.is_empty else "nothing was found",
        }
        for each in found
    ]


def _scans(path: Path) -> list[Path]:
    """Return the scan, or those of a folder, label files left out."""
    from napari_fastsam3d.geometry.source import SCAN_SUFFIXES

    if not path.exists():
        raise DataError(f"There is no {path}.", "Give a scan, or a folder of scans.")
    if path.is_file():
        return [path]
    names = [each for each in sorted(path.iterdir()) if not each.name.startswith(".")]
    files = [
        each
        for each in names
        if each.is_file()
        and each.name.lower().endswith(SCAN_SUFFIXES)
        and not each.name.lower().endswith(f"_seg{_SUFFIX}")
    ]
    slices = all(each.suffix.lower() in (".dcm", ".ima", ".dicom") for each in files)
    return [path] if not files or slices else files


def _mask_names(scans: list[Path]) -> list[str]:
    """Name the mask of each scan of a folder; where two would share one, as their whole names."""
    from napari_fastsam3d.geometry.source import scan_stem

    stems = [scan_stem(path.name).removesuffix("_img") for path in scans]
    often = Counter(map(str.lower, stems))
    return [
        f"{path.name if often[stem.lower()] > 1 else stem}_seg{_SUFFIX}"
        for path, stem in zip(scans, stems, strict=True)
    ]


def _known(table: Path | None, scans: list[Path]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of scans in a table that was written before.

    Those with an error are left out, and those that somebody damaged.
    """
    if table is None:
        return {}
    try:
        with table.open(encoding="utf-8", newline="") as file:
            rows = [
                {column: row[column] for column in _COLUMNS}
                for row in csv.DictReader(file)
                if _is_whole(row)
            ]
    except (OSError, csv.Error, UnicodeDecodeError):
        return {}
    of_scans = {str(path): [r for r in rows if r.get("scan") == str(path)] for path in scans}
    return {name: of for name, of in of_scans.items() if of}


def _is_whole(row: dict[str, str | None]) -> bool:
    try:
        volume = float(row["volume_ml"] or "")
    except (KeyError, ValueError):
        return False
    whole = all(row.get(column) is not None for column in _COLUMNS)
    return whole and isfinite(volume) and not row["error"]


def _write(table: Path, rows: list[dict[str, Any]]) -> None:
    from napari_fastsam3d.geometry.io.atomic_write import write_csv

    if not table.parent.is_dir():
        raise SaveError(f"There is no folder {table.parent}.", "Make it first.")
    write_csv(table.absolute(), _COLUMNS, rows)


def _line(row: dict[str, Any]) -> str:
    told = f"{row['scan']}: "
    if row.get("structure"):
        told += f"{row['structure']}, "
    return told + (row.get("error") or f"{float(row['volume_ml']):.1f} ml")
