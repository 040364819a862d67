"""How a case is looked at while an adapter is fitted: how closely, from where, and from afar."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from napari_fastsam3d.errors import AdapterError
from napari_fastsam3d.geometry.mask import middle_of
from napari_fastsam3d.inference.crop_policy import CropPolicy
from napari_fastsam3d.model.adaptation import AdaptedNetwork, AdapterConfig
from napari_fastsam3d.model.base_predictor import BasePredictor
from napari_fastsam3d.model.default.predictor import PyramidPredictor
from napari_fastsam3d.model.predictor import GoOn
from napari_fastsam3d.training.adaptation.cases import TeachingCase
from napari_fastsam3d.training.adaptation.published_view import PublishedViewMaker
from napari_fastsam3d.training.adaptation.view import Maker, View, ViewMaker, cells_around

# Cells at S/4 around a structure in which it is drawn, and by how much looks are aside: from afar
# in mm; near by at most as a part of a crop's side, as small scans show structures off its middle.
_MARGIN = 3
_AWAY = 40.0
_ASIDE = 0.25


class Extent(NamedTuple):
    """How closely a structure is looked at in a case, and how large it is there.

    Attributes
    ----------
    spacing : float
        Size in mm of a crop voxel.
    sizes : tuple of float
        Of its box in mm along R, A, S.
    """

    spacing: float
    sizes: tuple[float, ...]


def extent_of(case: TeachingCase, predictor: BasePredictor) -> Extent:
    """Return the extent of the structure in a case; AdapterError if it is empty there."""
    volume, mask = case.near()
    if mask.is_empty:
        raise AdapterError(f"The structure is empty in {case.name}.", "Leave that case out.")
    shape = volume.canonical.box_to_target(mask.box).shape
    sizes = [volume.spacing[axis] for axis in volume.canonical.axes]
    spacing = case.spacing or CropPolicy.of(volume, predictor).spacing_to_teach(mask.box)
    return Extent(spacing, tuple(n * size for n, size in zip(shape, sizes, strict=True)))


def view_maker(
    predictor: BasePredictor, config: AdapterConfig, extents: Sequence[Extent], spacing: float
) -> Maker:
    """Return what makes views for a model, at a spacing in mm near by."""
    through = AdaptedNetwork(predictor, config).adapts_encoder
    if isinstance(predictor, PyramidPredictor):
        cells = cells_around([each.sizes for each in extents], spacing, _MARGIN)
        most = predictor.crop_size // 4
        i, j, k = (min(n, most) for n in cells)
        return ViewMaker(predictor, (i, j, k), through)
    return PublishedViewMaker(predictor, through)


def views_of(
    case: TeachingCase,
    predictor: BasePredictor,
    spacing: float,
    make: Maker,
    rng: np.random.Generator,
    go_on: GoOn,
) -> tuple[View, ...]:
    """Look at a case near by, and from afar where there is more of the scan."""
    volume, mask = case.near()
    policy = CropPolicy.of(volume, predictor)
    aside = rng.uniform(-_ASIDE, _ASIDE, 3) * spacing * policy.size / volume.spacing
    near = policy.at(np.add(middle_of(mask, volume), aside).tolist(), spacing)
    views = [make(volume, mask, near, True, rng)]
    # What was kept of a scan shows all of itself, and is seen from afar where the scan went on.
    if case.far is not None and (case.spacing is not None or not policy.shows_all(near)):
        go_on()
        volume, mask = case.far()
        policy = CropPolicy.of(volume, predictor)
        aside = rng.normal(0, _AWAY, 3) / volume.spacing
        far = policy.at(np.add(middle_of(mask, volume), aside).tolist(), policy.spacings[-1])
        views.append(make(volume, mask, far, False, rng))
    return tuple(view for view in views if view is not None)
