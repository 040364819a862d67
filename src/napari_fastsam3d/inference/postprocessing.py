"""From a prediction over a crop to a mask on the source grid, click constraints enforced."""

from collections.abc import Iterator, Sequence

from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.inference.air import Air
from napari_fastsam3d.inference.click_constraints import enforce_clicks, reach_mm
from napari_fastsam3d.inference.coarse_to_fine import CoarseToFine
from napari_fastsam3d.inference.edits import enforce_edits
from napari_fastsam3d.inference.model_input import box_constraint
from napari_fastsam3d.inference.prompt import BoxPrompt, Freeze, Point, Prompt, clicks_of
from napari_fastsam3d.inference.step import Prediction, Step

_IN_AIR = "The click lies in the air around the patient."
_FROZEN = "The click lies in a frozen region, of which it changes no more than its own voxel."


class Postprocessing:
    """Makes steps of predictions.

    Parameters
    ----------
    volume : Volume
    search : CoarseToFine
        What made the predictions.
    """

    def __init__(self, volume: Volume, search: CoarseToFine) -> None:
        self._volume = volume
        self._air = Air(volume)
        self._policy = search.policy
        self._predictor = search.predictor

    def step(self, before: Step, found: Prediction, prompts: Sequence[Prompt]) -> Step:
        """Bring what was seen to the source grid, and join it with what lies elsewhere."""
        confined = box_constraint(prompts, self._predictor)
        region = found.crop.box.intersection(confined) if confined else found.crop.box
        here = found.mask.inside(region)
        mask = before.mask.outside(region).union(here)
        reach = reach_mm(self._volume, found.cell)
        constrained = enforce_clicks(mask, clicks_of(prompts), self._volume, reach)
        enforced = enforce_edits(constrained, prompts, before.frozen, self._volume.spacing)
        in_air = self._is_in_air(prompts[-1])
        notes = (_IN_AIR,) if in_air else tuple(self._notes(found, here, prompts[-1]))
        if _is_frozen(prompts):
            notes += (_FROZEN,)
        return Step(
            enforced,
            found.crop,
            found.low_res_logits,
            found.predicted_iou,
            notes,
            before.frozen,
            in_air,
            before.box,
            told=before.told,
        )

    def _is_in_air(self, newest: Prompt) -> bool:
        return isinstance(newest, Point) and newest.positive and self._air.holds(newest.index)

    def _notes(self, found: Prediction, here: Mask, newest: Prompt) -> Iterator[str]:
        if here.is_empty:
            yield "The model found nothing there; only the clicks themselves are marked."
        elif self._policy.cuts_off(found.crop, found.logits):
            seen = found.crop.size * found.crop.spacing
            told = f"{seen:.0f}" if seen >= 10 else f"{seen:.2g}"
            yield (
                f"The structure goes on beyond the {told} mm that the model looks at; "
                "click where it goes on."
            )
        if isinstance(newest, BoxPrompt) and not self._predictor.accepts_boxes:
            yield (
                f"{self._predictor.name} knows no boxes: it was given a point at the centre, "
                "and the mask was kept to the box."
            )


def _is_frozen(prompts: Sequence[Prompt]) -> bool:
    """Whether the newest prompt is a click in a region that is frozen."""
    newest = prompts[-1]
    if not isinstance(newest, Point):
        return False
    return any(isinstance(p, Freeze) and p.box.contains(newest.index) for p in prompts)
