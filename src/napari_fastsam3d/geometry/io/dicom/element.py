"""Values of DICOM elements; what is missing or malformed is empty or None, and nothing raises."""

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.tag import BaseTag


def items_of(holder: "Dataset | None", keyword: str) -> "list[Dataset]":
    """Return the items of a sequence."""
    return values_of(holder, keyword)


def item_of(holder: "Dataset | None", keyword: str) -> "Dataset | None":
    """Return the first item of a sequence."""
    return next(iter(items_of(holder, keyword)), None)


def values_of(holder: "Dataset | None", keyword: str) -> list[Any]:
    """Return the values of an element, of which there may be several."""
    tag = _tag(keyword)
    if holder is None or tag not in holder:  # most are missing, and asking is quick
        return []
    try:
        found = holder[tag].value
    except (TypeError, ValueError, OverflowError):
        return []
    if found is None or isinstance(found, bytes) or found == "":
        return []
    many = hasattr(found, "__iter__") and not isinstance(found, str)
    return [*found] if many else [found]


@cache
def _tag(keyword: str) -> "BaseTag":
    from pydicom.tag import Tag

    return Tag(keyword)


def numbers_of(holder: "Dataset | None", keyword: str, count: int) -> NDArray[np.float64] | None:
    """Return so many finite numbers, or None if the file doesn't say so many."""
    try:
        found = np.array([float(each) for each in values_of(holder, keyword)])
    except (TypeError, ValueError, OverflowError):
        return None
    return found if found.shape == (count,) and np.isfinite(found).all() else None


def number_of(holder: "Dataset | None", keyword: str) -> float | None:
    """Return one finite number."""
    found = numbers_of(holder, keyword, 1)
    return None if found is None else float(found[0])


def whole_of(holder: "Dataset | None", keyword: str) -> int | None:
    """Return one number, cut to a whole one."""
    found = number_of(holder, keyword)
    return None if found is None else int(found)


def text_of(holder: "Dataset | None", keyword: str) -> str:
    """Return an element as text, several values with backslashes between them."""
    found = "\\".join(str(each) for each in values_of(holder, keyword))
    return found.encode("utf-8", "replace").decode("utf-8").strip(" \x00")
