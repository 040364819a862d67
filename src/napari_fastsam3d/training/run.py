"""A training run: it stops and goes on at any step, from one checkpoint file."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from napari_fastsam3d.errors import TrainingError
from napari_fastsam3d.model.device import choose_precision
from napari_fastsam3d.training.batches import batches
from napari_fastsam3d.training.log import append_entry, draw_log, forget_steps_from
from napari_fastsam3d.training.ranks import Ranks
from napari_fastsam3d.training.recipe import Phase, Recipe
from napari_fastsam3d.training.sample import Sampler

Network = TypeVar("Network", bound=nn.Module)

ReportStep = Callable[[int, int, float], None]
"""Called with the steps done, all steps, and how well the last one went."""


class TrainingRun(ABC, Generic[Network]):
    """What learns, its moving average, optimiser and step, all kept in one checkpoint file.

    A subclass takes its network in its constructor, by `_begin`.

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
    """

    network: Network
    average: Network
    optimizer: torch.optim.AdamW

    def __init__(
        self,
        recipe: Recipe,
        sampler: Sampler,
        folder: Path,
        device: str = "cpu",
        ranks: Ranks | None = None,
        workers: int = 1,
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
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TrainingError(
                f"The folder {folder} cannot be made: {error.strerror}.", "Name another with --out."
            ) from error

    @abstractmethod
    def _network_at(self, step: int) -> Network:
        """Make a network of the sizes that it has at a step, with any weights."""

    @abstractmethod
    def _train_step(
        self, phase: Phase, images: Tensor, targets: Tensor, clicks: Tensor
    ) -> dict[str, Any]:
        """Take one step of the optimiser; gives its entry in the log."""

    @abstractmethod
    def _success(self, entry: dict[str, Any]) -> float:
        """Give the number that tells how well a step went."""

    @abstractmethod
    def export(self) -> Path:
        """Write the moving average as `weights.safetensors`, and its SHA-256 beside it."""

    def _begin(self, first: Callable[[], Network]) -> None:
        """Go on with the run that is in the folder, else begin with a network."""
        if self._checkpoint.exists():
            self._resume()
        else:
            self._take(first())

    def _take(self, network: Network) -> None:
        """Go on with a network as weights and as their average, with a fresh optimiser."""
        self.network = network.to(self.device)
        self.average = deepcopy(self.network)
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(self.network, self.recipe.weight_decay),
            lr=self.recipe.learning_rate,
            betas=(0.9, 0.98),
            fused=True,
        )

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

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
            progress(self.step, self.recipe.steps, self._success(entry))
            out_of_time = self.ranks.agree(until is not None and time.monotonic() > until)
            if self.step % save_every == 0 or out_of_time or self.step == self.recipe.steps:
                self._save()
            if out_of_time:
                return

    def draw_log(self) -> bool:
        """Draw `log.png`; False where matplotlib is not installed."""
        try:
            draw_log(self.folder / "log.jsonl", self.folder / "log.png")
        except ImportError:
            return False
        return True

    def _descend(self, loss: Tensor, rate: float, ema: float) -> float:
        """Step down the gradients that lie ready; gives their norm."""
        if not torch.isfinite(loss):
            raise TrainingError(
                f"The loss is not finite at step {self.step}.", "Lower the learning rate."
            )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.ranks.average([p.grad for p in self.network.parameters() if p.grad is not None])
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        self.optimizer.step()
        self._update_average(ema)
        return norm.item()

    @torch.no_grad()
    def _update_average(self, ema: float) -> None:
        decay = min(ema, (1 + self.step) / (10 + self.step))
        for mean, new in zip(self.average.parameters(), self.network.parameters(), strict=True):
            mean.lerp_(new, 1 - decay)

    def _log(self, entry: dict[str, Any]) -> None:
        if self.ranks.first:
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
        self._take(self._network_at(max(0, self.step - 1)))
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


def _parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Decay matrices and kernels only, not norms, biases and embeddings."""
    decayed = [p for n, p in network.named_parameters() if p.ndim > 1 and "token" not in n]
    kept = [p for n, p in network.named_parameters() if not (p.ndim > 1 and "token" not in n)]
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]
