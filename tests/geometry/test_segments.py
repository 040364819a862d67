"""Segmentations in the formats of others: written here, read by their libraries, and back."""

import struct
from dataclasses import replace
from pathlib import Path

import highdicom
import nibabel as nib
import nrrd
import numpy as np
import pydicom
import pytest
import SimpleITK
from axis_order import ORDERS
from dicom_series import stack, write
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse
from scipy.sparse import csgraph
from scipy.spatial import cKDTree

from napari_fastsam3d.errors import SaveError, VolumeError
from napari_fastsam3d.geometry import Mask, Volume, read_volume, save_mask
from napari_fastsam3d.geometry.io.label_table import save_label_table
from napari_fastsam3d.geometry.io.meshes import mesh_paths, save_meshes, surface_of
from napari_fastsam3d.geometry.io.segment import Segment
from napari_fastsam3d.geometry.io.segments import read_segments, save_segments

OBLIQUE = np.array([[0.7, 0.2, 0.5, -9], [-0.3, 0.9, 0.4, 5], [0.1, -0.4, 2.4, 3], [0, 0, 0, 1.0]])
PATIENT = {"PatientName", "PatientSex", "PatientBirthDate", "StudyDate", "StudyTime"}
RED, BLUE = (1.0, 0.2, 0.0), (0.0, 0.0, 1.0)


def two_segments(shape, overlap=False, seed=0) -> list[Segment]:
    rng = np.random.default_rng(seed)
    first, second = rng.random((2, *shape)) > 0.6
    first[0] = second[:, -1] = False
    if not overlap:
        second &= ~first
    return [
        Segment("liver", 3, Mask.of_volume(first), RED),
        Segment("Läsion, links", 9, Mask.of_volume(second), BLUE),
    ]


def same(found, expected) -> bool:
    return len(found) == len(expected) and all(
        one.name == other.name
        and one.mask.equals(other.mask)
        and np.allclose(one.colour, other.colour, atol=2e-3)
        for one, other in zip(found, expected, strict=True)
    )


@pytest.fixture
def series(tmp_path) -> Volume:
    """A tilted DICOM series, with what a SEG has to refer to."""
    slices = stack(np.arange(6) * 2.5, shift=(0.0, 0.2))
    folder = write(tmp_path / "series", slices)
    for number, path in enumerate(sorted(folder.iterdir())):
        dataset = pydicom.dcmread(path)
        dataset.FrameOfReferenceUID, dataset.PatientID = "1.2.3.9", "P1"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.8.{number}"
        dataset.save_as(path)
    return read_volume(folder)


@pytest.mark.parametrize("overlap", [False, True])
def test_a_dicom_segmentation_is_what_highdicom_and_this_reader_read(series, tmp_path, overlap):
    segments = two_segments(series.shape, overlap)

    path = save_segments(tmp_path / "mask.dcm", segments, series, "default")

    assert same(read_segments(path, series), segments)
    told = highdicom.seg.segread(path)
    assert [each.segment_label for each in told.SegmentSequence] == ["liver", "Läsion, links"]
    by_place = {
        tuple(np.round(np.array(ds.ImagePositionPatient, float), 3)): ds
        for ds in map(pydicom.dcmread, series.source.files)
    }
    uids = [ds.SOPInstanceUID for _, ds in sorted(by_place.items(), key=lambda p: p[0][2])]
    pixels = told.get_pixels_by_source_instance(
        uids, segment_numbers=[1, 2], assert_missing_frames_are_empty=True
    )
    for number, each in enumerate(segments):
        expected = each.mask.volume(series.shape).transpose(2, 1, 0)
        assert np.array_equal(pixels[..., number] > 0, expected)
    source = next(iter(by_place.values()))
    assert told.FrameOfReferenceUID == "1.2.3.9"
    assert (told.PatientID, told.StudyInstanceUID) == ("P1", source.StudyInstanceUID)
    (referenced,) = told.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == source.SeriesInstanceUID
    algorithm = told.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0]
    assert algorithm.AlgorithmName == "default"
    kind = told.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodingSchemeDesignator, kind.CodeValue) == ("SCT", "10200004")


@pytest.mark.parametrize(
    "told",
    [
        {"PatientSex": "Male", "PatientBirthDate": "1950", "StudyDate": "20200231"},
        {"StudyTime": "25:00", "PatientName": "anon", "SeriesNumber": -1000},
        {
            "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
            "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
        },
        {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müller^Änne"},
    ],
)
def test_what_a_series_says_of_its_patient_stands_as_it_stood(series, tmp_path, told):
    """Also where that is not quite to the standard; names of segments may be in any script."""
    for path in series.source.files:
        dataset = pydicom.dcmread(path)
        for keyword, value in told.items():
            dataset[keyword] = pydicom.DataElement(
                keyword, pydicom.datadict.dictionary_VR(keyword), value, validation_mode=0
            )
        dataset.save_as(path)
    segments = [replace(two_segments(series.shape)[0], name="肝\\links\n(é)")]

    path = save_segments(tmp_path / "mask.dcm", segments, series)

    found = pydicom.dcmread(path)
    assert found.SegmentSequence[0].SegmentLabel == "肝/links (é)"
    kept = {keyword: str(found[keyword].value) for keyword in told if keyword in PATIENT}
    assert kept == {keyword: str(told[keyword]) for keyword in kept}
    assert found.SeriesNumber > 0
    assert read_segments(path, series)[0].mask.equals(segments[0].mask)


def test_a_segmentation_of_another_examination_is_told(series, tmp_path, caplog):
    path = save_segments(tmp_path / "mask.dcm", two_segments(series.shape), series)
    assert len(read_segments(path, series)) == 2
    assert not caplog.messages
    found = pydicom.dcmread(path)
    found.FrameOfReferenceUID = "1.2.3.10"
    found.save_as(path)
    notes: list[str] = []
    assert len(read_segments(path, series, notes.append)) == 2
    assert "frames of reference differ" in caplog.messages[0]
    assert notes == caplog.messages


def test_contours_are_said_to_be_none_of_voxels(series, tmp_path):
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    contours = pydicom.Dataset()
    contours.file_meta = meta
    contours.SOPClassUID = meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    contours.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = "1.2.3"
    contours.save_as(tmp_path / "rt.dcm", enforce_file_format=True)
    with pytest.raises(VolumeError, match=r"RT Structure Set.*3D Slicer"):
        read_segments(tmp_path / "rt.dcm", series)


def test_a_dicom_segmentation_of_other_programs_is_laid_on_a_scan_of_any_format(series, tmp_path):
    """A label map and a fractional one, on the same grid stored in another order of axes."""
    segments = two_segments(series.shape)
    images = [pydicom.dcmread(path) for path in series.source.files]
    images.sort(key=lambda ds: float(ds.ImagePositionPatient[2]))
    labels = np.zeros(series.shape, np.uint8)
    for number, each in enumerate(segments, 1):
        each.mask.write(labels, Mask.of_volume(labels == 0).box, number)
    for kind in ("LABELMAP", "FRACTIONAL"):
        pixels = labels.transpose(2, 1, 0)
        if kind == "FRACTIONAL":
            pixels = np.stack([pixels == 1, pixels == 2], -1) * 0.6
        described = [
            highdicom.seg.SegmentDescription(
                n,
                each.name,
                pydicom.sr.codedict.codes.SCT.Tissue,
                pydicom.sr.codedict.codes.SCT.Tissue,
                "MANUAL",
                display_color=highdicom.color.CIELabColor.from_rgb(
                    *(round(255 * part) for part in each.colour)
                ),
            )
            for n, each in enumerate(segments, 1)
        ]
        made = highdicom.seg.Segmentation(
            images,
            pixels,
            kind,
            described,
            highdicom.UID(),
            5,
            highdicom.UID(),
            1,
            "maker",
            "model",
            "1",
            "0",
        )
        path = tmp_path / f"{kind}.dcm"
        made.save_as(path)
        assert same(read_segments(path, series), segments)
        for order in (ORDERS[0], ORDERS[13], ORDERS[38]):
            stored = order.volume(series)
            turned = read_segments(path, stored)
            for one, other in zip(turned, segments, strict=True):
                expected = order.array(other.mask.volume(series.shape))
                assert np.array_equal(one.mask.volume(stored.shape), expected)


def test_what_is_no_dicom_can_not_become_a_dicom_segmentation(series, tmp_path):
    scan = Volume.from_array(np.zeros(series.shape), series.affine, name="ct")
    with pytest.raises(SaveError, match="not read from DICOM"):
        save_segments(tmp_path / "a.dcm", two_segments(series.shape), scan)
    own = sorted(series.source.files)[0]
    before = own.read_bytes()
    with pytest.raises(SaveError, match="is the scan itself"):
        save_segments(
            own.rename(own.with_suffix(".dcm")), two_segments(series.shape), read_volume(own.parent)
        )
    assert own.with_suffix(".dcm").read_bytes() == before
    dataset = pydicom.dcmread(own.with_suffix(".dcm"))
    del dataset.FrameOfReferenceUID
    dataset.save_as(own.with_suffix(".dcm"))
    with pytest.raises(SaveError, match="FrameOfReferenceUID"):
        save_segments(tmp_path / "a.dcm", two_segments(series.shape), read_volume(own.parent))
    assert not (tmp_path / "a.dcm").exists()


@pytest.mark.parametrize("overlap", [False, True])
def test_a_slicer_segmentation_is_what_pynrrd_and_this_reader_read(tmp_path, overlap):
    scan = Volume.from_array(np.zeros((7, 6, 5), np.int16), OBLIQUE)
    segments = two_segments(scan.shape, overlap)

    path = save_segments(tmp_path / "mask.seg.nrrd", segments, scan)

    assert same(read_segments(path, scan), segments)
    data, header = nrrd.read(str(path))
    assert header["space"] == "left-posterior-superior"
    lps = np.diag([-1, -1, 1, 1]) @ OBLIQUE
    assert np.allclose(header["space directions"][-3:], lps[:3, :3].T)
    assert np.allclose(header["space origin"], lps[:3, 3])
    assert list(header["kinds"]) == ["list"] * overlap + ["domain"] * 3
    for number, each in enumerate(segments):
        layer = data[int(header[f"Segment{number}_Layer"])] if overlap else data
        assert np.array_equal(layer == each.value, each.mask.volume(scan.shape))
        assert header[f"Segment{number}_LabelValue"] == str(each.value)
        extent = [int(word) for word in header[f"Segment{number}_Extent"].split()]
        assert extent[::2] == list(each.mask.box.start)
    assert header["Segment0_Name"] == "liver"
    assert header["Segment0_Color"] == "1 0.2 0"


@pytest.mark.parametrize("order", [0, 7, 22, 45])
def test_a_slicer_segmentation_that_covers_a_part_lies_where_it_says(tmp_path, order):
    """As 3D Slicer saves it: cut to what is drawn; and stored in another order of axes."""
    scan = Volume.from_array(np.zeros((9, 8, 7), np.int16), OBLIQUE)
    whole = np.zeros(scan.shape, np.uint8)
    whole[2:6, 3:5, 1:6] = 4
    part = Volume.from_array(whole[1:7, 2:6, 1:7], scan.affine.copy())
    part.affine[:3, 3] = scan.to_world((1, 2, 1))
    stored = ORDERS[order].volume(part)
    lps = np.diag([-1, -1, 1, 1]) @ stored.affine
    header = {
        "space": "left-posterior-superior",
        "space directions": lps[:3, :3].T,
        "space origin": lps[:3, 3],
        "kinds": ["domain"] * 3,
        "Segment0_Name": "kidney",
        "Segment0_LabelValue": "4",
        "Segment0_Layer": "0",
        "Segment0_Color": "0.5 0.25 1",
        "Segmentation_MasterRepresentation": "Binary labelmap",
    }
    path = tmp_path / "cut.seg.nrrd"
    nrrd.write(str(path), np.ascontiguousarray(stored.voxels), header)

    (found,) = read_segments(path, scan)

    assert (found.name, found.colour) == ("kidney", (0.5, 0.25, 1.0))
    assert np.array_equal(found.mask.volume(scan.shape), whole == 4)
    moved = Volume.from_array(scan.voxels, scan.affine @ np.diag([1, 1, 1.2, 1]))
    with pytest.raises(VolumeError, match="not those of the scan"):
        read_segments(path, moved)
    small = Volume.from_array(scan.voxels[:4], scan.affine)
    with pytest.raises(VolumeError, match="beyond the scan"):
        read_segments(path, small)


@pytest.mark.parametrize(
    ("stands", "instead", "names"),
    [
        (b"Segment1_Layer:=1", b"Segment1_Layer:=1.0", None),
        (b"Segment1_Layer:=1", b"Segment1_Layer:=-1", None),
        (b"Segment1_Layer:=1", b"Segment1_Layer:=" + b"9" * 5000, None),
        (b"Segment1_LabelValue:=9", b"Segment1_LabelValue:=0", ["liver"]),
        ("Name:=Läsion".encode(), "Name:=Läsion".encode("latin-1"), ["liver", "Läsion, links"]),
    ],
)
def test_keys_of_a_slicer_segmentation_that_are_off(tmp_path, stands, instead, names):
    """Layers that there are not are refused, the background is no segment, Latin-1 is read."""
    scan = Volume.from_array(np.zeros((6, 5, 4)), OBLIQUE, name="ct")
    path = save_segments(tmp_path / "mask.seg.nrrd", two_segments(scan.shape, True), scan)
    path.write_bytes(path.read_bytes().replace(stands, instead))
    if names is None:
        with pytest.raises(VolumeError, match="lacks the layer"):
            read_segments(path, scan)
    else:
        assert [each.name for each in read_segments(path, scan)] == names


def test_a_label_map_is_segments_too(tmp_path):
    scan = Volume.from_array(np.zeros((7, 6, 5), np.int16), OBLIQUE)
    segments = two_segments(scan.shape)
    path = save_segments(tmp_path / "mask.nii.gz", segments, scan)
    found = read_segments(path, scan)
    assert [(s.name, s.value) for s in found] == [("liver", 3), ("Läsion, links", 9)]
    assert all(a.mask.equals(b.mask) for a, b in zip(found, segments, strict=True))
    assert nib.load(path).get_data_dtype() == np.uint8
    save_mask(tmp_path / "plain.nrrd", segments[0].mask.volume(scan.shape), scan)
    assert [s.name for s in read_segments(tmp_path / "plain.nrrd", scan)] == ["label 1"]


@pytest.mark.parametrize("affine", [np.diag([0.8, 0.8, 2.0, 1]), OBLIQUE, np.diag([-1.0, 1, 1, 1])])
def test_a_surface_is_closed_and_encloses_the_mask_in_lps(affine):
    grid = np.indices((24, 22, 20)) - np.array([11, 10, 9]).reshape(3, 1, 1, 1)
    scan = Volume.from_array(np.zeros((24, 22, 20)), affine)
    mask = Mask.of_volume((grid**2).sum(axis=0) < 60)

    points, triangles = surface_of(mask, scan)

    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    assert len(np.unique(edges, axis=0)) == len(edges)  # each edge once in each direction
    assert {tuple(edge) for edge in edges.tolist()} == {(b, a) for a, b in edges.tolist()}
    a, b, c = (points[triangles[:, n]] for n in range(3))
    enclosed = np.einsum("ij,ij->", a, np.cross(b, c)) / 6
    voxels = mask.voxels.sum() * abs(np.linalg.det(affine[:3, :3]))
    assert enclosed == pytest.approx(voxels, rel=0.05)
    middle = scan.to_world((11, 10, 9)) * (-1, -1, 1)
    assert np.allclose(points.mean(axis=0), middle, atol=0.3)


@given(ends=arrays(np.float64, (2, 3), elements=st.floats(1, 14)))
@example(ends=np.array([[2.0, 3, 4], [9, 10, 11]]))  # voxels that touch by their corners
@example(ends=np.array([[2.0, 11, 4], [9, 4, 11]]))
def test_a_thin_strand_stays_in_one_piece(ends):
    steps = np.linspace(*ends, 200)
    mask = Mask.of_indices(np.unique(np.round(steps).astype(int), axis=0))
    points, triangles = surface_of(mask, Volume.from_array(np.zeros((16, 16, 16)), np.eye(4)))
    edges = (triangles[:, [0, 1, 2]].ravel(), triangles[:, [1, 2, 0]].ravel())
    links = sparse.coo_array((np.ones(len(edges[0])), edges), (len(points),) * 2)
    assert csgraph.connected_components(links, directed=False)[0] == 1
    away, _ = cKDTree(points).query(steps * (-1, -1, 1))
    assert away.max() < 1


def test_meshes_are_read_back_as_they_were_made(tmp_path):
    scan = Volume.from_array(np.zeros((12, 12, 12)), OBLIQUE)
    blocks = []
    for start in (2, 7):
        inside = np.zeros(scan.shape, bool)
        inside[start : start + 3, 3:6, 4:8] = True
        blocks.append(Segment(f"part {start}", start, Mask.of_volume(inside)))
    one, two = save_meshes(tmp_path / "mesh.stl", blocks, scan)
    assert [one.name, two.name] == ["mesh_part_2.stl", "mesh_part_7.stl"]
    data = one.read_bytes()
    assert b"SPACE=LPS" in data[:80]
    assert not data.startswith(b"solid")
    points, triangles = surface_of(blocks[0].mask, scan)
    (count,) = struct.unpack("<I", data[80:84])
    assert count == len(triangles)
    assert len(data) == 84 + 50 * count
    first = struct.unpack("<12f", data[84:132])
    assert np.allclose(np.reshape(first[3:], (3, 3)), points[triangles[0]], atol=1e-4)
    (obj,) = save_meshes(tmp_path / "mesh.obj", blocks, scan)
    lines = [line.split() for line in obj.read_text().splitlines()]
    assert lines[0] == ["#", "SPACE=LPS"]
    assert [line[1:] for line in lines if line[0] == "o"] == [["part", "2"], ["part", "7"]]
    vertices = np.array([line[1:] for line in lines if line[0] == "v"], float)
    assert np.allclose(vertices[: len(points)], points, atol=1e-5)
    faces = np.array([line[1:] for line in lines if line[0] == "f"], int)
    assert faces.max() == len(vertices)
    with pytest.raises(SaveError, match=r"\.stl or \.obj"):
        save_meshes(tmp_path / "mesh.ply", blocks, scan)


def test_no_two_meshes_share_a_file(tmp_path):
    names = ["rib", "rib_1", "rib", "Rib", "a b", "a_b"]
    paths = mesh_paths(tmp_path / "mesh.stl", names)
    assert len({path.name.lower() for path in paths}) == len(names)
    assert [path.name for path in mesh_paths(tmp_path / "mesh.stl", ["rib", "liver"])] == [
        "mesh_rib.stl",
        "mesh_liver.stl",
    ]


def test_the_label_table_has_a_line_that_itk_snap_reads_for_each_label(tmp_path):
    segments = two_segments((3, 3, 3))
    path: Path = save_label_table(tmp_path / "labels.txt", segments)
    rows = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
    fields = [line.split(maxsplit=7) for line in rows]
    assert [row[0] for row in fields] == ["0", "3", "9"]
    assert fields[1][1:4] == ["255", "51", "0"]
    assert [row[7] for row in fields] == ['"Clear Label"', '"liver"', '"Läsion, links"']
    with pytest.raises(SaveError):
        save_label_table(tmp_path / "labels.csv", segments)


def test_simpleitk_reads_a_slicer_segmentation_as_an_image(tmp_path):
    scan = Volume.from_array(np.zeros((7, 6, 5), np.int16), np.diag([0.5, 0.5, 3, 1]))
    segments = two_segments(scan.shape)
    image = SimpleITK.ReadImage(str(save_segments(tmp_path / "a.seg.nrrd", segments, scan)))
    assert image.GetMetaData("Segment1_LabelValue") == "9"
    found = SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0)
    assert np.array_equal(found == 3, segments[0].mask.volume(scan.shape))
