"""What an adapter learns from: crops of a structure, seen once by the frozen image encoder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from napari_fastsam3d.geometry import Crop, Volume
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.model_input import SURE
from napari_fastsam3d.model.base_predictor import BasePredictor
from napari_fastsam3d.model.default.image_encoder import Pyramid
from napari_fastsam3d.model.default.masks import Masks
from napari_fastsam3d.model.default.network import PyramidNetwork
from napari_fastsam3d.model.default.prompts import Prompts
from napari_fastsam3d.model.default.region import STEP, NearPyramid, Region

Cells = tuple[int, int, int]

_CELL = 4
_HALF = 2


class View(Protocol):
    """A crop with a structure, and how an adapted network answers to prompts in a part of it."""

    @property
    def clickable(self) -> bool:
        """Whether it is at the spacing at which clicks are answered."""
        ...

    @property
    def truths(self) -> tuple[Tensor, ...]:
        """For each part, (1, 1, D, H, W) share of each cell at S/2 of the structure.

        The first part is around the structure; there may be one more, anywhere.
        """
        ...

    def decode(self, network: nn.Module, part: int, prompts: Prompts) -> Masks:
        """Decode prompts of a part, counted from its first voxel, with an adapted network."""
        ...


@dataclass(frozen=True, eq=False)
class Part:
    """A box of a crop in which masks are drawn while an adapter learns.

    Attributes
    ----------
    region : Region
    truth : Tensor
        (1, 1, D, H, W) share of each cell at S/2 that belongs to the structure.
    near : NearPyramid or None
        What the frozen encoder saw there; None where the encoder is adapted too.
    """

    region: Region
    truth: Tensor
    near: NearPyramid | None


@dataclass(frozen=True, eq=False)
class PyramidView:
    """A crop as the default model's encoder sees it.

    Attributes
    ----------
    image : Tensor or None
        (1, 1, S, S, S) normalised, where the encoder is adapted too.
    pyramid : Pyramid or None
        What the frozen encoder saw; what is drawn on the finest grid is in the parts alone.
    parts : tuple of Part
        Around the structure, and, where the crop shows more of the scan, anywhere.
    clickable : bool
    """

    image: Tensor | None
    pyramid: Pyramid | None
    parts: tuple[Part, ...]
    clickable: bool

    @property
    def truths(self) -> tuple[Tensor, ...]:
        """See `View.truths`."""
        return tuple(part.truth for part in self.parts)

    def decode(self, network: nn.Module, part: int, prompts: Prompts) -> Masks:
        """See `View.decode`."""
        own = cast(PyramidNetwork, network)
        place = self.parts[part]
        if self.image is not None:
            pyramid = own.encoder(self.image)
            near = place.region.near(pyramid)
        else:
            assert self.pyramid is not None
            assert place.near is not None
            pyramid, near = self.pyramid, place.near
        origin = _CELL * torch.tensor(place.region.start, device=prompts.points.device)
        fed = _in_whole(prompts.previous, place.region, pyramid.middle.shape[1])
        whole = replace(prompts, points=prompts.points + origin, previous=fed)
        return own.decoder(pyramid, whole, near=near)


def _in_whole(previous: Tensor, region: Region, size: int) -> Tensor:
    """Give what is fed back over all of a crop; outside of a region there is nothing."""
    if not previous.any():
        return previous.new_zeros(1, 1, size, size, size)
    spans = zip(region.start[::-1], region.shape[::-1], strict=True)
    pads = [pad for start, length in spans for pad in (start, size - start - length)]
    return F.pad(previous, pads, value=-SURE)


@dataclass(frozen=True)
class ViewMaker:
    """Makes views of a structure, all with parts of one shape.

    Attributes
    ----------
    predictor : BasePredictor
    shape : tuple of int
        Cells at S/4 of a part along each axis.
    through_encoder : bool
        Whether the encoder is adapted too.
    """

    predictor: BasePredictor
    shape: Cells
    through_encoder: bool

    def __call__(
        self, volume: Volume, mask: Mask, crop: Crop, clickable: bool, rng: np.random.Generator
    ) -> View | None:
        """Look at a crop; None where it shows nothing of the structure."""
        truth = crop.resample_mask(mask.box, mask.voxels, _HALF)
        if not (truth > 0.5).any():
            return None
        raw = crop.extract(volume.voxels, floor=volume.intensity_floor)
        image = self.predictor.normalise(raw, crop.inside)
        pyramid = None if self.through_encoder else _seen(self.predictor, image)
        regions = [Region(_around(truth, self.shape), self.shape)]
        elsewhere = _anywhere(crop, self.shape, rng)
        if elsewhere is not None:
            regions.append(Region(elsewhere, self.shape))
        parts = tuple(
            Part(region, _cut(truth, region).to(image.device), _near(region, pyramid))
            for region in regions
        )
        return PyramidView(
            image if self.through_encoder else None,
            None if pyramid is None else _without_finest(pyramid),
            parts,
            clickable,
        )


def cells_around(extents: Sequence[Sequence[float]], spacing: float, margin: int) -> Cells:
    """Return how many cells at S/4 hold each of some structures along each axis.

    Parameters
    ----------
    extents : sequence of sequence of float
        Sizes of their boxes in mm along R, A and S.
    spacing : float
        Size in mm of a crop voxel.
    margin : int
        Cells around them.
    """
    cells = np.ceil(np.max(extents, axis=0) / (_CELL * spacing)) + 2 * margin
    i, j, k = (STEP * np.ceil(cells / STEP)).astype(int).tolist()
    return i, j, k


def _seen(predictor: BasePredictor, image: Tensor) -> Pyramid:
    encoded = predictor.encode(image)
    # What was made in inference can't take part in what is differentiated.
    return Pyramid(*(getattr(encoded, each.name).clone() for each in fields(Pyramid)))


def _without_finest(pyramid: Pyramid) -> Pyramid:
    none = pyramid.fine[:, :0]
    return replace(pyramid, fine=none, fine_keys=none, middle_keys=none, fine_intensity=none)


def _near(region: Region, pyramid: Pyramid | None) -> NearPyramid | None:
    if pyramid is None:
        return None
    seen = region.near(pyramid).pyramid
    none = pyramid.embedding[:, :0]
    # Copies, so that the whole pyramid is freed.
    own = {each.name: getattr(seen, each.name).clone() for each in fields(Pyramid)}
    return NearPyramid(region, Pyramid(**{**own, "embedding": none, "coarse": none}))


def _cut(truth: NDArray[np.float32], region: Region) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(truth[region.slices(2)]))[None, None]


def _around(truth: NDArray[np.float32], shape: Cells) -> Cells:
    cells = np.argwhere(truth > 0)
    return _start((cells.min(0) + cells.max(0) + 1) / 4, shape, len(truth) // 2)


def _anywhere(crop: Crop, shape: Cells, rng: np.random.Generator) -> Cells | None:
    """Draw where a part of what a crop shows of a scan begins; None where there is no choice."""
    seen = np.array([np.flatnonzero(planes)[[0, -1]] / _CELL for planes in crop.inside])
    low = seen[:, 0] + np.array(shape) / 2
    high = np.maximum(seen[:, 1] - np.array(shape) / 2, low)
    if (high - low).max() <= 2:
        return None
    return _start(rng.uniform(low, high), shape, crop.size // _CELL)


def _start(centre: NDArray[np.float64], shape: Cells, side: int) -> Cells:
    start = np.rint(centre - np.array(shape) / 2).astype(int)
    i, j, k = np.clip(start, 0, side - np.array(shape)).tolist()
    return i, j, k


Maker = Callable[[Volume, Mask, Crop, bool, np.random.Generator], View | None]
"""Makes a view; see `ViewMaker.__call__`."""
