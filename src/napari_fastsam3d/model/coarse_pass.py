"""How a model looks at a first click from afar, and when it trusts what it sees there."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fastsam3d.errors import CheckpointError
from napari_fastsam3d.geometry.io.json_text import parse_json

_FARTHEST = 3.0


@dataclass(frozen=True)
class LinearModel:
    """A weighted sum of standardised features, each held within three deviations.

    Attributes
    ----------
    mean, scale : tuple of float
        Of the features, over the training targets that it was fitted on.
    weights : tuple of float
    bias : float
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float

    def estimate(self, features: ArrayLike) -> float:
        """Return the sum for features (N,); the bias where there are no weights."""
        if not self.weights:
            return self.bias
        return float(self.standardised(features) @ np.asarray(self.weights) + self.bias)

    def standardised(self, features: ArrayLike) -> NDArray[np.float64]:
        """Return features (N,) in standard deviations from their mean, held within three."""
        standard = (np.asarray(features, dtype=np.float64) - self.mean) / self.scale
        return np.clip(standard, -_FARTHEST, _FARTHEST)

    @classmethod
    def of_table(cls, table: Mapping[str, Any]) -> "LinearModel":
        """Read what JSON holds of it; KeyError, TypeError or ValueError where that is wrong."""
        numbers = (_numbers(table[name]) for name in ("mean", "scale", "weights"))
        found = cls(*numbers, bias=float(table["bias"]))
        fits = len(found.mean) == len(found.scale) == len(found.weights)
        told = (*found.mean, *found.scale, *found.weights, found.bias)
        if not (fits and min(found.scale, default=1) > 0 and all(map(isfinite, told))):
            raise ValueError
        return found


@dataclass(frozen=True)
class CoarsePass:
    """A first forward pass on a coarse crop, and a linear model of when its mask is the better one.

    Attributes
    ----------
    size : int
        Voxels of the coarse crop along each axis.
    spacing : float
        Size of a voxel of it, mm.
    gain : LinearModel
        By how much Dice of the coarse mask is expected to be above that of the one from near by; of
        the features of both, see `inference.coarse_judge`.
    worth : LinearModel or None
        The same of the features of the near mask alone: where it isn't positive, no coarse pass is
        made. None where it is always made.
    fed : bool
        Whether what is found is fed to a decoder of first clicks, which so needs no judge.
    """

    size: int
    spacing: float
    gain: LinearModel
    worth: LinearModel | None = None
    fed: bool = False

    @classmethod
    def for_candidates(cls, size: int, spacing: float, fed: bool = False) -> "CoarsePass":
        """Return a pass that is never trusted by itself: it gives candidates, to be asked for."""
        return cls(size, spacing, LinearModel((), (), (), -1.0), fed=fed)

    @property
    def may_be_trusted(self) -> bool:
        """Whether any coarse mask could be held to be the better one."""
        return bool(self.gain.weights) or self.gain.bias > 0

    def is_worth(self, near: ArrayLike) -> bool:
        """Whether a coarse mask may be the better one, of the features (N,) of the near one."""
        return self.worth is None or self.worth.estimate(near) > 0

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
            table = parse_json(text)
            worth = table.get("worth")
            found = cls(
                int(table["size"]),
                float(table["spacing"]),
                # Earlier files have the gain's numbers beside size and spacing.
                LinearModel.of_table(table.get("gain", table)),
                None if worth is None else LinearModel.of_table(worth),
                table.get("fed") is True,
            )
            if not (isfinite(found.spacing) and min(found.size, found.spacing) > 0):
                raise ValueError
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(
                "What the weights file says of the coarse pass can't be read.",
                "Download or install the model again.",
            ) from error
        return found


def _numbers(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)
