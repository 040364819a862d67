"""Images of one or several DICOM files, sorted into volumes by what each says of itself."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry.io.dicom.dimensions import DIMENSION, MARK_NAMES
from napari_fastsam3d.geometry.io.dicom.header import PROJECTIONS, Frame

EXPORT = "Export the whole series again."

# Images whose cosines or spacings differ by no more are meant to lie in one stack.
_SAME_COSINE = 5e-3
_SAME_SPACING = 2e-3  # of the spacing
_SAME_PLACE = (0.005, 0.05)  # of the width of a pixel, and between these
_SAME_PLACE_OF_GAP = 0.1  # of the largest distance between images
_SILENT_UNEVENNESS = 0.02  # of the distance between slices
_LARGEST_UNEVENNESS = 0.1
_SILENT_MISFIT = 0.1  # of the width of a pixel, at the corner that is farthest off
_LARGEST_MISFIT = 1.0
_MISSING_SHARE = 0.1

# Images that differ in these are never one volume, wherever they lie.
_SAME_CONTRAST = 0.05
_STACK = "StackID"
_CONTRASTS = (_STACK, "EffectiveEchoTime", "EchoTime", "DiffusionBValue")
_FILE = "file"

SameValues = Callable[[Frame, Frame], bool]


@dataclass(frozen=True, eq=False)
class Stack:
    """Images that make one volume, or what comes closest to one.

    Parameters
    ----------
    frames : tuple of Frame
        At least one.
    part : str
        What sets it apart from other stacks of its series, in words; may be empty.
    copies : tuple of Frame
        Images left out because another one at their place is the same.
    """

    frames: tuple[Frame, ...]
    part: str = ""
    copies: tuple[Frame, ...] = ()

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


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the images of a stack lie.

    Parameters
    ----------
    frames : tuple of Frame
        Along the normal of the image plane.
    places : ndarray of int, shape (N,)
        The slice index of each, from 0; leaves out those that are missing.
    steps : ndarray, shape (3, 3)
        To the next column, row and slice in LPS mm, one a column.
    origin : ndarray, shape (3,)
        LPS mm of the first voxel of the first slice.
    notes : tuple of str
        What is missing, uneven or assumed.
    """

    frames: tuple[Frame, ...]
    places: NDArray[np.intp]
    steps: NDArray[np.float64]
    origin: NDArray[np.float64]
    notes: tuple[str, ...] = ()


def sort_into_stacks(frames: Iterable[Frame], same_values: SameValues) -> list[Stack]:
    """Return the volumes that images make, whatever the order in which they come.

    Parameters
    ----------
    frames : iterable of Frame
        Of any number of series.
    same_values : callable
        Whether two images at one place hold the same values; asked only where nothing in their
        headers tells them apart.
    """
    kinds: defaultdict[tuple[Any, ...], list[Frame]] = defaultdict(list)
    for each in frames:
        kinds[_kind(each)].append(each)
    stacks: list[Stack] = []
    for kind in sorted(kinds, key=repr):
        for alike in _alike(sorted(kinds[kind], key=lambda each: (each.path, each.number))):
            stacks.extend(_stacks_of(alike, same_values))
    return stacks


def arrange(frames: Sequence[Frame], name: str) -> Grid:
    """Return where the images of one stack lie.

    Raises
    ------
    VolumeError
        If they do not say where, or do not make a regular grid.
    """
    _check_frames(frames, name)
    if len(frames) == 1:
        return _single(frames[0], name)
    fit = _Fit.of(frames)
    if fit.overlaps:
        raise VolumeError(
            f"{name} holds several images at the same place that nothing tells apart, such as "
            f"{' and '.join(_told(each) for each in fit.first_pair())}.",
            "Put the files of one volume into a folder of their own.",
        )
    _check_fit(fit, name)
    notes = (*fit.notes(), *_spacing_notes(frames, fit), *_header_notes(frames))
    return Grid(fit.frames, fit.places, fit.steps, fit.positions[0], notes)


def _kind(frame: Frame) -> tuple[Any, ...]:
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


def _alike(frames: list[Frame]) -> list[list[Frame]]:
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


def _traits(frame: Frame) -> NDArray[np.float64]:
    spacing = np.ones(2) if frame.spacing is None else frame.spacing
    return np.concatenate(
        [frame.directions.ravel() / _SAME_COSINE, np.log(spacing) / _SAME_SPACING]
    )


def _stacks_of(alike: list[Frame], same_values: SameValues) -> list[Stack]:
    if alike[0].position is None:
        return [Stack(tuple(alike))]
    kept, copies = _without_copies(alike, same_values, _told_apart_by)
    stacks: list[Stack] = []
    for part, words in _parts(kept):
        marks = set(map(_told_apart_by, part))
        same = [each for each in copies if _told_apart_by(each) in marks]
        if _Fit.of(part).overlaps:
            # A slice sent again may have other times and numbers, and is a copy all the same.
            part, more = _without_copies(part, same_values, lambda _: ())
            same += more
        stacks.append(Stack(tuple(part), ", ".join(words), tuple(same)))
    return stacks


def _without_copies(
    frames: list[Frame], same_values: SameValues, told_apart_by: Callable[[Frame], tuple[Any, ...]]
) -> tuple[list[Frame], list[Frame]]:
    kept: list[Frame] = []
    copies: list[Frame] = []
    places = _Fit.of(frames).places_of(frames)
    seen: defaultdict[tuple[Any, ...], list[Frame]] = defaultdict(list)
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


def _told_apart_by(frame: Frame) -> tuple[Any, ...]:
    return (*((name, value) for name, (value, _) in frame.marks.items()), *frame.times.items())


def _parts(frames: list[Frame]) -> list[tuple[list[Frame], tuple[str, ...]]]:
    """Part images of one plane into volumes, by what tells them apart where that is needed."""
    for name in _CONTRASTS:
        parts = _parted(frames, name)
        sizes = [len(part) for part, _ in parts]
        # A file may number its slices as stacks, and forget the echo time of one.
        several = len(parts) > 1 and (max(sizes) if name == _STACK else min(sizes)) > 1
        if several and not _is_jitter(frames, name):
            return _further(parts)
    fit = _Fit.of(frames)
    if fit.overlaps:
        return _parts_at_one_place(frames, fit)
    if fit.is_even:
        return [(frames, ())]
    for name in _names(frames):
        parts = _parted(frames, name)
        fits = [_Fit.of(part) for part, _ in parts]
        if len(parts) > 1 and all(len(f.frames) > 1 and f.is_even and not f.missing for f in fits):
            return parts
    return [(frames, ())]


def _parts_at_one_place(
    frames: list[Frame], fit: "_Fit"
) -> list[tuple[list[Frame], tuple[str, ...]]]:
    places = fit.places_of(frames)
    most = (int(places.max()) + 1) / 2
    place_of = dict(zip(map(id, frames), places.tolist(), strict=True))
    for name in _names(frames):
        parts = _parted(frames, name)
        if len(parts) > 1 and all(len({place_of[id(f)] for f in p}) > most for p, _ in parts):
            return _further(parts)
    return _parts_by_time(frames, places) or [(frames, ())]


def _is_jitter(frames: list[Frame], name: str) -> bool:
    """Whether an attribute differs by so little that it means no other contrast."""
    values = [each.marks[name][0][0] for each in frames if name in each.marks]
    if len(values) < len(frames) or not all(isinstance(each, float) for each in values):
        return False
    return max(values) - min(values) <= _SAME_CONTRAST * max(values)


def _further(
    parts: list[tuple[list[Frame], tuple[str, ...]]],
) -> list[tuple[list[Frame], tuple[str, ...]]]:
    return [(smaller, (*words, *more)) for part, words in parts for smaller, more in _parts(part)]


def _parted(frames: list[Frame], name: str) -> list[tuple[list[Frame], tuple[str, ...]]]:
    """Part images by one attribute, in the order of its values; those without it come first."""
    parts: defaultdict[tuple[Any, ...], list[Frame]] = defaultdict(list)
    for each in frames:
        parts[_value(each, name)].append(each)
    ordered = sorted(parts, key=_order)
    return [(parts[value], (_words(parts[value][0], name),)) for value in ordered]


def _names(frames: list[Frame]) -> list[str]:
    names = {name for each in frames for name in each.marks}
    declared = sorted(name for name in names if name.startswith(DIMENSION))
    return [*(name for name in MARK_NAMES if name in names), *declared, _FILE]


def _value(frame: Frame, name: str) -> tuple[Any, ...]:
    if name == _FILE:
        return (str(frame.path),) if frame.header.frames > 1 else ()
    return frame.marks[name][0] if name in frame.marks else ()


def _words(frame: Frame, name: str) -> str:
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
    frames: list[Frame], places: NDArray[np.intp]
) -> list[tuple[list[Frame], tuple[str, ...]]]:
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


@dataclass(frozen=True, eq=False)
class _Fit:
    """Images of one plane, ordered along its normal, and the even grid closest to them."""

    frames: tuple[Frame, ...]
    positions: NDArray[np.float64]  # (N, 3)
    heights: NDArray[np.float64]  # (N,) mm along the normal
    places: NDArray[np.intp]  # (N,)
    steps: NDArray[np.float64]  # (3, 3)

    @classmethod
    def of(cls, frames: Sequence[Frame]) -> "_Fit":
        steps = np.zeros((3, 3))
        directions = np.median([each.directions for each in frames], axis=0)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        spacings = [each.spacing for each in frames if each.spacing is not None]
        steps[:, :2] = directions.T * (np.median(spacings, axis=0) if spacings else 1.0)
        normal = np.cross(*directions)
        normal /= np.linalg.norm(normal)
        positions = np.array([each.position for each in frames])
        order = np.argsort(positions @ normal, kind="stable")
        positions = positions[order]
        heights = (positions - positions[0]) @ normal
        gaps = np.diff(heights)
        # Counted from slice to slice: rounding adds up over many, not over one.
        counts = np.rint(gaps / np.median(gaps)) if len(gaps) and np.median(gaps) > 0 else gaps * 0
        places = np.concatenate([[0], np.maximum(1, counts).cumsum()]).astype(np.intp)
        steps[:, 2] = (positions[-1] - positions[0]) / max(1, places[-1])
        return cls(tuple(frames[n] for n in order), positions, heights, places, steps)

    @property
    def gaps(self) -> NDArray[np.float64]:
        return np.diff(self.heights)

    @property
    def pixel(self) -> float:
        return float(np.linalg.norm(self.steps[:, :2], axis=0).min())

    @property
    def same_place(self) -> float:
        """The mm along the normal below which two images are meant to lie at one place."""
        low, high = (share * self.pixel for share in _SAME_PLACE)
        return max(low, min(high, _SAME_PLACE_OF_GAP * float(self.gaps.max(initial=0.0))))

    @property
    def overlaps(self) -> bool:
        """Whether two images lie at one place."""
        return bool((self.gaps < self.same_place).any())

    @property
    def missing(self) -> int:
        return int(self.places[-1]) + 1 - len(self.places)

    @property
    def off(self) -> float:
        """The mm by which a position differs from the even grid."""
        bases = self.positions - self.places[:, None] * self.steps[:, 2]
        return float(np.linalg.norm(bases - bases[0], axis=1).max())

    @property
    def misfit(self) -> float:
        """The mm by which an image's far corner is off for the way in which it is turned."""
        corner = np.array(self.frames[0].header.size) - 1.0
        turned = [each.steps - self.steps[:, :2] for each in self.frames]
        return float(np.linalg.norm(np.abs(turned) @ corner, axis=1).max())

    @property
    def is_even(self) -> bool:
        if len(self.frames) == 1:
            return True
        too_many = self.missing > max(1.0, _MISSING_SHARE * len(self.places))
        gap = float(np.median(self.gaps))
        return gap > 0 and self.off <= _LARGEST_UNEVENNESS * gap and not too_many

    def places_of(self, frames: Sequence[Frame]) -> NDArray[np.intp]:
        """Return the number of the place of each image, from 0; several may share one."""
        numbers = np.concatenate([[0], (self.gaps >= self.same_place).cumsum()]).astype(np.intp)
        found = dict(zip(map(id, self.frames), numbers.tolist(), strict=True))
        return np.array([found[id(each)] for each in frames], dtype=np.intp)

    def first_pair(self) -> tuple[Frame, Frame]:
        n = int(self.gaps.argmin())
        return self.frames[n], self.frames[n + 1]

    def notes(self) -> list[str]:
        notes: list[str] = []
        if self.off > _SILENT_UNEVENNESS * float(np.median(self.gaps)):
            notes.append(
                f"Slices lie up to {self.off:.2f} mm from the even spacing that is assumed."
            )
        if self.misfit > _SILENT_MISFIT * self.pixel:
            notes.append(
                "Slices are turned or scaled slightly differently: one grid is assumed, from which "
                f"they are up to {self.misfit:.2f} mm off."
            )
        if self.missing:
            gone = sorted(set(range(int(self.places[-1]) + 1)) - set(self.places.tolist()))
            notes.append(
                f"{self.missing} of {self.places[-1] + 1} slices missing in the series (slice "
                f"index {', '.join(map(str, gone))}): interpolated between their neighbours."
            )
        return notes


def _check_frames(frames: Sequence[Frame], name: str) -> None:
    first = frames[0]
    if not first.header.grey:
        raise VolumeError(f"{name} holds colour images.", "Choose a grey-scale series.")
    if first.header.mosaic:
        raise VolumeError(
            f"{name} holds mosaics, in which many slices lie side by side in one image.",
            "Convert the series to NIfTI, for example with dcm2niix.",
        )
    if any(each.position is None for each in frames) and not _is_projection(frames):
        raise VolumeError(
            f"The slices of {name} do not say where they lie in the patient.",
            f"{EXPORT} Films and screen captures are no volumes.",
        )
    if any(each.spacing is None for each in frames):
        raise VolumeError(
            f"{name} does not say how large its pixels are (Pixel Spacing).",
            "Export the scan again from where it was made.",
        )


def _is_projection(frames: Sequence[Frame]) -> bool:
    return len(frames) == 1 and frames[0].header.modality in PROJECTIONS


def _check_fit(fit: _Fit, name: str) -> None:
    if not fit.is_even:
        raise VolumeError(
            f"The slices of {name} are not evenly spaced ({fit.gaps.min():.2f} to "
            f"{fit.gaps.max():.2f} mm apart): some are missing, or the series is made of parts.",
            EXPORT,
        )
    if fit.misfit > _LARGEST_MISFIT * fit.pixel:
        raise VolumeError(
            f"The slices of {name} are not parallel or differ in scale, by up to "
            f"{fit.misfit:.2f} mm at their corners.",
            EXPORT,
        )


def _single(only: Frame, name: str) -> Grid:
    notes = _header_notes([only])
    thickness = only.thickness or only.distance
    position = only.position
    if position is None:
        thickness = float(np.linalg.norm(only.steps, axis=0).max())
        position = np.zeros(3)
        notes.append(
            "The image is a projection: it does not say where it lies and has no depth. It is "
            "shown as one slice as thick as a pixel is wide; its volumes in ml mean nothing."
        )
    elif thickness is None:
        raise VolumeError(
            f"{name} is one slice that does not say how thick it is.", "Choose a series of slices."
        )
    normal = np.cross(*only.directions)
    steps = np.column_stack([only.steps, normal / np.linalg.norm(normal) * thickness])
    return Grid((only,), np.zeros(1, dtype=np.intp), steps, position, tuple(notes))


def _spacing_notes(frames: Sequence[Frame], fit: _Fit) -> list[str]:
    """Tell where the file says that slices lie closer than they do, as where each other is gone."""
    lies = float(np.linalg.norm(fit.steps[:, 2]))
    for each in frames:
        says, thick = each.distance, each.thickness
        if says and thick and says > 0.99 * thick and lies > 1.9 * says:
            return [
                f"Slices lie {lies:.2f} mm apart, the file says {says:.2f} mm: some may be "
                "missing. Where they lie is taken."
            ]
    return []


def _header_notes(frames: Sequence[Frame]) -> list[str]:
    notes: list[str] = []
    if any(each.at_detector for each in frames):
        notes.append(
            "The size of pixels is that at the detector (Imager Pixel Spacing): in the patient "
            "they are smaller, by a factor that the file does not say."
        )
    if any(each.header.inverted for each in frames):
        notes.append(
            "High values are meant to be shown dark (MONOCHROME1); they are kept as stored."
        )
    if len({each.header.frame_of_reference for each in frames}) > 1:
        notes.append("Slices name different frames of reference; one is assumed.")
    return notes


def _told(frame: Frame) -> str:
    many = frame.header.frames > 1
    return f"{frame.path.name} (image {frame.number + 1})" if many else frame.path.name
