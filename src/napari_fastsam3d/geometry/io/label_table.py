"""The table of names and colours that ITK-SNAP reads beside a label map."""

import os
from collections.abc import Sequence
from pathlib import Path

from napari_fastsam3d.errors import SaveError
from napari_fastsam3d.geometry.io.atomic_write import replacing
from napari_fastsam3d.geometry.io.segment import Segment

_HEADER = """\
################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
# Where:
#    IDX:   Zero-based index
#    -R-:   Red color component (0..255)
#    -G-:   Green color component (0..255)
#    -B-:   Blue color component (0..255)
#    -A-:   Label transparency (0.00 .. 1.00)
#    VIS:   Label visibility (0 or 1)
#    IDX:   Label mesh visibility (0 or 1)
#  LABEL:   Label description
################################################
    0     0    0    0        0  0  0    "Clear Label"
"""


def save_label_table(path: str | os.PathLike[str], segments: Sequence[Segment]) -> Path:
    """Write names and colours as ITK-SNAP's "label description file".

    Parameters
    ----------
    path : path
        Ending in .txt or .label; in ITK-SNAP, *Segmentation > Import Label Descriptions* opens it.
    segments : sequence of Segment
        By their values; masks are not needed.

    Raises
    ------
    SaveError
        If it can't be written.
    """
    target = Path(path).expanduser().absolute()
    if target.suffix.lower() not in (".txt", ".label"):
        raise SaveError(
            f"A label table cannot be written as {target.name}.", "Use a name ending in .txt."
        )
    with replacing(target, target.suffix) as temporary:
        lines = [_line(each) for each in sorted(segments, key=lambda each: each.value)]
        temporary.write_text(_HEADER + "".join(lines), encoding="utf-8", newline="\n")
    return target


def _line(each: Segment) -> str:
    red, green, blue = (round(255 * part) for part in each.colour or (0.9, 0.7, 0.3))
    # The table knows no way to write a quote within quotes.
    name = " ".join(each.name.replace('"', "'").split())
    return f'{each.value:5d} {red:5d}{green:5d}{blue:5d}        1  1  1    "{name}"\n'
