"""The batches of a training run, in an order that any number of processes keeps to."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from napari_fastsam3d.training.ranks import Ranks
from napari_fastsam3d.training.recipe import Phase, Recipe
from napari_fastsam3d.training.sample import Sampler


@dataclass(frozen=True)
class _Batches(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """The samples of a run in order; item `step` is that step's whole batch."""

    sampler: Sampler
    phase: Phase
    first: int
    ranks: Ranks

    def __len__(self) -> int:
        return self.phase.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        torch.set_num_threads(1)
        phase = self.phase
        before = self.first + step * phase.batch * self.ranks.world
        start = before + self.ranks.rank * phase.batch
        samples = [self.sampler.draw(start + i, phase.crop, phase) for i in range(phase.batch)]
        images = torch.stack([s.image for s in samples])[:, None]
        if images.is_cuda:  # half of the way back and forth between the processes' memories
            images = images.half()
        targets = torch.stack([s.targets for s in samples])
        clicks = torch.stack([torch.from_numpy(s.clicks) for s in samples])
        return images.cpu(), targets.cpu(), clicks


def batches(
    recipe: Recipe, sampler: Sampler, step: int, ranks: Ranks, workers: int = 1
) -> Iterator[tuple[Phase, Tensor, Tensor, Tensor]]:
    """Yield (phase, images, targets, first clicks) from a step to the end of the run.

    Images are (B, 1, S, S, S), targets (B, T, S, S, S) and clicks (B, T, 3). The samples are the
    same, in the same order, however many processes, `workers`, make them.
    """
    gpu = torch.device(sampler.device).type == "cuda"
    first_sample, first_step = 0, 0
    for phase in recipe.phases:
        skipped = min(max(step - first_step, 0), phase.steps)
        if skipped < phase.steps:
            loader = DataLoader(
                _Batches(sampler, phase, first_sample, ranks),
                batch_size=None,
                sampler=range(skipped, phase.steps),
                num_workers=workers,
                prefetch_factor=4 if workers else None,
                # A process that has used a GPU can't be forked.
                multiprocessing_context="spawn" if gpu and workers else None,
                pin_memory=gpu,
            )
            for images, targets, clicks in loader:
                yield phase, images, targets, clicks
        first_sample += phase.steps * phase.batch * ranks.world
        first_step += phase.steps
