"""Training of the default model, in plain torch; stops and goes on at any step."""

import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_fastsam3d.errors import TrainingError
from napari_fastsam3d.model.checkpoint import export_pyramid, read_pyramid
from napari_fastsam3d.model.default.image_encoder import PyramidConfig
from napari_fastsam3d.model.default.network import PyramidNetwork, grown
from napari_fastsam3d.model.default.prompt_maps import click_map
from napari_fastsam3d.model.default.prompts import Prompts
from napari_fastsam3d.model.device import choose_precision
from napari_fastsam3d.training.batches import batches
from napari_fastsam3d.training.log import append_entry, draw_log, forget_steps_from
from napari_fastsam3d.training.loss import StepLoss, halved, step_loss
from napari_fastsam3d.training.random_generator import RandomGenerator
from napari_fastsam3d.training.ranks import Ranks
from napari_fastsam3d.training.recipe import LEARNING, Phase, Recipe, learning_rate
from napari_fastsam3d.training.sample import Sampler
from napari_fastsam3d.training.simulator import first_prompts, next_prompts, shown_mask, used_points

LOCAL_REACH = 8.0
"""Standard deviation, crop voxels, of the neighbourhood of a click that counts more in the loss."""

LOCAL_WEIGHT = 2.0
"""How much more the place of a click counts than one far from all clicks."""

ReportStep = Callable[[int, int, float], None]
"""Called with the steps done, all steps, and the mean IoU after the last click."""


class Trainer:
    """One run: network, moving average, optimiser and step, all kept in one checkpoint file.

    Parameters
    ----------
    recipe : Recipe
        Settings of the run.
    sampler : Sampler
        Draws the samples.
    folder : Path
        Receives `checkpoint.pt` and `log.jsonl`; a run found there goes on where it stopped.
    device : str
        "cpu", "cuda" or one GPU such as "cuda:1".
    ranks : Ranks
        This process among several; each takes `batch` crops of its own a step.
    workers : int
        Processes that make samples. One keeps a CPU busy, a few a GPU.
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
        self.workers = workers
        self.recipe = recipe
        self.ranks = ranks or Ranks()
        self.sampler = sampler
        self.folder = folder
        self.device = torch.device(device)
        # Without the instructions for it bfloat16 is twenty times slower than float32.
        self.mixed_precision = choose_precision("auto", self.device) == torch.bfloat16
        self.step = 0
        torch.manual_seed(recipe.seed)
        folder.mkdir(parents=True, exist_ok=True)
        if self._checkpoint.exists():
            self._resume()
        elif weights is not None:
            self.step = recipe.cycles[-1].start
            self._take(_fitting(read_pyramid(weights), recipe.network_at(self.step), weights))
        else:
            self._take(PyramidNetwork(recipe.network))

    def _take(self, network: PyramidNetwork) -> None:
        """Go on with a network as weights and as their average, with a fresh optimiser."""
        self.network = network.to(self.device)
        self.average = deepcopy(self.network)
        self.optimizer = self._fresh_optimizer()

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def _fresh_optimizer(self) -> torch.optim.AdamW:
        return torch.optim.AdamW(
            _parameter_groups(self.network, self.recipe.weight_decay),
            lr=self.recipe.learning_rate,
            betas=(0.9, 0.98),
            fused=True,
        )

    def run(self, progress: ReportStep, save_every: int = 50, until: float | None = None) -> None:
        """Train to the end of the recipe, or until `time.monotonic()` passes `until`."""
        for phase, images, targets, clicks in batches(
            self.recipe, self.sampler, self.step, self.ranks, self.workers
        ):
            started = time.perf_counter()
            images = images.to(self.device, torch.float32, non_blocking=True)
            targets = targets.to(self.device, non_blocking=True)
            entry = self._train_step(phase, images, targets, clicks)
            self.step += 1
            entry["seconds"] = time.perf_counter() - started
            self._log(entry)
            progress(self.step, self.recipe.steps, entry["iou"][-1])
            out_of_time = self.ranks.agree(until is not None and time.monotonic() > until)
            if self.step % save_every == 0 or out_of_time or self.step == self.recipe.steps:
                self._save()
            if out_of_time:
                return

    def export(self) -> Path:
        """Write the moving average as `weights.safetensors`, and its SHA-256 beside it."""
        path = self.folder / "weights.safetensors"
        export_pyramid(self.average, path)
        return path

    def draw_log(self) -> bool:
        """Draw `log.png`; False where matplotlib is not installed."""
        try:
            draw_log(self.folder / "log.jsonl", self.folder / "log.png")
        except ImportError:
            return False
        return True

    def _train_step(
        self, phase: Phase, images: Tensor, targets: Tensor, clicks: Tensor
    ) -> dict[str, Any]:
        number = self.step * self.ranks.world + self.ranks.rank
        random = RandomGenerator.seeded(self.recipe.seed * 1_000_003 + number, self.device)
        rate = learning_rate(self.recipe, self.step)
        if self.step and self.step == self.recipe.cycle_at(self.step).start:
            self._take(grown(self.average, self.recipe.network_at(self.step)))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        for decoder in self.network.decoders:
            decoder.similarity_maps = phase.similarity_maps
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name.startswith(LEARNING[phase.learns]))
        self.optimizer.zero_grad(set_to_none=True)
        steps = self._interact(phase, images, targets, clicks, random)
        loss = torch.stack([step.loss.detach() for step in steps]).mean()
        if not torch.isfinite(loss):
            raise TrainingError(
                f"The loss is not finite at step {self.step}.", "Lower the learning rate."
            )
        self.ranks.average([p.grad for p in self.network.parameters() if p.grad is not None])
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        self.optimizer.step()
        self._update_average(phase.ema or self.recipe.ema)
        return {
            "step": self.step,
            "crop": phase.crop,
            "loss": loss.item(),
            "iou": [step.iou.mean().item() for step in steps],
            "best_iou": [step.best_iou.mean().item() for step in steps],
            "rate": rate,
            "norm": norm.item(),
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
        decoder = self.network.decoder_of(boxed, coarse=phase.learns == "coarse_decoder")
        shared = phase.learns == "network" or phase.learns_boxes
        # Casts that are kept would join the graphs of all clicks.
        precision = torch.autocast(
            self.device.type, torch.bfloat16, self.mixed_precision, cache_enabled=shared
        )
        steps: list[StepLoss] = []
        room = 1 + (phase.clicks - 1) * phase.most
        with precision:
            pyramid = self.network.encoder(images)
            prompts = first_prompts(truth, room, random, clicks.flatten(0, 1), boxes)
            box_features = decoder.read_box(pyramid, prompts.box)
        for click in range(phase.clicks):
            with precision:
                masks = decoder(pyramid, used_points(prompts), box_features)
                weight = _near_clicks(prompts, truth) if click else None
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

    @torch.no_grad()
    def _update_average(self, ema: float) -> None:
        decay = min(ema, (1 + self.step) / (10 + self.step))
        for mean, new in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(new, 1 - decay)

    def _log(self, entry: dict[str, Any]) -> None:
        if not self.ranks.first:
            return
        append_entry(self.folder / "log.jsonl", entry)

    def _save(self) -> None:
        if not self.ranks.first:
            return
        state = {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        partial = self._checkpoint.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self._checkpoint)
        self.export()

    def _resume(self) -> None:
        state = torch.load(self._checkpoint, map_location=self.device, weights_only=True)
        self.step = int(state["step"])
        # A network grows with the first step of a cycle, so a checkpoint before it is smaller.
        self._take(PyramidNetwork(self.recipe.network_at(max(0, self.step - 1))))
        try:
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (KeyError, RuntimeError) as error:
            raise TrainingError(
                f"{self._checkpoint} belongs to another network.", "Train in another folder."
            ) from error
        if self.ranks.first:
            # Later steps will be taken again.
            forget_steps_from(self.step, self.folder / "log.jsonl")


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


def _parameter_groups(network: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Decay matrices and kernels only, not norms, biases and embeddings."""
    decayed = [p for n, p in network.named_parameters() if p.ndim > 1 and "token" not in n]
    kept = [p for n, p in network.named_parameters() if not (p.ndim > 1 and "token" not in n)]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]
