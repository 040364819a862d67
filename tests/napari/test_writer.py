"""Labels layers into files."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from napari.layers import Image, Labels

from napari_fastsam3d._napari.frame import frame_of_layer, frame_of_volume
from napari_fastsam3d._napari.mask_layer import MaskLayer
from napari_fastsam3d._napari.mask_saver import suggested_path, with_suffix
from napari_fastsam3d._napari.writer import write_labels
from napari_fastsam3d.errors import SaveError
from napari_fastsam3d.geometry import Box, Source, Volume, read_volume
from napari_fastsam3d.session import ObjectState


def _write(layer: Labels, path: Path) -> nib.Nifti1Image:
    data, meta, _ = layer.as_layer_data_tuple()
    assert write_labels(str(path), data, meta) == [str(path)]
    return nib.load(path)


def test_our_mask_lies_on_the_grid_of_the_file(shared: Path, tmp_path: Path) -> None:
    volume = read_volume(shared / "data" / "awkward" / "orient_PSR_t2.nii.gz")
    mask = MaskLayer(frame_of_volume(volume))
    box = Box((3, 4, 5), (9, 8, 7))
    mask.write(box, np.full(box.shape, 1, np.uint8))
    mask.show((ObjectState(1, "cord", 1, (1.0, 0.0, 0.0)),))
    saved = _write(mask.layer, tmp_path / "mask.nii.gz")
    scan = nib.load(shared / "data" / "awkward" / "orient_PSR_t2.nii.gz")
    assert np.allclose(saved.affine, scan.affine)
    assert int(saved.header["qform_code"]) == int(scan.header["qform_code"])
    expected = np.zeros(scan.shape[:3], np.uint8)
    expected[box.slices] = 1
    assert np.array_equal(np.asarray(saved.dataobj), expected)


def test_a_mask_on_a_foreign_image_keeps_its_order(tmp_path: Path) -> None:
    image = Image(np.zeros((5, 6, 7)), scale=(3, 1, 1))
    frame = frame_of_layer(image)
    mask = MaskLayer(frame)
    box = Box((0, 1, 2), (1, 2, 3))
    mask.write(box, np.ones(box.shape, np.uint8))
    saved = _write(mask.layer, tmp_path / "mask.nii.gz")
    assert np.argwhere(np.asarray(saved.dataobj)).tolist() == [[0, 1, 2]]
    assert np.allclose(nib.affines.voxel_sizes(saved.affine), (3, 1, 1))


def test_labels_of_others_lie_where_napari_shows_them(tmp_path: Path) -> None:
    layer = Labels(
        np.eye(4, dtype=np.uint8)[None].repeat(3, 0), scale=(3, 2, 1), translate=(9, 8, 7)
    )
    saved = _write(layer, tmp_path / "labels.nii.gz")
    world = np.asarray(layer.data_to_world((1, 2, 3)))
    assert np.allclose(nib.affines.apply_affine(saved.affine, (1, 2, 3)), -world[::-1])


def test_flat_labels_are_refused_with_a_remedy(tmp_path: Path) -> None:
    data, meta, _ = Labels(np.zeros((4, 4), np.uint8)).as_layer_data_tuple()
    with pytest.raises(SaveError, match="three axes"):
        write_labels(str(tmp_path / "a.nii.gz"), data, meta)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (Source(Path("/scans/ct.nii.gz"), "nifti"), Path("/scans/ct_mask.nii.gz")),
        (Source(Path("/scans/mr.v2.mha"), "metaimage"), Path("/scans/mr.v2_mask.nii.gz")),
        (Source(), Path.home() / "scan_mask.nii.gz"),
    ],
)
def test_a_mask_is_offered_beside_its_scan(source: Source, expected: Path) -> None:
    volume = Volume.from_array(np.zeros((2, 2, 2), np.int16), name="scan", source=source)
    assert suggested_path(volume) == expected


def test_the_mask_of_a_dicom_folder_is_offered_beside_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "series 1"
    folder.mkdir()
    volume = Volume.from_array(np.zeros((2, 2, 2)), source=Source(folder, "dicom"))
    assert suggested_path(volume) == tmp_path / "series 1_mask.nii.gz"


@pytest.mark.parametrize(("name", "expected"), [("a", "a.nii.gz"), ("a.MHA", "a.MHA")])
def test_a_name_without_suffix_becomes_nifti(name: str, expected: str, tmp_path: Any) -> None:
    assert with_suffix(tmp_path / name) == tmp_path / expected
