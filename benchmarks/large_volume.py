"""Show that the cost of a click does not grow with the volume.

usage: python benchmarks/large_volume.py [MODEL]

Clicks into a 512 x 512 x 600 int16 scan and into a 160 x 160 x 160 cut of the same scan, each in a
process of its own, and compares the clicks' medians and the peak memory. The scan is the torso
phantom, tiled; nothing is read from the network. Fails when a bound of the project is broken.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

LARGE = (512, 512, 600)
SMALL = (160, 160, 160)
RATIO_BOUND = 1.3
MEMORY_BOUND = "2.5 x volume + 1.5 GiB"
GIB = 2**30


def make(folder: Path) -> dict[str, list[int]]:
    """Write the two scans, compressed as they come from a hospital; give where to click in each.

    Both clicks fall on the same voxel of the same liver: the small scan is cut out of the large
    one around it, so that the model sees the same.
    """
    import nibabel as nib
    import numpy as np

    from napari_fastsam3d.geometry import torso_phantom

    volume, labels, names = torso_phantom(spacing=(1.5, 1.5, 1.5))
    tile = np.asarray(volume.voxels).astype(np.int16)
    repeats = [-(-wanted // have) for wanted, have in zip(LARGE, tile.shape, strict=True)]
    large = np.tile(tile, repeats)[tuple(slice(n) for n in LARGE)]
    liver = next(value for value, name in names.items() if name == "liver")
    middle = np.argwhere(labels == liver).mean(axis=0).astype(int)
    last = np.array(LARGE) - SMALL
    centre = middle + tile.shape * ((last + 80 - middle) // tile.shape)
    corner = np.clip(centre - 80, 0, last)
    small = large[tuple(slice(at, at + n) for at, n in zip(corner, SMALL, strict=True))]
    affine = np.diag([1.5, 1.5, 1.5, 1.0])
    nib.Nifti1Image(large, affine).to_filename(folder / "large.nii.gz")
    nib.Nifti1Image(small, affine).to_filename(folder / "small.nii.gz")
    return {"large": centre.tolist(), "small": (centre - corner).tolist()}


def click(scan: Path, centre: list[int], model: str, runs: int) -> dict[str, float]:
    """Open a scan, click around a voxel, save the mask; give milliseconds and MiB."""
    import time

    import napari_fastsam3d as fs
    from napari_fastsam3d.cli.bench import peak_memory
    from napari_fastsam3d.geometry import read_volume
    from napari_fastsam3d.session import ModelThread

    began = time.perf_counter()
    volume = read_volume(scan)
    opened = time.perf_counter() - began
    i, j, k = centre
    first: list[float] = []
    later: list[float] = []
    with ModelThread(model) as thread:
        for _ in range(runs):
            with fs.Session(volume, model=thread) as session:
                first.append(session.add_point((i, j, k)).milliseconds)
                for shift in (3, 6, 9, 12):
                    later.append(session.add_point((i + shift, j, k)).milliseconds)
                session.save(scan.with_name(f"mask_of_{scan.name}"))
    return {
        "opening": 1000 * opened,
        "first click": statistics.median(first[1:]),
        "next click": statistics.median(later[4:]),
        "peak memory": peak_memory() or 0.0,
        "voxel bytes": float(volume.voxels.nbytes),
    }


def measured(*arguments: str) -> Any:
    """Run one part of this script in a process of its own, so that its peak memory is its own."""
    command = [sys.executable, __file__, *arguments]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(answer.stdout.splitlines()[-1])


def report(small: dict[str, float], large: dict[str, float]) -> bool:
    """Print the table; tell whether every bound holds."""
    from rich.console import Console
    from rich.table import Table

    table = Table("", *(" x ".join(map(str, shape)) for shape in (SMALL, LARGE)), "ratio", "bound")
    held = True
    for row in ("opening", "first click", "next click"):
        ratio = large[row] / small[row]
        bounded = row != "opening"
        held &= not bounded or ratio <= RATIO_BOUND
        times = (f"{small[row]:.0f} ms", f"{large[row]:.0f} ms")
        table.add_row(row, *times, f"{ratio:.2f}", f"<= {RATIO_BOUND}" if bounded else "")
    allowed = 2.5 * large["voxel bytes"] / GIB + 1.5
    peaks = [side["peak memory"] / 1024 for side in (small, large)]
    held &= peaks[1] <= allowed
    memory = (f"{peak:.2f} GiB" for peak in peaks)
    table.add_row("peak memory", *memory, "", f"<= {allowed:.2f} GiB = {MEMORY_BOUND}")
    Console().print(table)
    return held


def main(model: str) -> int:
    with tempfile.TemporaryDirectory() as name:
        print("making the scans ...", file=sys.stderr)
        centres = measured("make", name)
        print("clicking ...", file=sys.stderr)
        small, large = (
            measured("click", f"{name}/{size}.nii.gz", json.dumps(centres[size]), model)
            for size in ("small", "large")
        )
    return 0 if report(small, large) else 1


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["make", folder]:
            print(json.dumps(make(Path(folder))))
        case ["click", scan, centre, model]:
            print(json.dumps(click(Path(scan), json.loads(centre), model, runs=5)))
        case [model]:
            sys.exit(main(model))
        case _:
            sys.exit(main("default"))
