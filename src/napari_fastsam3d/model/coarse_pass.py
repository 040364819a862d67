"""How a model looks at a first click from afar, and when it trusts what it sees there."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fastsam3d.errors import CheckpointError

_FARTHEST = 3.0


@dataclass(frozen=True)
class CoarsePass:
    """A first forward pass on a coarse crop, and a linear model of when its mask is the better one.

    Attributes
    ----------
    size : int
        Voxels of the coarse crop along each axis.
    spacing : float
        Size of a voxel of it, mm.
    mean, scale : tuple of float
        Of the features of a coarse mask, over the training targets that it was fitted on; see
        `inference.coarse_judge.describe`.
    weights : tuple of float
        Of the standardised features, which are held within three deviations.
    bias : float
        The sum is by how much Dice of the coarse mask is expected to be above the other's.
    """

    size: int
    spacing: float
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float

    @classmethod
    def for_candidates(cls, size: int, spacing: float) -> "CoarsePass":
        """Return a pass that is never trusted by itself: it gives candidates, to be asked for."""
        return cls(size, spacing, (), (), (), -1.0)

    @property
    def may_be_trusted(self) -> bool:
        """Whether any coarse mask could be held to be the better one."""
        return bool(self.weights) or self.bias > 0

    def gain(self, features: ArrayLike) -> float:
        """Estimate by how much the coarse mask is better, in Dice, of its features (N,)."""
        if not self.weights:
            return self.bias
        return float(self.standardised(features) @ np.asarray(self.weights) + self.bias)

    def standardised(self, features: ArrayLike) -> NDArray[np.float64]:
        """Return features (N,) in standard deviations from their mean, held within three."""
        standard = (np.asarray(features, dtype=np.float64) - self.mean) / self.scale
        return np.clip(standard, -_FARTHEST, _FARTHEST)

    def to_json(self) -> str:
        """Write it for the metadata of a weights file."""
        return json.dumps(asdict(self))

    @classmethod
    def of_json(cls, text: str) -> "CoarsePass":
        """Read what `to_json` wrote.

        Raises
        ------
        CheckpointError
            When it can't be read, or its numbers do not fit one another.
        """
        try:
            table = json.loads(text)
            found = cls(
                int(table["size"]),
                float(table["spacing"]),
                *(_numbers(table[name]) for name in ("mean", "scale", "weights")),
                bias=float(table["bias"]),
            )
            fits = len(found.mean) == len(found.scale) == len(found.weights)
            told = (*found.mean, *found.scale, *found.weights, found.spacing, found.bias)
            positive = min(found.size, found.spacing, *found.scale) > 0
            if not (fits and positive and all(map(isfinite, told))):
                raise ValueError
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(
                "What the weights file says of the coarse pass can't be read.",
                "Download or install the model again.",
            ) from error
        return found


def _numbers(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
