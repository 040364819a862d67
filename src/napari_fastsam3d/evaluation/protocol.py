"""The interactive protocol: click, measure, click again."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import mean

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.evaluation.clicks import next_click
from napari_fastsam3d.evaluation.overlap import dice
from napari_fastsam3d.geometry import Box, Volume
from napari_fastsam3d.session import ModelThread, Session

BOX_MARGIN = 1
"""Source voxels by which an evaluated box is wider than the structure, on each side."""


@dataclass(frozen=True)
class Trial:
    """One structure, segmented by simulated clicks.

    Attributes
    ----------
    case, structure : str
        Which.
    voxels : int
        Size of the truth.
    clicks : tuple of float
        Dice after each click.
    box : float or None
        Dice after one box and nothing else.
    milliseconds : tuple of float
        What each click took.
    """

    case: str
    structure: str
    voxels: int
    clicks: tuple[float, ...]
    box: float | None
    milliseconds: tuple[float, ...]


def run_trial(
    volume: Volume,
    truth: NDArray[np.bool_],
    model: ModelThread,
    clicks: int,
    names: tuple[str, str],
) -> Trial:
    """Segment one structure by clicks, and once more by a box.

    Parameters
    ----------
    volume : Volume
        The scan.
    truth : ndarray of bool
        (I, J, K) the structure, source order, not empty.
    model : ModelThread
        Keeps the model between trials.
    clicks : int
        How many.
    names : tuple of str
        The case and the structure.
    """
    scores: list[float] = []
    times: list[float] = []
    with Session(volume, model=model) as session:
        for _ in range(clicks):
            index, positive = next_click(session.mask(), truth, volume.spacing)
            result = session.add_point(index, positive=positive)
            scores.append(dice(session.mask(), truth))
            times.append(result.milliseconds)
    return Trial(
        *names,
        voxels=int(np.count_nonzero(truth)),
        clicks=tuple(scores),
        box=_box_score(volume, truth, model),
        milliseconds=tuple(times),
    )


def _box_score(volume: Volume, truth: NDArray[np.bool_], model: ModelThread) -> float | None:
    tight = Box.of_mask(truth)
    if tight is None:
        return None
    loose = tight.padded(BOX_MARGIN).clipped(truth.shape)
    with Session(volume, model=model) as session:
        session.add_box(loose.start, loose.stop)
        return dice(session.mask(), truth)


def structures_of(
    labels: NDArray[np.integer], smallest: int, most: int
) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield the largest structures of a label array as (value, mask), largest first.

    Parameters
    ----------
    labels : ndarray of integer
        (I, J, K), 0 is background.
    smallest : int
        Voxels that a structure needs.
    most : int
        How many structures at the most.
    """
    values, counts = np.unique(labels, return_counts=True)
    large = sorted(
        ((int(n), int(v)) for v, n in zip(values, counts, strict=True) if v and n >= smallest),
        reverse=True,
    )
    for _, value in large[:most]:
        yield value, labels == value


def mean_at(trials: list[Trial], click: int) -> float:
    """Give the mean Dice after a click (1 is the first); trials with fewer give their last."""
    return mean(t.clicks[min(click, len(t.clicks)) - 1] for t in trials)
