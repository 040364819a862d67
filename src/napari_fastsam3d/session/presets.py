"""Names of organs, each with the label value that it commonly has."""

import csv
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Organ:
    """An organ of the preset list.

    Parameters
    ----------
    name : str
        What it is called.
    value : int
        Its value in label maps.
    """

    name: str
    value: int


def organs() -> tuple[Organ, ...]:
    """Return the preset list, in the order of its values.

    The values are those of TotalSegmentator's main task (its version 2), so that label maps of
    both can be compared; the list is the file `organs.csv` beside this module.
    """
    table = files("napari_fastsam3d.session").joinpath("organs.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(table.splitlines())
    return tuple(Organ(row["name"], int(row["value"])) for row in rows)
