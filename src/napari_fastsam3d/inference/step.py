"""What is known of an object after some of its prompts, and what one forward pass says of it."""

from dataclasses import dataclass, field
from functools import cached_property

from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.crop import Crop
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.inference.edge_refinement import edge_aware_mask
from napari_fastsam3d.inference.partial_volume import averaged_over_voxels
from napari_fastsam3d.inference.prompt import Point
from napari_fastsam3d.memory.search import Neighbour
from napari_fastsam3d.model.predictor import Floats, Segmentation


@dataclass(frozen=True, eq=False)
class Step:
    """What is known of an object after some of its prompts.

    Parameters
    ----------
    mask : Mask
        Source index, click constraints enforced.
    crop : Crop or None
        What the model looked at; None while no prompt says where the object is.
    low_res_logits : ndarray of float32, shape (size / 4,) * 3, or None
        Logits over the crop, to be fed back at the next step.
    predicted_iou : float or None
        The IoU with the truth that the model predicts, 0 to 1.
    notes : tuple of str
        What the user should know, a sentence each.
    frozen : tuple of Mask
        For each frozen region of the prompts, in their order, what it held when it was frozen.
    in_air : bool
        Whether the newest prompt is a positive click in the air around the patient.
    box : Box or None
        What the newest box is taken for where its depth was a guess; None where none was.
    recalled : tuple of Neighbour
        Remembered cases that the model was told of, and that the clicks have not refuted.
    told : tuple of (int, tuple of Point)
        For each scribble and lasso of the prompts, by its id, the clicks that the model was told of
        in its place.
    """

    mask: Mask = field(default_factory=Mask.empty)
    crop: Crop | None = None
    low_res_logits: Floats | None = None
    predicted_iou: float | None = None
    notes: tuple[str, ...] = ()
    frozen: tuple[Mask, ...] = ()
    in_air: bool = False
    box: Box | None = None
    recalled: tuple[Neighbour, ...] = ()
    told: tuple[tuple[int, tuple[Point, ...]], ...] = ()

    @property
    def is_beginning(self) -> bool:
        """Whether nothing is known yet of where the object is."""
        return self.crop is None and self.mask.is_empty

    @property
    def nbytes(self) -> int:
        """Bytes that the step holds."""
        low = 0 if self.low_res_logits is None else self.low_res_logits.nbytes
        return self.mask.nbytes + low + sum(mask.nbytes for mask in self.frozen)


@dataclass(frozen=True, eq=False)
class Prediction:
    """One forward pass: mask logits (F, F, F) over the crop, without small connected components.

    `guide` is the scan where the mask is to be drawn to its edges, None where it is not.
    `alternatives` is what else the model proposed over the crop. `is_fed` tells that it is the mask
    that was fed back, as it was.
    """

    crop: Crop
    low_res_logits: Floats
    logits: Floats
    predicted_iou: float
    guide: Volume | None
    alternatives: tuple[Segmentation, ...] = ()
    is_fed: bool = False

    @property
    def cell(self) -> float:
        """Size in mm of a cell of the logits."""
        return self.crop.spacing * self.crop.size / len(self.logits)

    @cached_property
    def plain_mask(self) -> Mask:
        """The mask on the source grid, inside the crop's box, not drawn to the scan's edges."""
        return Mask.of(*self.crop.paste_mask(averaged_over_voxels(self.crop, self.logits)))

    @cached_property
    def mask(self) -> Mask:
        """The mask on the source grid, inside the crop's box."""
        if (guide := self.guide) is None:
            return self.plain_mask
        logits = averaged_over_voxels(self.crop, self.logits)
        return Mask.of(*edge_aware_mask(self.crop, logits, guide.voxels, guide.intensity_floor))
