"""Layer-wise progressive distillation of an image encoder (Shen et al. 2024, FastSAM3D)."""

from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napari_fastsam3d.errors import TrainingError
from napari_fastsam3d.training.distillation_recipe import DistillationRecipe
from napari_fastsam3d.training.ranks import Ranks
from napari_fastsam3d.training.recipe import Phase, learning_rate
from napari_fastsam3d.training.run import TrainingRun
from napari_fastsam3d.training.sample import Sampler
from napari_fastsam3d.training.students import Match, Student

LEAST_VARIANCE = 0.01
"""What is added to the variance of each channel, as a part of the mean of all."""


class Distiller(TrainingRun[nn.Module]):
    """A run in which a student's image encoder learns to give what its teacher's does.

    Each phase of the recipe is a stage: the layers that it names are matched by their mean squared
    error, measured in the variance of the teacher's channels; the whole student learns.

    Parameters
    ----------
    recipe : DistillationRecipe
        Settings of the run.
    student : Student
        The pair of encoders.
    sampler, folder, device, ranks, workers
        See `TrainingRun`.
    """

    def __init__(
        self,
        recipe: DistillationRecipe,
        student: Student,
        sampler: Sampler,
        folder: Path,
        device: str = "cpu",
        ranks: Ranks | None = None,
        workers: int = 1,
    ) -> None:
        super().__init__(recipe.run, sampler, folder, device, ranks, workers)
        self._student = student
        self._stages = recipe
        for stage in recipe.stages:
            _matched(stage, student.matches)
        self._teacher = student.teacher.eval().requires_grad_(False).to(self.device)
        self._begin(student.make)

    def _network_at(self, step: int) -> nn.Module:
        return self._student.make()

    def _success(self, entry: dict[str, Any]) -> float:
        """Give the mean relative error of the matched layers."""
        return entry["loss"]

    def export(self) -> Path:
        """Write a whole model of the moving average as `weights.safetensors`."""
        path = self.folder / "weights.safetensors"
        self._student.export(self.average, path)
        return path

    def _train_step(
        self, phase: Phase, images: Tensor, targets: Tensor, clicks: Tensor
    ) -> dict[str, Any]:
        matches = _matched(self._stages.stage_at(self.step), self._student.matches)
        rate = learning_rate(self.recipe, self.step)
        errors = self._errors(self.network, images, matches)
        loss = torch.stack(list(errors.values())).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = self._descend(loss.detach(), rate, phase.ema or self.recipe.ema)
        return {
            "step": self.step,
            "crop": phase.crop,
            "loss": loss.item(),
            "errors": {name: error.item() for name, error in errors.items()},
            "rate": rate,
            "norm": norm,
        }

    def errors(self, images: Tensor) -> dict[str, float]:
        """Measure the moving average on samples (B, 1, S, S, S).

        Returns
        -------
        dict of str to float
            For each layer that could be matched, the relative squared error.
        """
        with torch.no_grad():
            found = self._errors(self.average, images, self._student.matches)
        return {name: error.item() for name, error in found.items()}

    def _errors(
        self, student: nn.Module, images: Tensor, matches: Iterable[Match]
    ) -> dict[str, Tensor]:
        images = self._student.normalise(images)
        with torch.autocast(self.device.type, torch.bfloat16, self.mixed_precision):
            with torch.no_grad():
                wanted = _outputs(self._teacher, images, [match.teacher for match in matches])
            given = _outputs(student, images, [match.student for match in matches])
        return {
            match.student: _relative_error(given[match.student], wanted[match.teacher])
            for match in matches
        }


def _matched(patterns: tuple[str, ...], matches: tuple[Match, ...]) -> tuple[Match, ...]:
    """Give the matches of a stage, in their order."""
    found = tuple(m for m in matches if any(fnmatch(m.student, pattern) for pattern in patterns))
    unknown = [p for p in patterns if not any(fnmatch(m.student, p) for m in matches)]
    if unknown:
        raise TrainingError(
            f"The student has no layer {', '.join(unknown)} to match.",
            f"It has {', '.join(match.student for match in matches)}.",
        )
    return found


def _outputs(encoder: nn.Module, images: Tensor, names: Iterable[str]) -> dict[str, Tensor]:
    """Encode images; gives what the named layers made of them."""
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, tuple[Any, ...], Tensor], None]:
        def hook(_layer: nn.Module, _inputs: tuple[Any, ...], output: Tensor) -> None:
            found[name] = output

        return hook

    handles = [encoder.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    try:
        encoder(images)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _relative_error(given: Tensor, wanted: Tensor) -> Tensor:
    """Give the squared error of each channel as a part of its variance, averaged over channels.

    A few channels of a transformer are a thousand times larger than the others and say little.
    """
    wanted = wanted.float().flatten(0, -2)
    variance = wanted.var(0)
    floor = LEAST_VARIANCE * variance.mean() + torch.finfo(torch.float32).tiny
    errors = (given.float().flatten(0, -2) - wanted).square().mean(0)
    return (errors / (variance + floor)).mean()
