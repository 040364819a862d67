"""Views for the published models, whose masks are drawn over a whole crop at S/4."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_fastsam3d.geometry import Crop, Volume
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.model.base_predictor import BasePredictor
from napari_fastsam3d.model.default.masks import Masks
from napari_fastsam3d.model.default.prompts import Prompts
from napari_fastsam3d.model.sam_med3d.network import PublishedNetwork


@dataclass(frozen=True, eq=False)
class PublishedView:
    """A crop for a published model: it is told of the newest point, and of the mask before.

    Attributes
    ----------
    image : Tensor or None
        (1, 1, S, S, S) normalised, where the encoder is adapted too.
    embedding : Tensor or None
        (1, C, n, n, n) of the frozen encoder.
    truth : Tensor
        (1, 1, S/2, S/2, S/2).
    clickable : bool
    """

    image: Tensor | None
    embedding: Tensor | None
    truth: Tensor
    clickable: bool

    @property
    def truths(self) -> tuple[Tensor, ...]:
        """See `View.truths`."""
        return (self.truth,)

    def decode(self, network: nn.Module, part: int, prompts: Prompts) -> Masks:
        """See `View.decode`; logits at S/2 are interpolated."""
        own = cast(PublishedNetwork, network)
        embedding = self.embedding if self.image is None else own.encode(self.image)
        assert embedding is not None
        low, quality = own.decode(own.precompute(embedding), *_newest(prompts), prompts.previous)
        fine = F.interpolate(low, scale_factor=2, mode="trilinear")
        return Masks(low, fine, quality.clamp(0, 1))


def _newest(prompts: Prompts) -> tuple[Tensor, Tensor]:
    """Return the newest point with the padding that the authors' code appends; none is none."""
    used = torch.nonzero(prompts.labels[0] >= 0)[:, 0]
    if not len(used):
        return prompts.points[:, :0], prompts.labels[:, :0]
    newest = used[-1:]
    points, labels = prompts.points[:, newest], prompts.labels[:, newest]
    return torch.cat([points, torch.zeros_like(points)], 1), torch.cat([labels, -(labels**0)], 1)


@dataclass(frozen=True)
class PublishedViewMaker:
    """Makes such views; see `ViewMaker`."""

    predictor: BasePredictor
    through_encoder: bool

    def __call__(
        self, volume: Volume, mask: Mask, crop: Crop, clickable: bool, rng: np.random.Generator
    ) -> PublishedView | None:
        """Look at a crop; None where it shows nothing of the structure."""
        truth = crop.resample_mask(mask.box, mask.voxels, 2)
        if not (truth > 0.5).any():
            return None
        raw = crop.extract(volume.voxels, floor=volume.intensity_floor)
        image = self.predictor.normalise(raw, crop.inside).clone()
        embedding = None
        if not self.through_encoder:
            embedding = self.predictor.encode(image).embedding.clone()
        return PublishedView(
            image if self.through_encoder else None,
            embedding,
            torch.from_numpy(truth).to(image.device)[None, None],
            clickable,
        )
