"""Label maps painted as scans: of one map as many patients as are drawn, with like structures."""

import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from napari_fastsam3d.errors import TrainingError
from napari_fastsam3d.evaluation.dataset import LabelledCase
from napari_fastsam3d.geometry import Crop, Volume
from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.training.augmentation import augment_intensities
from napari_fastsam3d.training.data import LabelledVolume, Structure, load_case
from napari_fastsam3d.training.random_generator import RandomGenerator
from napari_fastsam3d.training.rendering import render
from napari_fastsam3d.training.tissues import scenery_of

SIZE = 144
"""Voxels of a painted scan along each axis."""

LEARNT = re.compile(
    "liver|spleen|stomach|colon|small_bowel|duodenum|pancreas|gallbladder|kidney_.*|rectum"
    "|urinary_bladder|prostate|uterus|aorta|inferior_vena_cava|esophagus|trachea|lung_.*|heart_.*"
    "|thymus|sacrum|sternum|(hip|femur|humerus|scapula|clavicle)_.*|vertebra_(C4|T4|T8|T12|L1|L3|L5)"
    "|(gluteus_maximus|gluteus_medius|iliopsoas|erector_spinae)_.*|mandible|skull|tongue|eye"
    "|cerebellum|cerebral_white_matter|brainstem|(thalamus|caudate|putamen|hippocampus)_.*|ventricles"
)
"""Names of structures that are learnt: few enough that each comes often, and no threads."""

_FINEST, _COARSEST = 1.5, 2.6
_SMALLEST = 300
# Part of half a scan by which the middle may lie beside the structure that a scan is drawn around.
_ASIDE = 0.3
_SEED = 5_077


class PaintedScan(NamedTuple):
    """A scan, and the structures that lie in it whole, by name."""

    volume: Volume
    structures: Mapping[str, Mask]


def paint(
    case: LabelledCase, names: Mapping[int, str], number: int, size: int = SIZE
) -> PaintedScan:
    """Paint a part of a label map; the same number gives the same scan.

    It is bent, and painted as CT or MR, as the samples of the default model are. Left stays left.

    Parameters
    ----------
    case : LabelledCase
        A label map.
    names : dict of int to str
        What its values are called; where nothing is known, each is called by set and value, and
        all are structures. Where names are known, those of `LEARNT` are.
    number : int
    size : int
        Voxels of the scan along each axis.

    Raises
    ------
    TrainingError
        When the map has no such structure.
    """
    random = RandomGenerator.seeded((_SEED, number))
    loaded = load_case(case, None, scenery_of(names))
    asked = _structures(loaded, names, case.set_name)
    if not asked:
        raise TrainingError(f"{case.labels} holds no structure to learn.", "Name its values.")
    rng = random.numbers
    crop = _around(loaded, [*asked.values()][rng.integers(len(asked))], size, rng)
    nowhere = np.full(3, np.nan)
    drawn = render(loaded, crop, (), nowhere, random, names=dict(names))
    image = augment_intensities(drawn.image, random).numpy()
    labels = drawn.labels.numpy()
    volume = Volume.from_array(image, spacing=(crop.spacing,) * 3)
    masks = ((name, _whole(labels == s.value)) for name, s in asked.items())
    return PaintedScan(volume, {name: mask for name, mask in masks if mask is not None})


def _structures(
    loaded: LabelledVolume, names: Mapping[int, str], set_name: str
) -> dict[str, Structure]:
    if not names:
        return {f"{set_name} {s.value}": s for s in loaded.structures}
    return {
        names[s.value]: s for s in loaded.structures if LEARNT.fullmatch(names.get(s.value, ""))
    }


def _around(
    loaded: LabelledVolume, structure: Structure, size: int, rng: np.random.Generator
) -> Crop:
    spacing = float(rng.uniform(_FINEST, _COARSEST))
    voxel = np.array(loaded.volume.spacing)
    middle = np.array(structure.box.start) + np.array(structure.box.shape) / 2
    aside = rng.uniform(-1, 1, 3) * _ASIDE * size / 2 * spacing / voxel
    centre = (middle + aside).clip(0, np.array(loaded.volume.shape) - 1)
    return Crop.around(loaded.volume, [float(c) for c in centre], spacing=spacing, size=size)


def _whole(voxels: np.ndarray) -> Mask | None:
    """Return a mask that is large enough and isn't cut by the faces of the scan."""
    box = Box.of_mask(voxels)
    if box is None or np.count_nonzero(voxels) < _SMALLEST:
        return None
    if min(box.start) == 0 or any(b == n for b, n in zip(box.stop, voxels.shape, strict=True)):
        return None
    return Mask.of(box, voxels[box.slices])
