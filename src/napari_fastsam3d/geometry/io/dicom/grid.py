"""Where the slices of a stack lie: the even grid closest to them, and what is wrong or assumed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.errors import VolumeError
from napari_fastsam3d.geometry.io.dicom.frame import DicomFrame
from napari_fastsam3d.geometry.io.dicom.header import PROJECTIONS

EXPORT = "Export the whole series again."
_SAME_PLACE = (0.005, 0.05)  # of the width of a pixel, and between these
_SAME_PLACE_OF_GAP = 0.1  # of the largest distance between images
_SILENT_UNEVENNESS = 0.02  # of the distance between slices
_LARGEST_UNEVENNESS = 0.1
_SILENT_MISFIT = 0.1  # of the width of a pixel, at the corner that is farthest off
_LARGEST_MISFIT = 1.0
_MISSING_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the images of a stack lie.

    Parameters
    ----------
    frames : tuple of DicomFrame
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

    frames: tuple[DicomFrame, ...]
    places: NDArray[np.intp]
    steps: NDArray[np.float64]
    origin: NDArray[np.float64]
    notes: tuple[str, ...] = ()


def arrange(frames: Sequence[DicomFrame], name: str) -> Grid:
    """Return where the images of one stack lie.

    Raises
    ------
    VolumeError
        If they do not say where, or do not make a regular grid.
    """
    _check_frames(frames, name)
    if len(frames) == 1:
        return _single(frames[0], name)
    fit = SliceFit.of(frames)
    if fit.overlaps:
        raise VolumeError(
            f"{name} holds several images at the same place that nothing tells apart, such as "
            f"{' and '.join(_label(each) for each in fit.first_pair())}.",
            "Put the files of one volume into a folder of their own.",
        )
    _check_fit(fit, name)
    notes = (*fit.notes(), *_spacing_notes(frames, fit), *_header_notes(frames))
    return Grid(fit.frames, fit.places, fit.steps, fit.positions[0], notes)


@dataclass(frozen=True, eq=False)
class SliceFit:
    """Images of one plane, ordered along its normal, and the even grid closest to them.

    Attributes
    ----------
    frames, places, steps
        As of `Grid`.
    positions : ndarray, shape (N, 3)
        LPS mm of the first voxel of each image.
    heights : ndarray, shape (N,)
        mm along the normal, from the first image.
    """

    frames: tuple[DicomFrame, ...]
    positions: NDArray[np.float64]
    heights: NDArray[np.float64]
    places: NDArray[np.intp]
    steps: NDArray[np.float64]

    @classmethod
    def of(cls, frames: Sequence[DicomFrame]) -> "SliceFit":
        """Fit images, at least one, that all say where they lie."""
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
        """The mm from each image to the next, along the normal."""
        return np.diff(self.heights)

    @property
    def pixel(self) -> float:
        """The smaller side of a pixel, mm."""
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
        """How many slices are missing between the first and the last."""
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
        """Whether the images make a regular grid, a few missing ones aside."""
        if len(self.frames) == 1:
            return True
        too_many = self.missing > max(1.0, _MISSING_SHARE * len(self.places))
        gap = float(np.median(self.gaps))
        return gap > 0 and self.off <= _LARGEST_UNEVENNESS * gap and not too_many

    def places_of(self, frames: Sequence[DicomFrame]) -> NDArray[np.intp]:
        """Return the number of the place of each image, from 0; several may share one."""
        numbers = np.concatenate([[0], (self.gaps >= self.same_place).cumsum()]).astype(np.intp)
        found = dict(zip(map(id, self.frames), numbers.tolist(), strict=True))
        return np.array([found[id(each)] for each in frames], dtype=np.intp)

    def first_pair(self) -> tuple[DicomFrame, DicomFrame]:
        """Return the two images that lie closest to each other."""
        n = int(self.gaps.argmin())
        return self.frames[n], self.frames[n + 1]

    def notes(self) -> list[str]:
        """Tell what is uneven, turned or missing."""
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


def _check_frames(frames: Sequence[DicomFrame], name: str) -> None:
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


def _is_projection(frames: Sequence[DicomFrame]) -> bool:
    return len(frames) == 1 and frames[0].header.modality in PROJECTIONS


def _check_fit(fit: SliceFit, name: str) -> None:
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


def _single(only: DicomFrame, name: str) -> Grid:
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


def _spacing_notes(frames: Sequence[DicomFrame], fit: SliceFit) -> list[str]:
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


def _header_notes(frames: Sequence[DicomFrame]) -> list[str]:
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


def _label(frame: DicomFrame) -> str:
    many = frame.header.frames > 1
    return f"{frame.path.name} (image {frame.number + 1})" if many else frame.path.name
