"""What labels are called, in the tables that files carry."""

import html
import json
import re
from collections.abc import Iterable, Mapping

from napari_fastsam3d.geometry.io.json_text import parse_json

_CARET = re.compile(r'<Label\s[^>]*?\bKey="(\d{1,9})"[^>]*>\s*(?:<!\[CDATA\[)?([^<\]]*)')
_VALUE = re.compile(r"\d{1,9}")
_SEGMENT = re.compile(r"Segment(\d+)_(Name|LabelValue)")


def encoded_names(names: Mapping[int, str]) -> str:
    """Return a table of labels as JSON of value to name, in ASCII."""
    return json.dumps({str(value): name for value, name in names.items()}, ensure_ascii=True)


def names_in_texts(texts: Iterable[str]) -> dict[int, str]:
    """Return the names in tables: JSON of value to name, or XML of Caret, as TotalSegmentator has.

    Parameters
    ----------
    texts : iterable of str
        Those that are something else count for nothing.
    """
    names: dict[int, str] = {}
    for text in texts:
        names.update(_table(text.rstrip("\x00")))
    return names


def names_of_segments(keys: Mapping[str, str]) -> dict[int, str]:
    """Return the names in the keys of a segmentation by 3D Slicer (``Segment0_Name``, ...)."""
    told: dict[str, dict[str, str]] = {}
    for key, value in keys.items():
        found = _SEGMENT.fullmatch(key)
        if found:
            told.setdefault(found[1], {})[found[2]] = value.strip()
    return {
        int(each["LabelValue"]): readable(each["Name"])
        for each in told.values()
        if each.get("Name") and _VALUE.fullmatch(each.get("LabelValue", ""))
    }


def readable(text: str) -> str:
    """Return a text of a header with what is no UTF-8 in it read as Latin-1."""
    raw = text.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _table(text: str) -> dict[int, str]:
    try:
        told = parse_json(text)
        return {int(value): str(name) for value, name in told.items()}
    except (ValueError, AttributeError):
        found = _CARET.findall(text)
        return {int(value): html.unescape(name.strip()) for value, name in found}
