"""MetaImage: a mask, compressed, in one file with its header."""

import zlib
from pathlib import Path

from napari_fastsam3d.geometry.io.nrrd_writer import Labels, in_lps, planes, words
from napari_fastsam3d.geometry.volume import Volume

_COMPRESSION = 4


def write_meta_image(path: Path, labels: Labels, volume: Volume, names: str) -> None:
    """Write labels and their header to one file; for the parameters see `write_nifti`."""
    lps = in_lps(volume)
    packer = zlib.compressobj(_COMPRESSION)
    packed = [packer.compress(plane) for plane in planes(labels)]
    packed.append(packer.flush())
    lines = [
        "ObjectType = Image",
        "NDims = 3",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        "CompressedData = True",
        f"CompressedDataSize = {sum(map(len, packed))}",
        f"TransformMatrix = {words((lps[:3, :3] / volume.spacing).T.ravel())}",
        f"Offset = {words(lps[:3, 3])}",
        "CenterOfRotation = 0 0 0",
        f"ElementSpacing = {words(volume.spacing)}",
        "DimSize = {} {} {}".format(*labels.shape),
        *([f"label_names = {names}"] if names else []),
        f"ElementType = {'MET_UCHAR' if labels.itemsize == 1 else 'MET_USHORT'}",
        "ElementDataFile = LOCAL",
    ]
    with path.open("xb") as raw:
        raw.write("\n".join([*lines, ""]).encode("ascii"))
        raw.writelines(packed)
