"""What tells DICOM images of one series at one place apart: time, echo, kind and the like."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from napari_fastsam3d.geometry.io.dicom.element import (
    item_of,
    items_of,
    number_of,
    text_of,
    values_of,
)
from napari_fastsam3d.geometry.io.dicom.private_b_value import TAGS, private_b_value

if TYPE_CHECKING:
    from pydicom import Dataset

Mark = tuple[tuple[Any, ...], str]  # a value to compare, and the words for it
_B_VALUE = "DiffusionBValue"
DIMENSION = "dimension"  # begins the names of marks that the file itself declares

# Attributes by which images of one series at one place differ, the most telling first; those of
# functional groups stand under the sequence that holds them. (name, sequences, words, decimals)
_MARKS: tuple[tuple[str, tuple[str, ...], str, int | None], ...] = (
    ("StackID", ("FrameContentSequence",), "stack {}", None),
    ("TemporalPositionIndex", ("FrameContentSequence",), "time {}", None),
    ("TemporalPositionIdentifier", (), "time {}", None),
    ("EffectiveEchoTime", ("MREchoSequence",), "TE {} ms", 2),
    ("EchoTime", ("MRTimingAndRelatedParametersSequence",), "TE {} ms", 2),
    ("EchoNumbers", (), "echo {}", None),
    (_B_VALUE, ("MRDiffusionSequence",), "b = {}", 1),
    (
        "DiffusionGradientOrientation",
        ("MRDiffusionSequence", "DiffusionGradientDirectionSequence"),
        "gradient {}",
        4,
    ),
    ("InversionTime", (), "TI {} ms", 1),
    ("InversionTimes", ("MRModifierSequence",), "TI {} ms", 1),
    ("FlipAngle", ("MRTimingAndRelatedParametersSequence",), "flip angle {}", 1),
    ("RepetitionTime", ("MRTimingAndRelatedParametersSequence",), "TR {} ms", 0),
    ("ImageType", (), "{}", None),
    ("FrameType", ("MRImageFrameTypeSequence",), "{}", None),
    ("FrameType", ("CTImageFrameTypeSequence",), "{}", None),
    ("FrameType", ("PETFrameTypeSequence",), "{}", None),
    ("ComplexImageComponent", ("MRImageFrameTypeSequence",), "{}", None),
    ("ConvolutionKernel", ("CTReconstructionSequence",), "kernel {}", None),
    ("KVP", ("CTXRayDetailsSequence",), "{} kV", 0),
    (
        "NominalPercentageOfCardiacPhase",
        ("CardiacSynchronizationSequence",),
        "{} % of the heart's cycle",
        0,
    ),
    (
        "NominalPercentageOfRespiratoryPhase",
        ("RespiratorySynchronizationSequence",),
        "{} % of the breath",
        0,
    ),
    ("ContrastBolusAgent", (), "contrast {}", None),
    ("AcquisitionNumber", (), "acquisition {}", None),
)
MARK_NAMES = tuple(dict.fromkeys(name for name, *_ in _MARKS))
# Times that may differ from slice to slice: their order at one place tells images apart.
_TIMES = (
    "TriggerTime",
    "NominalCardiacTriggerDelayTime",
    "TemporalPositionTimeOffset",
    "FrameReferenceTime",
    "FrameReferenceDateTime",
    "AcquisitionDateTime",
    "FrameAcquisitionDateTime",
    "AcquisitionTime",
    "ContentTime",
)
_CLOCKS = ("DateTime", "AcquisitionTime", "ContentTime")  # the others are milliseconds
_TIME_SEQUENCES = (
    "CardiacSynchronizationSequence",
    "TemporalPositionSequence",
    "FrameContentSequence",
)

# The elements of a file from which marks and times are made.
ATTRIBUTES = (
    *MARK_NAMES,
    *dict.fromkeys(sequences[0] for _, sequences, *_ in _MARKS if sequences),
    *_TIMES,
    *("AcquisitionDate", "ContentDate", "DimensionIndexSequence"),
    *TAGS,
)


class FunctionalGroups:
    """What a multi-frame file says of one frame: its own groups before those all frames share.

    Parameters
    ----------
    own, shared : Dataset or None
        Items of the sequences of functional groups.
    """

    def __init__(self, own: "Dataset | None", shared: "Dataset | None") -> None:
        self._holders = (own, shared)

    def find(self, keyword: str) -> "Dataset | None":
        """Return the item of a group."""
        found = (item_of(holder, keyword) for holder in self._holders)
        return next((each for each in found if each is not None), None)


def declared_dimensions(found: "Dataset") -> list[str]:
    """Return, in words, by what a multi-frame file says that its frames differ."""
    from pydicom.datadict import dictionary_description

    names: list[str] = []
    for item in items_of(found, "DimensionIndexSequence"):
        try:
            names.append(dictionary_description(item.get("DimensionIndexPointer")).lower())
        except (KeyError, TypeError, ValueError):
            names.append(DIMENSION)
    return names


def marks_of(
    found: "Dataset", groups: FunctionalGroups | None = None, dimensions: Sequence[str] = ()
) -> dict[str, Mark]:
    """Return the marks of an image by the names of their attributes.

    Parameters
    ----------
    found : Dataset
        Of the file.
    groups : FunctionalGroups, optional
        Of the frame, in a multi-frame file.
    dimensions : sequence of str
        What the Dimension Index Values of the frame count.
    """
    marks: dict[str, Mark] = {}
    for name, sequences, words, digits in _MARKS:
        mark = _mark(found, name, words, digits)
        if groups is not None and sequences:
            holder = groups.find(sequences[0])
            for keyword in sequences[1:]:
                holder = item_of(holder, keyword)
            mark = _mark(holder, name, words, digits) or mark
        if mark is None and name == _B_VALUE:
            mark = _private_b_value(found, words)
        if mark is not None:
            marks[name] = mark
    content = None if groups is None else groups.find("FrameContentSequence")
    indices = values_of(content, "DimensionIndexValues")
    for n, index in enumerate(indices):
        words = dimensions[n] if n < len(dimensions) else DIMENSION
        marks[f"{DIMENSION} {n}"] = ((index,), f"{words} {index}")
    return marks


def times_of(found: "Dataset", groups: FunctionalGroups | None = None) -> dict[str, float]:
    """Return when an image was taken, by the names of the attributes that say so."""
    holders = [found]
    if groups is not None:
        holders += [each for each in map(groups.find, _TIME_SEQUENCES) if each is not None]
    times: dict[str, float] = {}
    for holder in holders:
        for name in _TIMES:
            time = _time(holder, name)
            if time is not None:
                times[name] = time
    return times


def _mark(holder: "Dataset | None", name: str, words: str, digits: int | None) -> Mark | None:
    values = values_of(holder, name)
    if not values:
        return None
    if digits is None:
        values = [str(each).strip() for each in values]
        return tuple(values), words.format(" ".join(values))
    try:
        values = [round(float(each), digits) + 0.0 for each in values]
    except (TypeError, ValueError, OverflowError):
        return None
    return tuple(values), words.format(" ".join(f"{each:g}" for each in values))


def _private_b_value(found: "Dataset", words: str) -> Mark | None:
    value = private_b_value(found)
    return None if value is None else ((round(value, 1),), words.format(f"{value:g}"))


def _time(holder: "Dataset", name: str) -> float | None:
    if not name.endswith(_CLOCKS):
        return number_of(holder, name)
    date, clock = "", text_of(holder, name)
    if name.endswith("DateTime"):
        date, clock = clock[:8], clock[8:21]
    elif clock:
        date = text_of(holder, name.replace("Time", "Date"))
    return _seconds(date, clock)


def _seconds(date: str, clock: str) -> float | None:
    """Return seconds that order moments of one or several days, and no more than that."""
    digits = clock.partition("+")[0].partition("-")[0].replace(":", "")
    try:
        hours, minutes, seconds = int(digits[:2]), int(digits[2:4] or 0), float(digits[4:] or 0)
        return (int(date or 0) * 24 + hours) * 3600.0 + minutes * 60 + seconds
    except ValueError:
        return None
