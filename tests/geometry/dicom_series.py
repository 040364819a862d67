"""Series of DICOM slices, made slice by slice so that each can be spoilt."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK

AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))


@dataclass
class SliceOf:
    """One slice: pixels (rows, columns), where its first pixel lies (LPS mm), and its tags."""

    pixels: np.ndarray
    position: tuple[float, float, float]
    directions: tuple = AXIAL
    spacing: tuple[float, float] = (0.8, 0.9)
    tags: dict[str, str] = field(default_factory=dict)

    def write(self, path: Path, uid: str) -> None:
        row, column = (np.array(d) for d in self.directions)
        image = SimpleITK.GetImageFromArray(self.pixels[None])
        if self.pixels.ndim == 3:
            image = SimpleITK.GetImageFromArray(self.pixels[None], isVector=True)
        image.SetSpacing((*self.spacing, 1.0))
        image.SetOrigin(self.position)
        image.SetDirection(np.stack([row, column, np.cross(row, column)], 1).ravel().tolist())
        tags = {
            "0020|000d": "1.2.3",
            "0020|000e": uid,
            "0008|0060": "CT",
            "0008|103e": "made for a test",
            "0018|0050": "2.5",
            "0020|0032": "\\".join(f"{x:.6f}" for x in self.position),
            "0020|0037": "\\".join(f"{x:.9f}" for x in (*row, *column)),
        }
        for key, value in (tags | self.tags).items():
            image.SetMetaData(key, value)
        writer = SimpleITK.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetImageIO("GDCMImageIO")
        writer.SetFileName(str(path))
        writer.Execute(image)


def stack(heights, *, shift=(0.0, 0.0), directions=AXIAL, seed=0) -> list[SliceOf]:
    """Slices at these heights (mm along the normal), each moved in its plane by `shift` a mm."""
    rng = np.random.default_rng(seed)
    row, column = (np.array(d) for d in directions)
    normal = np.cross(row, column)
    return [
        SliceOf(
            rng.integers(-1000, 1000, (9, 7), dtype=np.int16),
            tuple(map(float, h * (normal + shift[0] * row + shift[1] * column) + (-30, 20, 10))),
            directions,
        )
        for h in heights
    ]


def write(folder: Path, slices, uid: str = "1.2.3.4", prefix: str = "s") -> Path:
    """Write slices under names whose order has nothing to do with where they lie."""
    folder.mkdir(exist_ok=True)
    names = np.random.default_rng(7).permutation(len(slices))
    for number, each in zip(names, slices, strict=True):
        each.write(folder / f"{prefix}{number:03d}", uid)
    for number in names:  # names without an extension are usual, the writer insists on one
        made = folder / f"{prefix}{number:03d}.dcm"
        if made.exists():
            made.rename(made.with_suffix(""))
    return folder


def voxels(slices) -> np.ndarray:
    """The volume (column, row, slice) that the slices are."""
    return np.stack([each.pixels.T for each in slices], axis=2)
