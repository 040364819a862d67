"""Learns an adapter from views of a structure, clicked as a user would, a step at a time."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from napari_fastsam3d.model.adaptation import AdaptedNetwork, AdapterConfig
from napari_fastsam3d.model.base_predictor import BasePredictor
from napari_fastsam3d.model.default.prompts import Prompts
from napari_fastsam3d.model.predictor import GoOn, always
from napari_fastsam3d.training.adaptation.objective import Clicked, SAMed
from napari_fastsam3d.training.adaptation.view import View
from napari_fastsam3d.training.loss import intersection_over_union
from napari_fastsam3d.training.random_generator import RandomGenerator
from napari_fastsam3d.training.simulator import first_prompts, next_prompts, used_points

ELSEWHERE = 0.25
"""Share of the samples without a prompt that look at a part of the scan by chance."""

FAR = 0.25
"""Share of the samples that look from afar, where cases do; a mask is drawn from near by."""

_MOST_CLICKS = 3
_SAMPLES = 2


class Learner:
    """An adapter that learns.

    Parameters
    ----------
    predictor : BasePredictor
        Its model, which stays as it is.
    config : AdapterConfig
    views : sequence of View
    steps : int
    objective : Clicked or SAMed, optional
        By default with clicks.
    """

    def __init__(
        self,
        predictor: BasePredictor,
        config: AdapterConfig,
        views: Sequence[View],
        steps: int,
        objective: Clicked | SAMed | None = None,
    ) -> None:
        torch.manual_seed(0)
        self.adapted = AdaptedNetwork(predictor, config, learns=True)
        self.step = 0
        self._objective = objective or Clicked(config.kind)
        self._steps = steps
        self._near = [view for view in views if view.clickable]
        self._far = [view for view in views if not view.clickable]
        self._predictor = predictor
        self._parameters = [*self.adapted.parameters.values()]
        self._optimiser = torch.optim.AdamW(
            self._parameters, weight_decay=self._objective.weight_decay
        )

    @property
    def done(self) -> bool:
        """Whether there is nothing left to learn."""
        return self.step >= self._steps

    def state(self) -> dict[str, Any]:
        """Return all that is needed to go on with it."""
        weights = {name: each.detach() for name, each in self.adapted.parameters.items()}
        return {"step": self.step, "weights": weights, "optimiser": self._optimiser.state_dict()}

    @torch.no_grad()
    def go_on_from(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.step = int(state["step"])
        for name, each in self.adapted.parameters.items():
            each.copy_(state["weights"][name])
        self._optimiser.load_state_dict(state["optimiser"])

    def advance(self, go_on: GoOn = always) -> float:
        """Make one step; return the mean IoU of the masks.

        `go_on` is asked between the parts of it, and ends it by raising; then nothing has changed.
        """
        random = RandomGenerator.seeded((1, self.step), self._predictor.device)
        self._optimiser.zero_grad()
        ious: list[float] = []
        for _ in range(_SAMPLES):
            ious += self._sample(self._drawn(random), random, go_on)
        for group in self._optimiser.param_groups:
            group["lr"] = self._objective.rate(self.step, self._steps)
        torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimiser.step()
        self.step += 1
        return sum(ious) / len(ious)

    def _drawn(self, random: RandomGenerator) -> View:
        views = self._far if self._far and random.happens(FAR) else self._near
        return views[int(random.numbers.integers(len(views)))]

    def _sample(self, view: View, random: RandomGenerator, go_on: GoOn) -> list[float]:
        if not view.clickable or random.happens(self._objective.unprompted):
            go_on()
            elsewhere = len(view.truths) > 1 and random.happens(ELSEWHERE)
            return [self._asked(view, int(elsewhere), no_prompts(view.truths[int(elsewhere)]))[0]]
        truth, clicks = view.truths[0], 1 + int(random.numbers.integers(_MOST_CLICKS))
        prompts = first_prompts(truth, clicks, random, boxes=0)
        ious: list[float] = []
        for number in range(clicks):
            go_on()
            iou, low, fine = self._asked(view, 0, used_points(prompts), clicks)
            ious.append(iou)
            if number + 1 < clicks:
                prompts = next_prompts(prompts, truth, fine, low, random)
        return ious

    def _asked(
        self, view: View, part: int, prompts: Prompts, share: int = 1
    ) -> tuple[float, Tensor, Tensor]:
        """Add up the gradients of one answer; give its IoU and what is fed back."""
        device, rounded = self._predictor.device.type, self._predictor.rounds_activations
        with torch.autocast(device, torch.bfloat16, rounded):
            masks = view.decode(self.adapted.network, part, prompts)._replace(candidates=None)
            loss = self._objective.loss(masks, view.truths[part])
        (loss / (share * _SAMPLES)).backward()
        iou = intersection_over_union(masks.mask_logits.detach(), view.truths[part])
        return float(iou.mean()), masks.low_res_logits.detach(), masks.mask_logits.detach()


def no_prompts(truth: Tensor) -> Prompts:
    """Return what the model is told of a structure that is not clicked."""
    previous = truth.new_zeros(1, 1, *(n // 2 for n in truth.shape[2:]))
    labels = torch.full((1, 1), -1, device=truth.device)
    box = truth.new_full((1, 2, 3), torch.nan)
    return Prompts(truth.new_zeros(1, 1, 3), labels, box, previous)
