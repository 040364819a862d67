"""NRRD and MetaImage files written field by field, to say what no library would write."""

from pathlib import Path

import numpy as np

SIZES = (4, 3, 2)
VOXELS = np.arange(24, dtype="<i2")
ARRAY = VOXELS.reshape(SIZES, order="F")

META_IMAGE = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "0 1 0 -1 0 0 0 0 1",
    "Offset": "3 4 5",
    "ElementSpacing": "1 1.5 2",
    "DimSize": "4 3 2",
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}
NRRD = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "4 3 2",
    "space directions": "(0,1,0) (-1.5,0,0) (0,0,2)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(3,4,5)",
}


def meta_image(path: Path, changes=None, data: bytes = VOXELS.tobytes()) -> Path:
    """Write a MetaImage header with some fields changed, those that are None left out."""
    fields = {**META_IMAGE, **(changes or {})}
    last = fields.pop("ElementDataFile")
    lines = [f"{name} = {value}\n" for name, value in fields.items() if value is not None]
    path.write_bytes("".join([*lines, f"ElementDataFile = {last}\n"]).encode() + data)
    return path


def nrrd(path: Path, changes=None, data: bytes = VOXELS.tobytes(), more: str = "\n") -> Path:
    """Write an NRRD header with some fields changed, those that are None left out."""
    fields = {**NRRD, **(changes or {})}
    lines = [f"{name}: {value}\n" for name, value in fields.items() if value is not None]
    path.write_bytes("".join(["NRRD0004\n", *lines, more]).encode() + data)
    return path


def image_affine(image) -> np.ndarray:
    """The affine (4, 4), index to RAS mm, of a SimpleITK image of three dimensions."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
