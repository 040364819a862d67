"""Show that many objects in a large volume stay quick, and cost no memory but their masks'.

usage: python benchmarks/objects.py

Makes 32 objects of three clicks each in a 512 x 512 x 300 scan, with a model that answers at once
and a journal, and then clicks, renames and undoes among them. Fails where a click costs twice what
it cost with few objects, or where memory grew by more than a tenth of a volume-sized mask an
object.
"""

import gc
import statistics
import sys
import tempfile
import tracemalloc
from collections.abc import Callable
from time import perf_counter

import numpy as np
from instant_model import InstantModel

from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.session import Session

SHAPE = (512, 512, 300)
OBJECTS = 32
FEW = 4
RATIO_BOUND = 2.0
MIB = 2**20


def voxel_of(number: int, click: int) -> tuple[int, int, int]:
    """Return where an object, on a lattice in the volume, gets a click."""
    i, j, k = number % 4, number // 4 % 4, number // 16
    return 80 + 110 * i + 4 * click, 80 + 110 * j, 90 + 110 * k + 3 * click


def milliseconds(command: Callable[[], object]) -> float:
    began = perf_counter()
    command()
    return 1000 * (perf_counter() - began)


def click_in(session: Session, number: int) -> None:
    session.select_object(number)
    session.add_point(voxel_of(number - 1, 4))


def main() -> int:
    rng = np.random.default_rng(0)
    voxels = rng.integers(-200, 300, SHAPE, dtype=np.int16)
    volume = Volume.from_array(voxels, spacing=(0.8, 0.8, 1.0))
    with (
        tempfile.TemporaryDirectory() as folder,
        Session(volume, InstantModel(), journal=folder) as session,
    ):
        tracemalloc.start()
        made = [made_object(session, number) for number in range(OBJECTS)]
        gc.collect()
        held, peak = (size / MIB for size in tracemalloc.get_traced_memory())
        tracemalloc.stop()
        masks = sum(session.region(each.id).voxels.nbytes for each in session.state.objects) / MIB
        commands = {
            "select": lambda n: session.select_object(n),
            "next click": lambda n: click_in(session, n),
            "undo": lambda _: session.undo(),
            "rename": lambda n: session.rename_object(n, f"organ {n}"),
        }
        for name, command in commands.items():
            times = [
                milliseconds(lambda n=n, command=command: command(n)) for n in range(1, OBJECTS + 1)
            ]
            print(f"{name:<12} median {statistics.median(times):.1f} ms, most {max(times):.1f} ms")
        mapped = milliseconds(lambda: session.label_map(session.region(1).box))
        print(f"labels of one object's box {mapped:.1f} ms")
    few, many = (statistics.median(part) for part in (made[:FEW], made[-FEW:]))
    allowed = OBJECTS * volume.voxels.size / MIB / 10
    print(
        f"a click in the first {FEW} objects {few:.1f} ms, in the last {many:.1f} ms, both traced"
    )
    print(f"held {held:.1f} MiB for {OBJECTS} objects, at most {peak:.1f} MiB, the crops that are")
    print(f"remembered included; their masks alone {masks:.1f} MiB, and as volume-sized masks")
    print(f"{OBJECTS * volume.voxels.size / MIB:.0f} MiB")
    return 0 if many < RATIO_BOUND * few and held < allowed else 1


def made_object(session: Session, number: int) -> float:
    """Make an object by three clicks; return the median milliseconds of one."""
    session.new_object()
    return statistics.median(
        milliseconds(lambda click=click: session.add_point(voxel_of(number, click)))
        for click in range(3)
    )


if __name__ == "__main__":
    sys.exit(main())
