"""A data folder like the real one, small enough to make in a moment."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np

RECIPE = """
seed = 3
warmup = 2
[sources]
balls = 0.6
maps = 0.2
shapes = 0.2
[network]
widths = [4, 8, 8]
blocks = [1, 1, 1]
width = 16
depth = 1
heads = 2
decoder_widths = [4, 8, 8]
affinity_heads = [1, 2]
affinity_width = 4
[[phases]]
steps = 4
crop = 32
batch = 2
clicks = 2
[[phases]]
steps = 2
crop = 48
batch = 1
clicks = 2
"""


def make_data(folder: Path) -> Path:
    """Write two training cases, one of validation, and one label map."""
    split = {"train": {"balls": ["a", "b"]}, "validation": {"balls": ["c"]}}
    (folder / "split.json").write_text(json.dumps(split))
    rng = np.random.default_rng(0)
    home = folder / "labelled" / "balls"
    home.mkdir(parents=True)
    for name in "abc":
        labels = ball((40, 44, 36), rng.uniform(14, 22, 3), 9)
        image = (300.0 * labels + rng.normal(0, 20, labels.shape)).astype(np.int16)
        write(home / f"{name}_img.nii.gz", image)
        write(home / f"{name}_seg.nii.gz", labels)
    maps = folder / "label_maps" / "maps"
    maps.mkdir(parents=True)
    write(maps / "one_seg.nii.gz", ball((40, 40, 40), (20, 20, 20), 12))
    return folder


def ball(shape, centre, radius):
    grid = np.indices(shape) - np.reshape(centre, (3, 1, 1, 1))
    return ((grid**2).sum(0) <= radius**2).astype(np.uint8)


def write(path: Path, array) -> None:
    nib.Nifti1Image(array, np.diag([1.0, 1.0, 1.5, 1.0])).to_filename(path)
