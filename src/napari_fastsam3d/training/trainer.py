"""Training of the default model, in plain torch; stops and goes on at any step."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_fastsam3d.errors import TrainingError
from napari_fastsam3d.model.checkpoint import export_pyramid, read_pyramid
from napari_fastsam3d.model.default.image_encoder import Pyramid, PyramidConfig
from napari_fastsam3d.model.default.network import PyramidNetwork, grown
from napari_fastsam3d.model.default.prompt_maps import click_map
from napari_fastsam3d.model.default.prompts import Prompts
from napari_fastsam3d.training.loss import StepLoss, halved, step_loss
from napari_fastsam3d.training.random_generator import RandomGenerator
from napari_fastsam3d.training.ranks import Ranks
from napari_fastsam3d.training.recipe import LEARNING, Phase, Recipe, learning_rate
from napari_fastsam3d.training.run import TrainingRun
from napari_fastsam3d.training.sample import Sampler
from napari_fastsam3d.training.simulator import (
    first_prompts,
    most_trusted,
    next_prompts,
    shown_mask,
    used_points,
)

LOCAL_REACH = 8.0
"""Standard deviation, crop voxels, of the neighbourhood of a click that counts more in the loss."""

SEEN_FROM_AFAR = 0.85
"""Share of the first clicks that learn with what a coarse pass found; scans that a crop shows whole
have none."""

GOES_ON = 0.75
"""Share of the steps of the decoder of later clicks that go on from what another answered to the
first ones; the others begin themselves, as where remembered cases or adapters answer."""

LOCAL_WEIGHT = 2.0
"""How much more the place of a click counts than one far from all clicks."""


class Trainer(TrainingRun[PyramidNetwork]):
    """A run that trains the default network on masks.

    Parameters
    ----------
    recipe, sampler, folder, device, ranks, workers
        See `TrainingRun`.
    weights : Path or None
        Weights, in place of what the run would make up to its last cycle, which it begins with.
    """

    def __init__(
        self,
        recipe: Recipe,
        sampler: Sampler,
        folder: Path,
        device: str = "cpu",
        ranks: Ranks | None = None,
        workers: int = 1,
        weights: Path | None = None,
    ) -> None:
        super().__init__(recipe, sampler, folder, device, ranks, workers)
        self._begin(lambda: self._first(weights))

    def _first(self, weights: Path | None) -> PyramidNetwork:
        if weights is None:
            return PyramidNetwork(self.recipe.network)
        self.step = self.recipe.cycles[-1].start
        return _fitting(read_pyramid(weights), self.recipe.network_at(self.step), weights)

    def _network_at(self, step: int) -> PyramidNetwork:
        return PyramidNetwork(self.recipe.network_at(step))

    def _success(self, entry: dict[str, Any]) -> float:
        """Give the mean IoU after the last click."""
        return entry["iou"][-1]

    def export(self) -> Path:
        """Write the moving average as `weights.safetensors`, and its SHA-256 beside it."""
        path = self.folder / "weights.safetensors"
        export_pyramid(self.average, path)
        return path

    def _train_step(
        self, phase: Phase, images: Tensor, targets: Tensor, clicks: Tensor
    ) -> dict[str, Any]:
        number = self.step * self.ranks.world + self.ranks.rank
        random = RandomGenerator.seeded(self.recipe.seed * 1_000_003 + number, self.device)
        rate = learning_rate(self.recipe, self.step)
        if self.step and self.step == self.recipe.cycle_at(self.step).start:
            self._take(grown(self.average, self.recipe.network_at(self.step)))
        for decoder in self.network.decoders:
            decoder.similarity_maps = phase.similarity_maps
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name.startswith(LEARNING[phase.learns]))
        self.optimizer.zero_grad(set_to_none=True)
        steps = self._interact(phase, images, targets, clicks, random)
        loss = torch.stack([step.loss.detach() for step in steps]).mean()
        norm = self._descend(loss, rate, phase.ema or self.recipe.ema)
        return {
            "step": self.step,
            "crop": phase.crop,
            "loss": loss.item(),
            "iou": [step.iou.mean().item() for step in steps],
            "best_iou": [step.best_iou.mean().item() for step in steps],
            "rate": rate,
            "norm": norm,
        }

    def _interact(
        self,
        phase: Phase,
        images: Tensor,
        targets: Tensor,
        clicks: Tensor,
        random: RandomGenerator,
    ) -> list[StepLoss]:
        """Let a simulated user correct the masks of all targets, and add up the gradients.

        Each crop is encoded once. What is fed back carries no gradient, so that each click's graph
        can be freed before the next, unless they share that of the encoder.
        """
        truth = halved(targets.flatten(0, 1)[:, None].float())
        boxed, boxes = self._boxes(phase, random)
        afar = phase.learns == "coarse_decoder"
        decoder = self.network.decoder_of(boxed, coarse=afar, first=phase.learns_from_afar)
        shared = phase.learns == "network" or phase.learns_boxes
        # Casts that are kept would join the graphs of all clicks.
        precision = torch.autocast(
            self.device.type, torch.bfloat16, self.mixed_precision, cache_enabled=shared
        )
        steps: list[StepLoss] = []
        goes_on = phase.learns == "decoder" and not boxed and self._goes_on(random)
        from_afar = goes_on or phase.learns_from_afar
        room = 1 + (phase.clicks - 1 + goes_on) * phase.most
        with precision:
            pyramid = self.network.encoder(images)
            begun = clicks.flatten(0, 1)
            prompts = first_prompts(truth, room, random, begun, boxes, masked=not from_afar)
            if from_afar:
                prompts = self._seen_from_afar(images, prompts, random)
            if goes_on:
                prompts = self._first_answered(pyramid, prompts, truth, random, phase.most)
            box_features = decoder.read_box(pyramid, prompts.box)
        for click in range(phase.clicks):
            with precision:
                masks = decoder(pyramid, used_points(prompts), box_features)
                weight = _near_clicks(prompts, truth) if click or goes_on else None
                step = step_loss(masks, truth, weight)
                if click + 1 < phase.clicks:
                    fed = shown_mask(masks, random)
                    prompts = next_prompts(
                        prompts, truth, fed.mask_logits, fed.low_res_logits, random, phase.most
                    )
            if not shared:
                (step.loss / phase.clicks).backward()
                step = step._replace(loss=step.loss.detach())
            steps.append(step)
        if shared:
            torch.stack([step.loss for step in steps]).mean().backward()
        return steps

    def _goes_on(self, random: RandomGenerator) -> bool:
        """Decide whether a step goes on from what another decoder answers to the first clicks."""
        return self.network.first_decoder is not None and random.happens(GOES_ON)

    @torch.no_grad()
    def _first_answered(
        self, pyramid: Pyramid, prompts: Prompts, truth: Tensor, random: RandomGenerator, most: int
    ) -> Prompts:
        """Let the decoder of first clicks answer, and the user correct that.

        Where it holds what it is fed for better than its own mask, the user sees neither: as in
        use, the decoder that learns answers first, that fed back.
        """
        masks = self.network.decoder_of(boxed=False, first=True)(pyramid, used_points(prompts))
        shown = shown_mask(masks, random)
        corrected = next_prompts(
            prompts, truth, shown.mask_logits, shown.low_res_logits, random, most
        )
        if masks.fed is None:
            return corrected
        follows = (masks.fed.predicted_iou > masks.predicted_iou)[:, 0]

        def chosen(before: Tensor, after: Tensor) -> Tensor:
            return torch.where(follows.view(-1, *[1] * (before.ndim - 1)), before, after)

        return replace(
            prompts,
            points=chosen(prompts.points, corrected.points),
            labels=chosen(prompts.labels, corrected.labels),
            previous=chosen(prompts.previous, corrected.previous),
        )

    @torch.no_grad()
    def _seen_from_afar(self, images: Tensor, prompts: Prompts, random: RandomGenerator) -> Prompts:
        """Feed what a coarse pass finds at the first clicks, as in use, for most samples.

        The coarse crop shows the same in half as many voxels along each axis.
        """
        points = (prompts.points + 0.5) / 2 - 0.5
        asked = replace(prompts, points=points, previous=prompts.previous[..., ::2, ::2, ::2])
        masks = self.network.decoder_of(boxed=False, coarse=True)(
            self.network.encoder(halved(images)), used_points(asked)
        )
        found = most_trusted(masks).mask_logits
        told = random.numbers.random(len(found)) < SEEN_FROM_AFAR
        kept = torch.from_numpy(told).to(found.device)[:, None, None, None, None]
        return replace(prompts, previous=torch.where(kept, found.float(), 0.0))

    def _boxes(self, phase: Phase, random: RandomGenerator) -> tuple[bool, float]:
        """Decide whether the decoder for boxes answers this step, and the share of boxes in it.

        Where there is such a decoder, the other one is never asked about a box.
        """
        if phase.learns_boxes:
            return True, phase.boxes
        if self.network.box_decoder is None:
            return False, phase.boxes
        boxed = random.happens(phase.boxes)
        return boxed, float(boxed)


def _near_clicks(prompts: Prompts, truth: Tensor) -> Tensor:
    """Give how much each cell counts (B, 1, S/2, S/2, S/2): more around a click."""
    maps = [click_map(prompts.clicks(label), truth.shape[2:], 2, LOCAL_REACH) for label in (0, 1)]
    return 1 + LOCAL_WEIGHT * torch.maximum(*maps)[:, None]


def _fitting(network: PyramidNetwork, config: PyramidConfig, path: Path) -> PyramidNetwork:
    """Give a network that was read as the recipe has it, grown if need be."""
    try:
        return grown(network, config)
    except ValueError as error:
        raise TrainingError(
            f"{path.name} holds a network of other sizes than the recipe's.",
            "Write its sizes in the recipe, under [network] or in the last phase.",
        ) from error
