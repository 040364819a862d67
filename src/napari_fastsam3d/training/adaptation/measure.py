"""What a model is worth on a case, clicked as a user would, with an adapter or without."""

from dataclasses import dataclass

from napari_fastsam3d.evaluation.metrics import hausdorff_95
from napari_fastsam3d.evaluation.simulator import correcting_click
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.inference.automatic import AutomaticStructure, segment_automatically
from napari_fastsam3d.inference.prompt import Point, Prompt
from napari_fastsam3d.inference.recall_prompts import WithAdapter
from napari_fastsam3d.inference.segmenter import Replay
from napari_fastsam3d.model.predictor import GoOn, Predictor, always

CLICKS = (0, 1, 3)
"""Numbers of clicks after which it is measured; none is a mask without a prompt."""


Scores = tuple[tuple[float | None, ...], tuple[float | None, ...]]
"""Dice and HD95 in mm after each of `CLICKS`; None where there is no mask."""


@dataclass(frozen=True)
class FittedAdapter:
    """An adapter that is being fitted: its adapted predictor, as inference asks for adapters."""

    structure: str
    spacing: float | None
    predictor: Predictor
    identity: str = "being fitted"

    def of_identity(self, _identity: str) -> "FittedAdapter":
        """Return it, whatever is asked for."""
        return self

    def fitted_to(self, predictor: Predictor) -> Predictor:
        """Return the predictor with it."""
        return self.predictor


def scores_by_clicks(
    predictor: Predictor,
    volume: Volume,
    truth: Mask,
    adapter: FittedAdapter | None = None,
    go_on: GoOn = always,
) -> Scores:
    """Return what each of `CLICKS` gives; a model that isn't adapted has no mask without one."""
    replay = Replay(volume, predictor, adapters=None if adapter is None else adapter.of_identity)
    replay.go_on = go_on
    prompts: list[Prompt] = []
    shown: list[Mask | None] = [None]
    if adapter is not None:
        prompts.append(WithAdapter(adapter.structure, adapter.identity))
        asked = AutomaticStructure(adapter.structure, adapter.predictor, adapter.spacing)
        shown = [segment_automatically(volume, predictor, [asked], go_on=go_on)[0].mask]
    mask = Mask.empty()
    for number in range(1, max(CLICKS) + 1):
        index, positive = correcting_click(mask, truth, volume.spacing)
        prompts.append(Point(number, index, positive))
        mask = replay.step(prompts).mask
        if number in CLICKS:
            shown.append(mask)
    dice = tuple(None if each is None else each.agreement(truth) for each in shown)
    far = tuple(_distance(each, truth, volume) for each in shown)
    return dice, far


def _distance(mask: Mask | None, truth: Mask, volume: Volume) -> float | None:
    if mask is None or mask.is_empty:
        return None
    return hausdorff_95(mask, truth, volume.spacing)
