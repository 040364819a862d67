"""What is to be remembered of a mask that was accepted, and whether it is good enough."""

from collections.abc import Callable

from napari_fastsam3d.geometry.mask import Mask, middle_of
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.inference.crop_policy import CropPolicy
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.memory.case import Case, Entry, structure_of
from napari_fastsam3d.memory.kept_scan import KeptScan
from napari_fastsam3d.memory.remember import Encoder, remembered_case

GOOD_ENOUGH = 0.6
"""Predicted IoU from which on an accepted mask is remembered."""

FEW_CLICKS = 10
"""Prompts up to which it is: what took more was hard for the model, and its features say little."""


def accepted_case(
    predictor: Encoder,
    volume: Volume,
    mask: Mask,
    name: str,
    *,
    predicted_iou: float | None = None,
    clicks: int = 0,
) -> Case:
    """Look at a mask as a click in its middle would, and as closely as fits it.

    Parameters
    ----------
    predictor : Encoder
        The model that later cases will be segmented with.
    volume : Volume
    mask : Mask
        Source index, not empty.
    name : str
        Structure.
    predicted_iou : float, optional
        The IoU that the model predicted.
    clicks : int
        Prompts that the mask took.
    """
    middle = middle_of(mask, volume)
    policy = CropPolicy.of(volume, predictor)
    fitting, widest = policy.spacing_to_remember(mask.box), policy.spacings[-1]
    crops = policy.at_click(middle), policy.at(middle, fitting), policy.at(middle, widest)
    return remembered_case(
        predictor, volume, crops, mask, name, predicted_iou=predicted_iou, clicks=clicks
    )


def keep(
    bank: MemoryBank, case: Case, volume: Volume, part: Callable[[], KeptScan] | None = None
) -> tuple[Entry, ...]:
    """Remember a case in place of an earlier one of the structure on the same scan.

    Parameters
    ----------
    bank : MemoryBank
    case : Case
    volume : Volume
    part : callable, optional
        Makes what is kept of the scan where the user agreed to that.

    Returns
    -------
    tuple of Entry
        What had to go for it where the bank is full; see `MemoryBank.add`.
    """
    name, scan = structure_of(case.entry.name), volume.content_hash
    earlier = [
        each.id for each in bank.list(name) if each.model == case.entry.model and each.is_of(scan)
    ]
    gone = bank.add(case)
    if part is not None and bank.scans.agreed:
        bank.scans.put(case.entry.id, part())
    for identity in {*earlier} - {each.id for each in gone}:
        bank.forget(identity)
    return gone


def refusal(predicted_iou: float | None, clicks: int) -> str | None:
    """Return why an accepted mask is not remembered unless it is asked for; None if it is."""
    if predicted_iou is not None and predicted_iou < GOOD_ENOUGH:
        return f"The model is not sure of it: it predicts an IoU of {predicted_iou:.2f}."
    if clicks > FEW_CLICKS:
        return f"It took {clicks} prompts; up to {FEW_CLICKS} are remembered by themselves."
    return None
