"""The objects of one session carried on to another volume, such as the next time point."""

from napari_fastsam3d.geometry.mask import Mask, middle_of
from napari_fastsam3d.geometry.resample_volume import resample_mask
from napari_fastsam3d.session.session import Session
from napari_fastsam3d.session.state import ObjectState

AGREEMENT = 0.8
"""Dice between a mask and what the model makes of it, from which that is trusted."""


def carry_objects(start: Session, session: Session) -> list[str]:
    """Begin each object of a session in another one, with its mask as the prompt.

    The mask is resampled through the affines of both volumes. Then a click in its middle lets the
    model fit it to what the other volume shows; where the model makes something else of it, the
    click is deleted again and the mask stays as it was. Blocks until all masks are there.

    Parameters
    ----------
    start : Session
        Objects without a voxel are left out.
    session : Session
        On another volume of the same patient; where both are not aligned, masks lie amiss.

    Returns
    -------
    list of str
        Names of the objects that were carried on.

    Raises
    ------
    SessionError
        If an object of that name or label value is there already.
    """
    start.wait()
    state = start.state
    masks = [
        (each, resample_mask(start.region(each.id), start.volume, session.volume))
        for each in state.objects
    ]
    carried = [(each, mask) for each, mask in masks if not mask.is_empty]
    for each, mask in carried:
        _carry(each, mask, session)
    return [each.name for each, _ in carried]


def _carry(each: ObjectState, mask: Mask, session: Session) -> None:
    begun = session.add_mask(mask, each.name, each.value, each.colour)
    session.select_object(begun.object)
    session.add_point(middle_of(mask, session.volume))
    found = session.region(begun.object)
    if found.agreement(mask) < AGREEMENT:
        session.delete_prompt(session.state.object(begun.object).prompts[-1].id)
