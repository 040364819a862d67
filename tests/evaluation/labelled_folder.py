"""A data folder like the real one, small enough to make in a moment."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np

from napari_fastsam3d.geometry import Volume

SHAPE = (30, 34, 26)


def block(low, high, shape=SHAPE):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return mask


def ball(centre, radius, shape=SHAPE):
    grid = np.indices(shape) - np.reshape(centre, (3, 1, 1, 1))
    return (grid**2).sum(0) <= radius**2


def bright(labels, spacing=(1.0, 1.0, 1.5)) -> Volume:
    """A scan in which each structure stands out from noise."""
    noise = np.random.default_rng(0).normal(0, 20, labels.shape)
    return Volume.from_array((200.0 * labels + noise).astype(np.int16), spacing=spacing)


def make_folder(folder: Path) -> Path:
    """Write one training case and three of validation, in two sets of one or two structures."""
    split = {"train": {"balls": ["t"]}, "validation": {"balls": ["a", "b"], "pairs": ["c"]}}
    (folder / "split.json").write_text(json.dumps(split))
    for set_name, names in (("balls", "tab"), ("pairs", "c")):
        home = folder / "labelled" / set_name
        home.mkdir(parents=True)
        for at, name in enumerate(names):
            labels = ball((12 + at, 15, 10), 6).astype(np.uint8)
            if set_name == "pairs":
                labels[ball((12, 28, 18), 4)] = 2
            volume = bright(labels)
            for kind, voxels in (("img", volume.voxels), ("seg", labels)):
                path = home / f"{name}_{kind}.nii.gz"
                nib.Nifti1Image(voxels, volume.affine).to_filename(path)
    (home / "labels.json").write_text('{"labels": {"1": "large", "2": "small"}, "modality": "MR"}')
    (folder / "INDEX.md").write_text("| set | cases | what |\n| balls | 1 + 2 | CT balls |\n")
    return folder
