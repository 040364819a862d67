"""The interactive trial: click, measure, click again."""

import time
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_fastsam3d.evaluation.metrics import Surface
from napari_fastsam3d.evaluation.protocol import Protocol
from napari_fastsam3d.evaluation.segmenters import AdaptedAttempt, AdaptedSegmenter, Segmenter
from napari_fastsam3d.evaluation.simulator import Click, click_anywhere, correcting_click
from napari_fastsam3d.evaluation.target import Key, Target
from napari_fastsam3d.session import Mask

BOX_MARGIN = 1
"""Source voxels by which an evaluated box is wider than the structure, on each side."""


@dataclass(frozen=True)
class Trial:
    """One structure, segmented by simulated clicks.

    Attributes
    ----------
    set_name, case, structure : str
        Which.
    value : int
        Its value in the label file.
    voxels : int
        Size of the truth, on the grid of the trial.
    spacing : tuple of float
        Voxel sizes of that grid, mm.
    clicks : tuple of Click
        Source index of each click, and whether it was positive.
    dice, nsd : tuple of float
        Dice and normalised surface Dice after each click.
    box_dice, box_nsd : float or None
        The same after one box and nothing else.
    best_candidate : float or None
        Dice of the best of what the first click may mean; None where it was not measured.
    unprompted_dice : float or None
        Dice of what was segmented before the first click, which corrects that; None where that was
        not asked for.
    milliseconds : tuple of float
        What each click took.
    satisfied : tuple of bool
        Whether, after each click, its voxel was in the mask (positive) or outside (negative).
    """

    set_name: str
    case: str
    structure: str
    value: int
    voxels: int
    spacing: tuple[float, float, float]
    clicks: tuple[Click, ...]
    dice: tuple[float, ...]
    nsd: tuple[float, ...]
    box_dice: float | None
    box_nsd: float | None
    milliseconds: tuple[float, ...]
    satisfied: tuple[bool, ...]
    best_candidate: float | None = None
    unprompted_dice: float | None = None

    @property
    def key(self) -> Key:
        """Which structure it was."""
        return Key(self.set_name, self.case, self.value)

    @classmethod
    def of_row(cls, row: dict[str, Any]) -> "Trial":
        """Make a trial of what JSON has kept of one.

        Raises
        ------
        TypeError
            When a field is missing or unknown.
        """
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in row.items()
        }
        clicks: list[Any] = row.get("clicks", [])
        fields["clicks"] = tuple((tuple(index), positive) for index, positive in clicks)
        return cls(**fields)


def run_trial(target: Target, segmenter: Segmenter, protocol: Protocol) -> tuple[Trial, Mask]:
    """Segment one structure by clicks, and once more by a box.

    Returns
    -------
    tuple
        What came of it, and the mask after the last click.
    """
    spacing, truth = target.volume.spacing, target.truth
    surface = Surface(truth, spacing)
    mask = Mask.empty()
    clicks: list[Click] = []
    scores: list[tuple[float, float, float, bool]] = []
    best: float | None = None
    unprompted: Mask | None = None
    if isinstance(segmenter, AdaptedSegmenter):
        segmenter = segmenter.of(target.structure)
    with segmenter.begin(target.volume) as attempt:
        if isinstance(attempt, AdaptedAttempt) and attempt.unprompted is not None:
            mask = unprompted = attempt.unprompted
        for _ in range(protocol.clicks):
            if protocol.random_first_click and not clicks:
                click = click_anywhere(truth, _seed(target.key))
            else:
                click = correcting_click(mask, truth, spacing)
            begun = time.perf_counter()
            mask = attempt.click(*click)
            milliseconds = 1000 * (time.perf_counter() - begun)
            clicks.append(click)
            satisfied = mask.contains(click[0]) == click[1]
            if len(clicks) == 1:
                best = max((m.agreement(truth) for m in attempt.candidates()), default=None)
            scores.append((mask.agreement(truth), surface.dice(mask), milliseconds, satisfied))
    box = _box_mask(target, segmenter)
    dices, surfaces, times, satisfied = zip(*scores, strict=True)
    return Trial(
        set_name=target.key.set_name,
        case=target.key.case,
        value=target.key.value,
        structure=target.structure,
        voxels=int(np.count_nonzero(truth.voxels)),
        spacing=spacing,
        clicks=tuple(clicks),
        dice=dices,
        nsd=surfaces,
        box_dice=None if box is None else box.agreement(truth),
        box_nsd=None if box is None else surface.dice(box),
        milliseconds=times,
        satisfied=satisfied,
        best_candidate=best,
        unprompted_dice=None if unprompted is None else unprompted.agreement(truth),
    ), mask


def _box_mask(target: Target, segmenter: Segmenter) -> Mask | None:
    loose = target.truth.box.padded(BOX_MARGIN).clipped(target.volume.shape)
    with segmenter.begin(target.volume) as attempt:
        return attempt.box(loose)


def _seed(key: Key) -> int:
    return zlib.crc32(f"{key.set_name}/{key.case}/{key.value}".encode())
