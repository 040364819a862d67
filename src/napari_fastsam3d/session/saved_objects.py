"""Under which names objects are saved, each to a file of its own, and which a file lacks."""

import re
from collections.abc import Sequence
from pathlib import Path

from napari_fastsam3d.geometry.io.segments import SEGMENTATION_SUFFIXES
from napari_fastsam3d.geometry.source import MASK_SUFFIXES, distinct_names
from napari_fastsam3d.session.state import ObjectState

_NAMED = 20
_NOT_IN_NAMES = re.compile(r"[^\w.-]+")


def paths_of_each(path: Path, objects: Sequence[ObjectState]) -> list[Path]:
    """Return a path beside `path` for each object, made of its name."""
    known = (*SEGMENTATION_SUFFIXES, *MASK_SUFFIXES)
    suffix = next((end for end in known if path.name.lower().endswith(end)), path.suffix)
    stem = path.name[: len(path.name) - len(suffix)]
    names = [_NOT_IN_NAMES.sub("_", each.name).strip("_.") or str(each.value) for each in objects]
    unique = distinct_names(names, [each.value for each in objects])
    return [path.with_name(f"{stem}_{name}{path.name[len(stem) :]}") for name in unique]


def left_out(
    objects: Sequence[ObjectState], empty: Sequence[int], overlapped: Sequence[int]
) -> str | None:
    """Say which objects a saved mask lacks, or shows without what was clicked for them.

    Parameters
    ----------
    objects : sequence of ObjectState
        All that were to be saved.
    empty, overlapped : sequence of int
        Ids of those that hold no voxel, and of those whose clicks all lie in other objects.

    Returns
    -------
    str or None
        A few sentences; None where there is nothing to say.
    """
    nothing = [each.name for each in objects if each.id in empty]
    elsewhere = [each.name for each in objects if each.id in overlapped]
    parts = [
        f"{_counted(nothing, 'is', 'are')} empty and not in what was saved: {_listed(nothing)}."
        if nothing
        else "",
        f"All that was clicked for {_listed(elsewhere)} lies in other objects, which keep it. Take "
        "those places over, or let newer objects overwrite older ones."
        if elsewhere
        else "",
    ]
    return " ".join(filter(None, parts)) or None


def _counted(names: Sequence[str], one: str, several: str) -> str:
    return f"1 object {one}" if len(names) == 1 else f"{len(names)} objects {several}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
