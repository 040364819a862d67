"""Labels layers into files."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from napari.layers import Image, Labels, Layer
from napari.utils.notifications import notification_manager

from napari_fastsam3d._napari.contributions.reader import image_layer_data
from napari_fastsam3d._napari.contributions.writer import write_labels
from napari_fastsam3d._napari.dialogs.mask_saver import suggested_path, with_suffix
from napari_fastsam3d._napari.frame import frame_of_layer, frame_of_volume
from napari_fastsam3d._napari.layers.masks import MaskLayer
from napari_fastsam3d.errors import SaveError
from napari_fastsam3d.geometry import Box, Source, Volume, read_volume, save_mask
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


PLACE = {"scale": (3, 2, 1), "translate": (9, 8, 7)}


def _some_labels(**place: Any) -> Labels:
    return Labels(np.eye(4, dtype=np.uint8)[None].repeat(3, 0), **place)


def _place_of(saved: nib.Nifti1Image, index: Any) -> np.ndarray:
    return nib.affines.apply_affine(saved.affine, index)


def test_labels_in_the_world_of_our_reader_lie_where_napari_shows_them(tmp_path: Path) -> None:
    """As napari's own button makes them beside a scan of our reader."""
    layer = _some_labels(**PLACE, axis_labels=("I", "P", "L"), units="mm")
    saved = _write(layer, tmp_path / "labels.nii.gz")
    world = np.asarray(layer.data_to_world((1, 2, 3)))
    assert np.allclose(_place_of(saved, (1, 2, 3)), -world[::-1])


@pytest.mark.parametrize("unit", ["pixel", "mm", "um", "cm"])
def test_labels_without_a_scan_are_taken_to_lie_as_an_image_there_would(
    tmp_path: Path, unit: str
) -> None:
    layer = _some_labels(**PLACE, units=(unit,) * 3)
    saved = _write(layer, tmp_path / "labels.nii.gz")
    frame = frame_of_layer(Image(layer.data, **PLACE, units=(unit,) * 3))
    assert np.allclose(_place_of(saved, (1, 2, 3)), frame.volume.to_world((1, 2, 3)))
    assert "does not tell how the patient lies" in notification_manager.records[-1].message


_TURN = [[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1.0]]
_SCALE_AGAIN = np.diag([2.0, 0.5, 1, 1])


@pytest.mark.parametrize(
    "place",
    [
        {},
        PLACE,
        {"scale": (3, 1, 1), "translate": (-100, 20, 30)},
        {**PLACE, "rotate": _TURN},
        {**PLACE, "shear": (0.1, 0, 0.2)},
        {**PLACE, "affine": _SCALE_AGAIN},
        {**PLACE, "units": ("um", "um", "um")},
        {**PLACE, "units": ("cm", "mm", "um")},
        {"scale": (2, 2, 2), "axis_labels": ("I", "P", "L")},
    ],
)
def test_one_place_by_the_button_and_by_the_menu(
    tmp_path: Path, make_napari_viewer: Any, place: dict[str, Any]
) -> None:
    """The mask of an image of another reader, and a labels layer in the same place."""
    viewer = make_napari_viewer()
    viewer.add_image(np.zeros((3, 4, 4)), **place)
    frame = frame_of_layer(viewer.layers[0], beside=viewer.layers)
    mask = np.eye(4, dtype=np.uint8)[None].repeat(3, 0)
    button = nib.load(save_mask(tmp_path / "button.nii.gz", mask, frame.volume))
    viewer.add_labels(mask, **place).save(str(tmp_path / "menu.nii.gz"), plugin="napari-fastsam3d")
    menu = nib.load(tmp_path / "menu.nii.gz")
    assert np.allclose(menu.affine, button.affine, atol=1e-6)
    assert np.array_equal(np.asarray(menu.dataobj), np.asarray(button.dataobj))


ITK = {"spacing": (1, 2, 3), "origin": (10, 20, -30), "direction": (1, 0, 0, 0, 1, 0, 0, 0, 1)}


def test_labels_on_an_image_of_an_itk_reader_lie_where_it_says(
    tmp_path: Path, make_napari_viewer: Any
) -> None:
    viewer = make_napari_viewer()
    place = {"scale": (3, 2, 1), "translate": (-30, 20, 10)}
    image = viewer.add_image(np.zeros((3, 4, 4)), metadata=ITK, **place)
    labels = viewer.add_labels(np.eye(4, dtype=np.uint8)[None].repeat(3, 0), **place)
    saved = _write(labels, tmp_path / "labels.nii.gz")
    assert np.allclose(saved.affine, frame_of_layer(image).volume.affine)
    assert np.allclose(_place_of(saved, (0, 0, 0)), (-10, -20, -30))


def test_labels_on_a_scan_of_ours_go_to_its_own_grid(
    shared: Path, tmp_path: Path, make_napari_viewer: Any
) -> None:
    path = shared / "data" / "awkward" / "orient_PSR_t2.nii.gz"
    viewer, volume = make_napari_viewer(), read_volume(path)
    image = viewer.add_layer(Layer.create(*image_layer_data(volume)))
    bright = (np.asarray(image.data) > 100).astype(np.uint8)
    labels = viewer.add_labels(bright, scale=image.scale, translate=image.translate, units="mm")
    saved = _write(labels, tmp_path / "labels.nii.gz")
    scan = nib.load(path)
    assert np.array_equal(saved.affine, scan.affine)
    assert np.array_equal(np.asarray(saved.dataobj), np.asarray(scan.dataobj) > 100)


def test_labels_on_part_of_a_scan_of_ours_lie_in_its_world(
    shared: Path, tmp_path: Path, make_napari_viewer: Any
) -> None:
    viewer = make_napari_viewer()
    volume = read_volume(shared / "data" / "awkward" / "orient_PSR_t2.nii.gz")
    frame = frame_of_volume(volume)
    image = viewer.add_layer(Layer.create(*image_layer_data(volume)))
    corner = image.data_to_world((4, 5, 6))
    labels = viewer.add_labels(np.ones((3, 4, 5), np.uint8), scale=image.scale, translate=corner)
    saved = _write(labels, tmp_path / "labels.nii.gz")
    for index in ((0, 0, 0), (2, 3, 4)):
        source = frame.to_source(np.add(index, (4, 5, 6)))[0]
        assert np.allclose(_place_of(saved, index), volume.to_world(source), atol=0.05)


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


@pytest.mark.parametrize(
    ("typed", "kind", "name"),
    [
        ("mask", "", "mask.nii.gz"),
        ("mask", "NIfTI (*.nii.gz *.nii)", "mask.nii.gz"),
        ("mask.nii", "NIfTI (*.nii.gz *.nii)", "mask.nii"),
        ("mask.mha", "NIfTI (*.nii.gz *.nii)", "mask.mha"),
        ("mask.nii.gz", "3D Slicer segmentation (*.seg.nrrd)", "mask.seg.nrrd"),
        ("mask.seg.nrrd", "3D Slicer segmentation (*.seg.nrrd)", "mask.seg.nrrd"),
        ("1.2.3", "DICOM segmentation (*.dcm)", "1.2.3.dcm"),
        ("mask.nii.gz", "DICOM segmentation (*.dcm)", "mask.dcm"),
        ("İZMİR.nii.gz", "NRRD (*.nrrd)", "İZMİR.nrrd"),  # longer in lower case
    ],
)
def test_a_name_gets_the_suffix_of_the_kind_that_was_chosen(
    typed: str, kind: str, name: str
) -> None:
    assert with_suffix(Path(typed), kind).name == name


def test_other_kinds_of_files_have_suffixes_of_their_own() -> None:
    kinds = "One file, all objects (*.obj);;A file for each object (*.stl)"
    assert with_suffix(Path("a.obj"), kinds.split(";;")[1], kinds).name == "a.stl"
    assert with_suffix(Path("a"), "", kinds).name == "a.obj"
    assert with_suffix(Path("a.json"), "", "Prompts (*.json)").name == "a.json"
