"""What one request to the model came to."""

from dataclasses import dataclass, field
from typing import Any

from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.session.change import Change


@dataclass(frozen=True)
class Result:
    """What one verb of a session changed.

    Parameters
    ----------
    object : int
        Id of the object concerned.
    box : Box
        Smallest source box that holds every voxel whose membership changed; may be empty.
    quality : float or None
        The model's own guess of the overlap (IoU) of its mask with the truth, 0 to 1; None where
        the model had nothing to do. That of the default model says next to nothing; see the model
        card.
    milliseconds : float
        From the call to the mask, waiting included.
    recalled : tuple
        Remembered cases that took part; empty without a memory bank.
    request : int
        Number of the request; they count up through a session.
    stale : bool
        Whether a newer request for the object overtook it: then nothing was computed and
        nothing changed, and the newer one's result holds what the user asked for.
    notes : tuple of str
        What the user should know about the mask, a sentence each.
    holder : int or None
        Id of the object that keeps the voxel of the newest click, which therefore lies outside
        the mask; see `Session.take_over`.
    in_air : bool
        Whether the newest prompt is a positive click in the air around the patient.
    change : Change or None
        What the mask won and lost, as it is shown; None where the model had nothing to do.
    """

    object: int
    box: Box
    quality: float | None
    milliseconds: float
    recalled: tuple[Any, ...] = ()
    request: int = 0
    stale: bool = False
    notes: tuple[str, ...] = ()
    holder: int | None = None
    in_air: bool = False
    change: Change | None = field(default=None, repr=False)
