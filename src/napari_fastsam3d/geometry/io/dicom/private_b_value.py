"""The b-value of a diffusion image where the scanner wrote it in elements of its own.

The standard's Diffusion b-value (0018,9087) is often missing from single-frame images.
"""

import math
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom import Dataset

# By the makers' conformance statements: private creator, group, element in the creator's block.
_ELEMENTS = (
    ("SIEMENS MR HEADER", 0x0019, 0x0C),
    ("GEMS_PARM_01", 0x0043, 0x39),
    ("Philips Imaging DD 001", 0x2001, 0x03),
)
_BLOCKS = range(0x10, 0x20)
# GE counts its flags in multiples of this on top of the value.
_GE_FLAGS = 100_000
_FLOAT = struct.Struct("<f")

TAGS = [
    (group << 16) + element
    for _, group, own in _ELEMENTS
    for block in _BLOCKS
    for element in (block, (block << 8) + own)
]
"""Where the creators and their elements may stand."""


def private_b_value(found: "Dataset") -> float | None:
    """Return the b-value in s/mm² that Siemens, GE or Philips wrote; None where none did."""
    for creator, group, element in _ELEMENTS:
        try:
            value = found.private_block(group, creator)[element].value
        except KeyError:
            continue
        number = _number(value)
        if number is not None and number >= 0:
            return number % _GE_FLAGS if creator.startswith("GE") else number
    return None


def _number(value: Any) -> float | None:
    """Return the first number of an element."""
    try:
        if isinstance(value, bytes):
            value = _from_bytes(value)
        elif hasattr(value, "__iter__") and not isinstance(value, str):
            value = next(iter(value))
        number = float(value)
    except (TypeError, ValueError, OverflowError, StopIteration):
        return None
    return number if math.isfinite(number) else None


def _from_bytes(value: bytes) -> float:
    """Read what was sent on without its type: decimal digits, or a float of four bytes."""
    digits = value.partition(b"\\")[0].strip(b" \0")
    if len(value) == _FLOAT.size and not digits.isdigit():
        return float(_FLOAT.unpack(value)[0])
    return float(digits)
