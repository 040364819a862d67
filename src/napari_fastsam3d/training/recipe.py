"""A training run's settings; `recipe_file` reads them."""

import math
from dataclasses import dataclass, field, replace

from napari_fastsam3d.model.default.image_encoder import PyramidConfig

LEARNING = {
    "network": "",
    "decoder": "decoder.",
    "box_decoder": "box_decoder.",
    "box_features": "box_decoder.box_cues.",
    "coarse_decoder": "coarse_decoder.",
    "first_decoder": "first_decoder.",
    "first_judge": "first_decoder.candidates.judge.",
    "candidates": "decoder.candidates.",
}
"""What may learn, and how the names of its parameters begin."""


@dataclass(frozen=True)
class SamplingOptions:
    """How the target of a sample and the place of its crop are chosen.

    Attributes
    ----------
    aimed : float
        Share of the crops that lie where, and are as coarse as, the crop policy has them at a
        first click; the others lie around the structure in all scales.
    regrouped : float
        Share of the targets that are a group (all vertebrae), or one piece of several (a lesion).
    large : float
        Share of the aimed crops whose structure is drawn by its extent, so that organs come more
        often than the many small parts of a scan.
    boxed : float
        Share of the crops that aren't aimed that lie where the crop policy has them at a box.
    deformed : float
        Share of the scans whose shape is changed a little; label maps always are.
    lesioned : float
        Share of the structures that are given lesions, which are the target then.
    targets : int
        Targets a crop: what it was placed for, and others that it holds.
    middle : float
        Share of the aimed crops whose click lies in the middle of the structure, the others on any
        of its voxels.
    together : bool
        Whether the label group of the first target is always among the further ones.
    grouped : float
        Share of the further targets that are a label group.
    supervoxels : float
        Share of the further targets of a scan that are supervoxels; with 0 they don't fill up what
        is wanting either.
    finest, coarsest : float or None
        Sizes of a crop voxel, mm, between which those of aimed crops are drawn; None for that of
        the crop policy, a little finer or coarser.
    """

    aimed: float = 0.0
    regrouped: float = 0.0
    large: float = 0.0
    boxed: float = 0.0
    deformed: float = 0.0
    lesioned: float = 0.0
    targets: int = 1
    middle: float = 0.0
    together: bool = True
    grouped: float = 0.25
    supervoxels: float = 0.2
    finest: float | None = None
    coarsest: float | None = None

    @property
    def spacings(self) -> tuple[float, float] | None:
        """The finest and the coarsest crop voxels of aimed crops; None for the crop policy's."""
        return None if self.finest is None else (self.finest, self.coarsest or self.finest)


@dataclass(frozen=True, kw_only=True)
class Phase(SamplingOptions):
    """A stretch of the run with one crop size, and one choice of samples.

    Attributes
    ----------
    steps : int
        Optimiser steps.
    crop : int
        Edge of the crop in voxels, a multiple of 16.
    batch : int
        Crops a step.
    clicks : int
        Steps of interaction a crop.
    most : int
        Clicks that a crop may get in one step after the first.
    boxes : float
        Share of the samples that begin with a box, where they aren't aimed at a first click;
        three fifths of them with nothing else. Of a network that has a decoder for boxes, the share
        of the steps that are of boxes only, which that decoder answers.
    learns : str
        What of the network learns, one of `LEARNING`. Where that is of the decoder for boxes,
        every sample begins with a box; where it is another decoder or the candidates, none.
    ema : float or None
        As of the recipe, over this phase; None takes that of the recipe.
    network : PyramidConfig or None
        Sizes that the network grows to before this phase, which begins a cycle; see `grown`.
    similarity_maps : bool
        Whether the decoder is given its maps of similarity.
    decay : float or None
        As of the recipe, for a cycle that begins with this phase; None takes that of the recipe.
    rate : float or None
        Peak learning rate of a cycle that begins with this phase, from the average of the weights
        and with a fresh optimiser (Loshchilov and Hutter 2017); None goes on with the cycle that
        runs.
    """

    steps: int
    crop: int
    batch: int
    clicks: int = 3
    most: int = 1
    boxes: float = 0.25
    learns: str = "network"
    ema: float | None = None
    network: PyramidConfig | None = None
    similarity_maps: bool = True
    decay: float | None = None
    rate: float | None = None

    @property
    def learns_boxes(self) -> bool:
        """Whether what learns belongs to the decoder for boxes."""
        return LEARNING[self.learns].startswith("box_decoder.")

    @property
    def learns_from_afar(self) -> bool:
        """Whether what learns is given what a coarse pass finds."""
        return LEARNING[self.learns].startswith("first_decoder.")


@dataclass(frozen=True)
class Cycle:
    """A stretch of the run over which the learning rate rises and falls once.

    Attributes
    ----------
    start, steps : int
        Its first step, and how many it has.
    rate : float
        The learning rate at its peak.
    decay : float
        Last fraction of the cycle over which the learning rate falls.
    """

    start: int
    steps: int
    rate: float
    decay: float


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the outcome of a run, besides the data.

    Attributes
    ----------
    seed : int
        Seed of the weights, the samples and the clicks.
    learning_rate, weight_decay, clip : float
        Of AdamW, the rate at the peak of the first cycle; and the largest gradient norm.
    warmup : int
        Steps of linear rise of the learning rate at the beginning of a cycle.
    decay : float
        Last fraction of a cycle over which the learning rate falls along a cosine.
    ema : float
        Decay of the moving average of the weights, per step.
    sources : dict of str to float
        Share of each source of samples: a set of labelled volumes, a set of label maps, "shapes".
    phases : tuple of Phase
        The stretches of the run, in order.
    network : PyramidConfig
        Sizes of the network at the beginning.
    held_out : dict of str to int
        How many cases at the end of each set are not trained on, but chosen by.
    """

    sources: dict[str, float]
    phases: tuple[Phase, ...]
    seed: int = 0
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    clip: float = 1.0
    warmup: int = 100
    decay: float = 0.4
    ema: float = 0.998
    network: PyramidConfig = field(default_factory=PyramidConfig)
    held_out: dict[str, int] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """All optimiser steps of the run."""
        return sum(phase.steps for phase in self.phases)

    @property
    def cycles(self) -> tuple[Cycle, ...]:
        """The cycles of the learning rate, in order."""
        found: list[Cycle] = []
        start = 0
        for phase in self.phases:
            if phase.rate is not None or not found:
                decay = self.decay if phase.decay is None else phase.decay
                found.append(Cycle(start, 0, phase.rate or self.learning_rate, decay))
            found[-1] = replace(found[-1], steps=found[-1].steps + phase.steps)
            start += phase.steps
        return tuple(found)

    def cycle_at(self, step: int) -> Cycle:
        """Give the cycle that a step belongs to."""
        return next(c for c in reversed(self.cycles) if step >= c.start)

    def network_at(self, step: int) -> PyramidConfig:
        """Give the sizes of the network at a step."""
        config, start = self.network, 0
        for phase in self.phases:
            if start <= step:
                config = phase.network or config
            start += phase.steps
        return config


def learning_rate(recipe: Recipe, step: int) -> float:
    """Rise linearly, stay, and fall along a half cosine over the last part of each cycle."""
    cycle = recipe.cycle_at(step)
    done = step - cycle.start
    rise = min(1.0, (done + 1) / max(1, recipe.warmup))
    start = cycle.steps * (1 - cycle.decay)
    progress = min(1.0, max(0.0, (done - start) / max(1.0, cycle.steps - start)))
    return cycle.rate * rise * (0.02 + 0.98 * (1 + math.cos(math.pi * progress)) / 2)
