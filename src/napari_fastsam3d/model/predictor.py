"""The model, as whoever asks it for masks sees it.

It needs no torch: `BasePredictor` fits it, and so may others.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.geometry.resample import Floats

Progress = Callable[[str, int, int], object]
"""Told, of some work, how many of its parts are done, and of how many."""

GoOn = Callable[[], object]
"""Asked between the parts of some work; it ends the work by raising."""


def silent(what: str, done: int, of: int) -> None:
    """Tell nobody that `done` parts of `of` of the work `what` are done."""


def always() -> None:
    """Let work go on."""


@dataclass(frozen=True)
class Segmentation:
    """The answer to one step of interaction.

    Attributes
    ----------
    low_res_logits : ndarray of float32
        (S/4, S/4, S/4) logits, to be fed back at the next step.
    mask_logits : ndarray of float32
        (F, F, F) logits over the whole crop, at the finest resolution the model has.
    predicted_iou : float
        The model's own estimate of the mask's IoU with the truth, 0 to 1.
    candidates : tuple of Segmentation
        What else the prompts may mean, in no order; empty for a model that proposes nothing.
    is_fed : bool
        Whether it is the mask that was fed back, as it was.
    """

    low_res_logits: Floats
    mask_logits: Floats
    predicted_iou: float
    candidates: "tuple[Segmentation, ...]" = ()
    is_fed: bool = False


class ModelIdentity(Protocol):
    """Which model it is, wherever it computes."""

    @property
    def name(self) -> str:
        """What the user calls it."""
        ...

    @property
    def device(self) -> Any:
        """Where it computes."""
        ...

    @property
    def fingerprint(self) -> str:
        """What tells its weights from others."""
        ...


class Predictor(ModelIdentity, Protocol):
    """A model kept in memory: it encodes a crop once and answers each prompt from that.

    It must be deterministic: equal input gives equal bits.
    """

    @property
    def feeds(self) -> Literal["cumulative", "single"]:
        """Whether it wants all points so far at each step, or the new one only."""
        ...

    @property
    def accepts_boxes(self) -> bool:
        """Whether it knows box prompts."""
        ...

    @property
    def edge_aware(self) -> bool:
        """Whether its masks are to be drawn to the edges of the scan."""
        ...

    @property
    def blends_locally(self) -> bool:
        """Whether its masks are to keep what they were far from a click that corrects them."""
        ...

    @property
    def margin(self) -> int:
        """Crop voxels that positive points told to it are kept from the ends of the scan."""
        ...

    @property
    def spacings(self) -> tuple[float, ...]:
        """Sizes in mm of a crop voxel that it works at, fine to coarse."""
        ...

    @property
    def start_spacing(self) -> float:
        """The one of `spacings` to begin with at a click."""
        ...

    @property
    def crop_size(self) -> int:
        """Crop voxels along each axis."""
        ...

    @property
    def sees_from_afar(self) -> bool:
        """Whether a first click is answered on a crop of half the size too; see `first_click`."""
        ...

    @property
    def before_block(self) -> GoOn:
        """Called before each block of the network; what it raises ends the computation.

        Set by the session for each piece of work. A model that doesn't call it, or not often, goes
        on with work that nobody waits for any more.
        """
        ...

    @before_block.setter
    def before_block(self, go_on: GoOn) -> None: ...

    def normalise(self, crop: Floats, inside: Any) -> Any:
        """Turn raw intensities (S, S, S), axes towards R, A, S, into what `encode` takes.

        `inside` holds three (S,) vectors of bool: which crop planes lie in the volume.
        """
        ...

    def encode(self, image: Any) -> Any:
        """Look at a crop once; what it returns is kept for as long as the crop is in use."""
        ...

    def segment(
        self,
        encoded: Any,
        points: Floats,
        labels: NDArray[np.int64],
        box: Floats | None,
        previous: Floats | None,
    ) -> Segmentation:
        """Answer to prompts.

        Parameters
        ----------
        encoded
            What `encode` returned.
        points : ndarray of float32, shape (N, 3)
            Crop index.
        labels : ndarray of int64, shape (N,)
            1 for a point inside the object, 0 for one outside.
        box : ndarray of float32, shape (2, 3), or None
            Inclusive corners in crop index.
        previous : ndarray of float32, shape (size / 4,) * 3, or None
            Logits of the step before.
        """
        ...

    def first_click(self, encoded: Any, point: Floats, afar: Floats | None) -> Segmentation:
        """Answer to a positive point that is all that is known, where it `sees_from_afar`.

        Parameters
        ----------
        encoded
            What `encode` returned.
        point : ndarray of float32, shape (1, 3)
            Crop index.
        afar : ndarray of float32, shape (size / 4,) * 3, or None
            Logits of `segment` on a crop of the same window in half as many voxels along each
            axis; None where that was not done. It may be the answer itself, which `is_fed` then.
        """
        ...
