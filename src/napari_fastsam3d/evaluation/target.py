"""A structure to be segmented."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.evaluation.dataset import LabelledCase
from napari_fastsam3d.evaluation.protocol import Protocol
from napari_fastsam3d.geometry import Volume, read_labels, read_volume
from napari_fastsam3d.session import Mask


class Key(NamedTuple):
    """Which structure of which case of which set."""

    set_name: str
    case: str
    value: int


@dataclass(frozen=True, eq=False)
class Target:
    """One structure of one scan, to be segmented.

    Attributes
    ----------
    key : Key
        Which.
    structure : str
        What it is called.
    volume : Volume
        The scan, on the grid that is evaluated on.
    truth : Mask
        The structure there, not empty.
    """

    key: Key
    structure: str
    volume: Volume
    truth: Mask


def targets_of(
    case: LabelledCase,
    protocol: Protocol,
    names: dict[int, str],
    wanted: frozenset[str] = frozenset(),
) -> Iterator[Target]:
    """Yield the structures of a case, largest first.

    Parameters
    ----------
    case : LabelledCase
        With an image.
    protocol : Protocol
        How they are chosen, and on which grid they are shown. A structure of which nothing is
        left on that grid is left out.
    names : dict of int to str
        What values are called; others are called by their value.
    wanted : frozenset of str
        Names or values; if any, only these are taken, and of these all.

    Raises
    ------
    VolumeError
        When labels do not lie on the grid of their image, in any order of its axes.
    """
    volume = read_volume(case.image or case.labels)
    labels = read_labels(case.labels, volume).labels.astype(np.int32)
    resampling = protocol.resampling(volume)
    shown = volume if resampling is None else resampling.volume(volume)
    most = labels.size if wanted else protocol.most
    for value, truth in structures_of(labels, protocol.smallest, most):
        name = names.get(value, str(value))
        if wanted and not wanted & {name, str(value)}:
            continue
        mask = Mask.of_volume(truth if resampling is None else resampling.mask(truth))
        if not mask.is_empty:
            yield Target(Key(case.set_name, case.name, value), name, shown, mask)


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
