"""Images of label maps of anatomy: as CT shows the tissues, or as some MR sequence might.

What is not known of a structure is drawn anew for every image, so that no two look alike.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from napari_fastsam3d.training.augmentation import blur, smooth_noise
from napari_fastsam3d.training.random_generator import RandomGenerator
from napari_fastsam3d.training.tissues import ARM, TISSUES, Range, tissue_of

Names = dict[int, str]

CT_SHARE = 0.65
"""Share of the images of anatomy that are CT; the others are MR."""

_RIM_MM = 2.5
"""Thickness of a bone's cortex and of a bowel's wall."""


def reshaped(labels: Tensor, names: Names, spacing: float, random: RandomGenerator) -> Tensor:
    """Change what differs between bodies: raise the arms out of a torso, thicken the fat.

    Parameters
    ----------
    labels : Tensor
        (S, S, S) integer labels.
    names : dict of int to str
        What they are called; without a `body` nothing is changed.
    spacing : float
        Size of a voxel, mm.
    random : RandomGenerator

    Returns
    -------
    Tensor
        (S, S, S) labels.
    """
    body = next((value for value, name in names.items() if name == "body"), None)
    if body is None:
        return labels
    arms = [value for value, name in names.items() if ARM.search(name)]
    if random.happens(0.6):
        labels = _without(labels, arms, body)
    if random.happens(0.6):
        reach = max(0.5, float(random.numbers.uniform(4, 35)) / spacing)
        fatter = blur((labels > 0).float(), reach) > float(random.numbers.uniform(0.1, 0.4))
        labels = torch.where((labels == 0) & fatter, labels.new_tensor(body), labels)
    return labels


def _without(labels: Tensor, values: list[int], body: int) -> Tensor:
    """Remove structures, and the fat and skin that lie nearer to them than to anything else."""
    from scipy.ndimage import distance_transform_edt

    gone = torch.isin(labels, labels.new_tensor(values))
    if not gone.any():
        return labels
    inner = (labels > 0) & (labels != body)
    if not (inner & ~gone).any():
        return labels
    nearest: NDArray[np.int32] = np.empty((3, *labels.shape), np.int32)
    outside = ~inner.cpu().numpy()
    distance_transform_edt(outside, return_distances=False, return_indices=True, indices=nearest)
    i, j, k = torch.from_numpy(nearest).to(labels.device).long()
    return labels.masked_fill(gone[i, j, k], 0)


def paint_anatomy(labels: Tensor, names: Names, spacing: float, random: RandomGenerator) -> Tensor:
    """Paint labels as CT, in Hounsfield units, or as MR, in arbitrary ones.

    Parameters
    ----------
    labels : Tensor
        (S, S, S) integer labels; those without a name are some soft tissue, 0 is air.
    names, spacing, random
        As in `reshaped`.

    Returns
    -------
    Tensor
        (S, S, S) float32.
    """
    count = int(labels.max()) + 1
    tissues = [tissue_of(names[v]) if v in names else "soft" for v in range(count)]
    tissues[0] = "air"
    if random.happens(CT_SHARE):
        return _as_ct(labels.long(), tissues, spacing, random)
    return _as_mr(labels.long(), tissues, spacing, random)


def _as_ct(labels: Tensor, tissues: list[str], spacing: float, random: RandomGenerator) -> Tensor:
    rng = random.numbers
    phase = ("plain", "arterial", "venous")[rng.choice(3, p=(0.35, 0.25, 0.4))]
    drawn: dict[str, float] = {}
    means, rims, spreads = (np.zeros(len(tissues)) for _ in range(3))
    for value, name in enumerate(tissues):
        tissue = TISSUES[name]
        reach: Range = getattr(tissue, phase)
        # Structures of one tissue look nearly alike in one scan.
        mean = drawn.setdefault(name, float(rng.uniform(*reach)))
        means[value] = mean + float(rng.normal(0, 0.08)) * (reach[1] - reach[0])
        rims[value] = means[value] if tissue.rim is None else rng.uniform(*tissue.rim)
        spreads[value] = tissue.texture * rng.uniform(0.5, 1.5)
    rim = _rim(labels, max(1, round(_RIM_MM / spacing)))
    image = _textured(labels, rim, means, rims, spreads, random)
    for value in _hollow(labels, tissues):
        _fill(image, (labels == value) & ~rim, random)
    image = _with_table(image, labels, random)
    image = blur(image, float(rng.uniform(0.3, 0.8)))
    noise = float(np.exp(rng.uniform(np.log(4), np.log(45))))
    return image + noise * _grain(image, random)


def _as_mr(labels: Tensor, tissues: list[str], spacing: float, random: RandomGenerator) -> Tensor:
    rng = random.numbers
    signal = {name: float(rng.uniform(0.1, 0.9)) for name in TISSUES}
    signal |= {name: float(rng.uniform(0, 0.08)) for name in ("air", "airway", "enamel")}
    signal["lung"] = float(rng.uniform(0, 0.15))
    signal["fat"] = float(rng.uniform(0.65, 1) if random.happens(0.6) else rng.uniform(0.05, 0.3))
    jitter = rng.normal(0, 0.04, len(tissues))
    means = np.array([signal[name] for name in tissues]) + jitter
    dark = rng.uniform(0, 0.15)
    rims = np.where([TISSUES[name].rim is not None for name in tissues], dark, means)
    spreads = rng.uniform(0, 0.05, len(tissues))
    rim = _rim(labels, max(1, round(_RIM_MM / spacing)))
    image = _textured(labels, rim, means, rims, spreads, random)
    image = blur(image, float(rng.uniform(0.3, 0.8)))
    return image + float(rng.uniform(0.005, 0.05)) * _grain(image, random)


def _textured(
    labels: Tensor,
    rim: Tensor,
    means: NDArray[np.float64],
    rims: NDArray[np.float64],
    spreads: NDArray[np.float64],
    random: RandomGenerator,
) -> Tensor:
    table = np.stack([means, rims, spreads]).astype(np.float32)
    mean, outer, spread = torch.from_numpy(table).to(labels.device)[:, labels]
    coarse = smooth_noise((1, *labels.shape), int(random.numbers.integers(6, 20)), random)[0]
    texture = 0.6 * random.normal(*labels.shape) + coarse
    return torch.where(rim, outer, mean) + spread * texture


def _rim(labels: Tensor, thickness: int) -> Tensor:
    """Mark (S, S, S) what lies within so many voxels of another label."""
    differs = torch.zeros_like(labels, dtype=torch.bool)
    for axis in range(3):
        inner = labels.shape[axis] - 1
        change = labels.narrow(axis, 0, inner) != labels.narrow(axis, 1, inner)
        differs.narrow(axis, 0, inner).logical_or_(change)
        differs.narrow(axis, 1, inner).logical_or_(change)
    if thickness == 1:
        return differs
    width = 2 * thickness - 1
    return F.max_pool3d(differs[None].float(), width, 1, thickness - 1)[0] > 0


def _hollow(labels: Tensor, tissues: list[str]) -> list[int]:
    present = torch.bincount(labels.flatten(), minlength=len(tissues)).cpu().numpy() > 0
    return [v for v, name in enumerate(tissues) if present[v] and TISSUES[name].hollow]


def _fill(image: Tensor, inside: Tensor, random: RandomGenerator) -> None:
    """Fill the lumen of a hollow organ, in place: gas above fluid, stool, or contrast agent."""
    rng = random.numbers
    if not inside.any():
        return
    kind = rng.choice(4, p=(0.35, 0.25, 0.25, 0.15))
    level = (float(rng.uniform(-10, 35)), float(rng.uniform(-60, 70)), 20.0, 250.0)[kind]
    rough = (4.0, 60.0, 5.0, 15.0)[kind]
    if kind == 3:
        level = float(rng.uniform(120, 400))
    content = level + rough * smooth_noise((1, *image.shape), int(rng.integers(8, 20)), random)[0]
    if kind in (0, 2) and random.happens(0.6):
        height = torch.arange(image.shape[1], device=image.device)
        planes = inside.any(2).any(0).nonzero()
        low, high = int(planes.min()), int(planes.max())
        gas = height[None, :, None] > float(rng.uniform(low - 1, high + 1))
        content = torch.where(gas, float(rng.uniform(-1000, -900)), content)
    image[inside] = content[inside]


def _with_table(image: Tensor, labels: Tensor, random: RandomGenerator) -> Tensor:
    """Lay a table under the body, behind it, now and then."""
    if not random.happens(0.5):
        return image
    behind = (labels > 0).any(2).any(0).nonzero()
    back = int(behind.min()) if len(behind) else 0
    if back < 3:
        return image
    thickness = int(random.numbers.integers(1, 3))
    top = max(0, back - 1 - int(random.numbers.integers(0, 3)))
    plate = image[:, max(0, top - thickness) : top]
    plate.fill_(float(random.numbers.uniform(-700, 300)))
    return image


def _grain(image: Tensor, random: RandomGenerator) -> Tensor:
    """Draw noise of unit variance, white or, as smooth reconstruction kernels leave it, grainy."""
    noise = random.normal(*image.shape)
    if random.happens(0.5):
        noise = blur(noise, float(random.numbers.uniform(0.4, 0.9)))
        noise = noise / noise.std().clamp(min=1e-6)
    return noise
