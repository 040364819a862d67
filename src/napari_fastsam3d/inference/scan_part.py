"""What is kept of a scan around an accepted mask, for adapters to be fitted on."""

import numpy as np

from napari_fastsam3d.geometry.crop import Crop
from napari_fastsam3d.geometry.mask import Mask, middle_of
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.inference.crop_policy import CropPolicy
from napari_fastsam3d.memory.kept_scan import KeptScan, ScanPart


def kept_scan(volume: Volume, mask: Mask, policy: CropPolicy) -> KeptScan:
    """Return what the model would see around a structure near by and from afar.

    Parameters
    ----------
    volume : Volume
    mask : Mask
        Source index, not empty.
    policy : CropPolicy
        Of the model.
    """
    middle = middle_of(mask, volume)
    near = policy.at(middle, policy.spacing_to_teach(mask.box))
    far = None if policy.shows_all(near) else policy.at(middle, policy.spacings[-1])
    return KeptScan(_part(volume, mask, near), None if far is None else _part(volume, mask, far))


def _part(volume: Volume, mask: Mask, crop: Crop) -> ScanPart:
    raw = crop.extract(volume.voxels, floor=volume.intensity_floor)[crop.seen]
    filled = crop.resample_mask(mask.box, mask.voxels, 1)[crop.seen] >= 0.5
    limit = np.finfo(np.float16).max
    return ScanPart(raw.clip(-limit, limit).astype(np.float16), filled, crop.spacing)
