"""Images of one or several DICOM files, sorted into volumes by what each says of itself."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.geometry.io.dicom.dimensions import DIMENSION, MARK_NAMES
from napari_fastsam3d.geometry.io.dicom.frame import DicomFrame
from napari_fastsam3d.geometry.io.dicom.grid import SliceFit
from napari_fastsam3d.geometry.io.dicom.header import PROJECTIONS

# Images whose cosines or spacings differ by no more are meant to lie in one stack.
_SAME_COSINE = 5e-3
_SAME_SPACING = 2e-3  # of the spacing

# Images that differ in these are never one volume, wherever they lie.
_SAME_CONTRAST = 0.05
_STACK = "StackID"
_CONTRASTS = (_STACK, "EffectiveEchoTime", "EchoTime", "DiffusionBValue")
_FILE = "file"

SameValues = Callable[[DicomFrame, DicomFrame], bool]


@dataclass(frozen=True, eq=False)
class Stack:
    """Images that make one volume, or what comes closest to one.

    Parameters
    ----------
    frames : tuple of DicomFrame
        At least one.
    part : str
        What sets it apart from other stacks of its series, in words; may be empty.
    copies : tuple of DicomFrame
        Images left out because another one at their place is the same.
    """

    frames: tuple[DicomFrame, ...]
    part: str = ""
    copies: tuple[DicomFrame, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of its images and of their copies, each once."""
        return tuple(dict.fromkeys(each.path for each in (*self.frames, *self.copies)))

    @property
    def is_scan(self) -> bool:
        """Whether it is what a user wants to see first: no single image, scout or dose."""
        first = self.frames[0]
        return (
            len(self.frames) > 1
            and first.position is not None
            and first.header.grey
            and not first.localizer
            and first.header.modality != "RTDOSE"
        )

    @property
    def plane(self) -> str:
        """Which of the three standard planes its images lie closest to."""
        normal = np.cross(*self.frames[0].directions)
        return ("sagittal", "coronal", "axial")[int(np.abs(normal).argmax())]


def sort_into_stacks(frames: Iterable[DicomFrame], same_values: SameValues) -> list[Stack]:
    """Return the volumes that images make, whatever the order in which they come.

    Parameters
    ----------
    frames : iterable of DicomFrame
        Of any number of series.
    same_values : callable
        Whether two images at one place hold the same values; asked only where nothing in their
        headers tells them apart.
    """
    kinds: defaultdict[tuple[Any, ...], list[DicomFrame]] = defaultdict(list)
    for each in frames:
        kinds[_kind(each)].append(each)
    stacks: list[Stack] = []
    for kind in sorted(kinds, key=repr):
        for alike in _alike(sorted(kinds[kind], key=lambda each: (each.path, each.number))):
            stacks.extend(_stacks_of(alike, same_values))
    return stacks


def _kind(frame: DicomFrame) -> tuple[Any, ...]:
    """Return what images of one volume have in common, to the letter."""
    header = frame.header
    alone = frame.position is None and header.modality in PROJECTIONS
    return (
        header.series,
        header.size,
        header.grey,
        header.mosaic,
        frame.localizer,
        frame.position is None,
        frame.spacing is None,
        str(header.path) if alone else "",
    )


def _alike(frames: list[DicomFrame]) -> list[list[DicomFrame]]:
    """Part images by how they are turned and how large their pixels are, noise aside."""
    if frames[0].position is None:
        return [frames]
    traits = np.array([_traits(each) for each in frames])
    groups: list[list[int]] = []
    for n in np.lexsort(traits.T[::-1]).tolist():  # by value, not by the order of the files
        near = (g for g in groups if np.abs(traits[n] - traits[g[0]]).max() <= 1)
        group = next(near, None)
        if group is None:
            groups.append([n])
        else:
            group.append(n)
    return [[frames[n] for n in sorted(group)] for group in groups]


def _traits(frame: DicomFrame) -> NDArray[np.float64]:
    spacing = np.ones(2) if frame.spacing is None else frame.spacing
    return np.concatenate(
        [frame.directions.ravel() / _SAME_COSINE, np.log(spacing) / _SAME_SPACING]
    )


def _stacks_of(alike: list[DicomFrame], same_values: SameValues) -> list[Stack]:
    if alike[0].position is None:
        return [Stack(tuple(alike))]
    kept, copies = _without_copies(alike, same_values, _told_apart_by)
    stacks: list[Stack] = []
    for part, words in _parts(kept):
        marks = set(map(_told_apart_by, part))
        same = [each for each in copies if _told_apart_by(each) in marks]
        if SliceFit.of(part).overlaps:
            # A slice sent again may have other times and numbers, and is a copy all the same.
            part, more = _without_copies(part, same_values, lambda _: ())
            same += more
        stacks.append(Stack(tuple(part), ", ".join(words), tuple(same)))
    return stacks


def _without_copies(
    frames: list[DicomFrame],
    same_values: SameValues,
    told_apart_by: Callable[[DicomFrame], tuple[Any, ...]],
) -> tuple[list[DicomFrame], list[DicomFrame]]:
    kept: list[DicomFrame] = []
    copies: list[DicomFrame] = []
    places = SliceFit.of(frames).places_of(frames)
    seen: defaultdict[tuple[Any, ...], list[DicomFrame]] = defaultdict(list)
    # The shortest name first, for copies are named "x copy" or "x (1)".
    for n in sorted(range(len(frames)), key=lambda n: (len(frames[n].path.name), n)):
        each = frames[n]
        before = seen[(places[n], *told_apart_by(each))]
        if any(same_values(one, each) for one in before):
            copies.append(each)
        else:
            kept.append(each)
            before.append(each)
    return kept, copies


def _told_apart_by(frame: DicomFrame) -> tuple[Any, ...]:
    return (*((name, value) for name, (value, _) in frame.marks.items()), *frame.times.items())


def _parts(frames: list[DicomFrame]) -> list[tuple[list[DicomFrame], tuple[str, ...]]]:
    """Part images of one plane into volumes, by what tells them apart where that is needed."""
    for name in _CONTRASTS:
        parts = _parted(frames, name)
        sizes = [len(part) for part, _ in parts]
        # A file may number its slices as stacks, and forget the echo time of one.
        several = len(parts) > 1 and (max(sizes) if name == _STACK else min(sizes)) > 1
        if several and not _is_jitter(frames, name):
            return _further(parts)
    fit = SliceFit.of(frames)
    if fit.overlaps:
        return _parts_at_one_place(frames, fit)
    if fit.is_even:
        return [(frames, ())]
    for name in _names(frames):
        parts = _parted(frames, name)
        fits = [SliceFit.of(part) for part, _ in parts]
        if len(parts) > 1 and all(len(f.frames) > 1 and f.is_even and not f.missing for f in fits):
            return parts
    return [(frames, ())]


def _parts_at_one_place(
    frames: list[DicomFrame], fit: "SliceFit"
) -> list[tuple[list[DicomFrame], tuple[str, ...]]]:
    places = fit.places_of(frames)
    most = (int(places.max()) + 1) / 2
    place_of = dict(zip(map(id, frames), places.tolist(), strict=True))
    for name in _names(frames):
        parts = _parted(frames, name)
        if len(parts) > 1 and all(len({place_of[id(f)] for f in p}) > most for p, _ in parts):
            return _further(parts)
    return _parts_by_time(frames, places) or [(frames, ())]


def _is_jitter(frames: list[DicomFrame], name: str) -> bool:
    """Whether an attribute differs by so little that it means no other contrast."""
    values = [each.marks[name][0][0] for each in frames if name in each.marks]
    if len(values) < len(frames) or not all(isinstance(each, float) for each in values):
        return False
    return max(values) - min(values) <= _SAME_CONTRAST * max(values)


def _further(
    parts: list[tuple[list[DicomFrame], tuple[str, ...]]],
) -> list[tuple[list[DicomFrame], tuple[str, ...]]]:
    return [(smaller, (*words, *more)) for part, words in parts for smaller, more in _parts(part)]


def _parted(frames: list[DicomFrame], name: str) -> list[tuple[list[DicomFrame], tuple[str, ...]]]:
    """Part images by one attribute, in the order of its values; those without it come first."""
    parts: defaultdict[tuple[Any, ...], list[DicomFrame]] = defaultdict(list)
    for each in frames:
        parts[_value(each, name)].append(each)
    ordered = sorted(parts, key=_order)
    return [(parts[value], (_words(parts[value][0], name),)) for value in ordered]


def _names(frames: list[DicomFrame]) -> list[str]:
    names = {name for each in frames for name in each.marks}
    declared = sorted(name for name in names if name.startswith(DIMENSION))
    return [*(name for name in MARK_NAMES if name in names), *declared, _FILE]


def _value(frame: DicomFrame, name: str) -> tuple[Any, ...]:
    if name == _FILE:
        return (str(frame.path),) if frame.header.frames > 1 else ()
    return frame.marks[name][0] if name in frame.marks else ()


def _words(frame: DicomFrame, name: str) -> str:
    if name == _FILE:
        return frame.path.name
    return frame.marks[name][1] if name in frame.marks else f"no {name}"


def _order(value: tuple[Any, ...]) -> tuple[Any, ...]:
    """Sort numbers, also those that are written as text, before text."""
    keys: list[tuple[int, float, str]] = []
    for each in value:
        try:
            keys.append((0, float(each), ""))
        except ValueError:
            keys.append((1, 0.0, str(each)))
    return tuple(keys)


def _parts_by_time(
    frames: list[DicomFrame], places: NDArray[np.intp]
) -> list[tuple[list[DicomFrame], tuple[str, ...]]]:
    """Part images by which one at its place was taken first, second and so on.

    Empty where the places hold unequal numbers of images, or no time tells them apart.
    """
    counts = np.bincount(places)
    if counts.min() != counts.max():
        return []
    for name in frames[0].times:
        if not all(name in each.times for each in frames):
            continue
        times = np.array([each.times[name] for each in frames])
        order = np.lexsort((times, places)).reshape(-1, counts[0])
        if (np.diff(times[order], axis=1) > 0).all():
            return [
                ([frames[n] for n in turn], (f"time {at}",))
                for at, turn in enumerate(order.T.tolist(), 1)
            ]
    return []
