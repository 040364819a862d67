"""How a structure is taught, and what came of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from napari_fastsam3d.model.adaptation import AdapterConfig
from napari_fastsam3d.model.adapter import Adapter, Gain
from napari_fastsam3d.training.adaptation.measure import CLICKS, Scores
from napari_fastsam3d.training.adaptation.objective import Clicked, SAMed

FEWEST = 3
"""Cases that can be learnt from and left out."""

HELPS = 0.005
"""By how much Dice must grow for an adapter to be kept."""


@dataclass(frozen=True)
class TeachingOptions:
    """How a structure is taught.

    Attributes
    ----------
    config : AdapterConfig
    steps : int
        Of each fit.
    folds : int
        At the most; there are as many as patients where these are fewer.
    measured : bool
        Whether it is measured, and decided, what it is worth.
    samed : bool
        Whether it is taught as SAMed was; see `SAMed`.
    """

    config: AdapterConfig = field(default_factory=AdapterConfig)
    steps: int = 150
    folds: int = 4
    measured: bool = True
    samed: bool = False

    @property
    def objective(self) -> Clicked | SAMed:
        """What is learnt, and how fast."""
        return SAMed() if self.samed else Clicked(self.config.kind)


@dataclass(frozen=True)
class Outcome:
    """What came of teaching.

    Attributes
    ----------
    adapter : Adapter
        Fitted on all cases.
    helps : bool
        Whether it is worth being kept.
    """

    adapter: Adapter
    helps: bool

    def __str__(self) -> str:
        gain = self.adapter.gain
        if gain is None:
            return f"Fitted on {self.adapter.cases} cases; what it is worth was not measured."
        verdict = "helps" if self.helps else "does not help, and is not kept"
        return (
            f"The adapter for {self.adapter.structure} {verdict}: mean Dice on {gain.cases} cases "
            f"left out, without and with it: {gain}."
        )


def gain_of(plain: Mapping[int, Scores], adapted: Mapping[int, Scores], folds: int) -> Gain | None:
    """Return what an adapter is worth on cases left out; None where none were.

    Parameters
    ----------
    plain, adapted : mapping of int to tuple
        What each case had, by its number.
    folds : int
    """
    if not adapted:
        return None

    def mean(of: Mapping[int, Scores], what: int) -> tuple[float | None, ...]:
        return tuple(_mean(of[n][what][at] for n in sorted(of)) for at in range(len(CLICKS)))

    dice = mean(plain, 0), mean(adapted, 0)
    return Gain(CLICKS, *dice, len(adapted), folds, mean(plain, 1), mean(adapted, 1))


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
