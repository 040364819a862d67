"""What a session writes for other programs, and opens again with names and colours."""

import nrrd
import numpy as np
import pytest
from PIL import Image

from napari_fastsam3d.errors import SaveError, SessionError
from napari_fastsam3d.geometry import Box, measure
from napari_fastsam3d.session import Mask, Session
from napari_fastsam3d.session.codec import action_from_json, action_to_json
from napari_fastsam3d.session.object_actions import NewObject


def block(start, stop) -> Mask:
    box = Box(start, stop)
    return Mask.of(box, np.ones(box.shape, dtype=bool))


@pytest.fixture
def drawn(session):
    session.add_mask(block((10, 10, 10), (20, 20, 20)), "liver", 5)
    session.add_mask(block((18, 10, 10), (26, 20, 20)), "spleen", 1)
    session.recolour_object(1, (0.25, 0.5, 1.0))
    return session


@pytest.mark.parametrize("rule", ["keep", "share"])
def test_a_slicer_segmentation_brings_everything_back(drawn, model, tmp_path, rule):
    drawn.set_overlap(rule)
    path = drawn.save(tmp_path / "mask.seg.nrrd")
    assert nrrd.read_header(str(path))["dimension"] == (4 if rule == "share" else 3)
    with Session(drawn.volume, model=model) as again:
        again.set_overlap("share")
        again.open_mask(path)
        for one, other in zip(again.state.objects, drawn.state.objects, strict=True):
            assert (one.name, one.value) == (other.name, other.value)
            assert one.colour == pytest.approx(other.colour, abs=1e-5)
            assert np.array_equal(again.mask(one.id), drawn.mask(other.id))
        steps = len(again.history.entries)
        again.undo()
        assert len(again.state.objects) == 1
        assert steps == 3  # the rule, and one for each segment


def test_each_object_has_a_file_of_its_own(drawn, tmp_path):
    paths = drawn.save_each(tmp_path / "mask.seg.nrrd")
    assert [path.name for path in paths] == ["mask_liver.seg.nrrd", "mask_spleen.seg.nrrd"]
    data, header = nrrd.read(str(paths[0]))
    assert header["Segment0_Name"] == "liver"
    assert np.array_equal(data > 0, drawn.mask(1))
    meshes = drawn.save_meshes(tmp_path / "mesh.stl")
    assert [path.name for path in meshes] == ["mesh_liver.stl", "mesh_spleen.stl"]
    table = drawn.save_label_table(tmp_path / "labels.txt").read_text()
    assert '    5    64  128  255        1  1  1    "liver"' in table


def test_a_scan_that_is_no_dicom_is_told_so_and_nothing_is_written(drawn, tmp_path):
    with pytest.raises(SaveError, match="not read from DICOM"):
        drawn.save(tmp_path / "mask.dcm")
    assert list(tmp_path.iterdir()) == []


def test_objects_of_earlier_journals_have_no_colour_of_their_own(drawn):
    begun = drawn.history.entries[0].action
    assert isinstance(begun, NewObject)
    written = action_to_json(begun)
    assert "colour" not in written
    assert action_from_json(written) == begun


def test_measures_are_those_of_the_masks_as_shown(drawn):
    liver, spleen = drawn.measures()
    assert (liver.name, liver.label, spleen.name) == ("liver", 5, "spleen")
    assert liver.measures == measure(drawn.region(1), drawn.volume)
    assert spleen.measures.voxels == 600  # what the liver keeps is not counted
    assert drawn.measures(2) == [spleen]


def test_a_report_has_outlines_and_no_name_unless_it_is_asked_for(drawn, tmp_path):
    drawn.measures()
    plain = drawn.save_report(tmp_path / "plain.png", window=(0, 200))
    told = drawn.save_report(tmp_path / "told.png", window=(0, 200), patient=True)
    pixels = np.asarray(Image.open(plain))
    assert (pixels == (64, 128, 255)).all(axis=-1).sum() > 300  # outlines and the swatch
    grown = (pixels != np.asarray(Image.open(told))).any()
    assert grown  # the scan's name takes a line
    pdf = drawn.save_report(tmp_path / "page.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    for hidden in (
        drawn.volume.name,
        "page",
    ):  # no name of a scan or a file in what it says of itself
        assert hidden.encode("utf-16-be") not in pdf
        assert hidden.encode() not in pdf.split(b"/Info")[-1]
    for number in range(40):
        drawn.add_mask(block((30, number, 10), (34, number + 1, 14)), f"slice {number}")
    many = drawn.save_report(tmp_path / "many.pdf").read_bytes()
    assert many.count(b"/Type /Page\n") + many.count(b"/Type /Page ") >= 2
    with pytest.raises(SaveError, match=r"\.pdf or \.png"):
        drawn.save_report(tmp_path / "page.svg")


def test_without_a_mask_there_is_nothing_to_tell(session, tmp_path):
    with pytest.raises(SessionError):
        session.save_report(tmp_path / "page.pdf")
    with pytest.raises(SessionError):
        session.save_label_table(tmp_path / "labels.txt")
    assert session.measures() == []


def test_a_name_is_one_line_that_every_file_can_hold(drawn):
    drawn.rename_object(1, " left\nkidney\udce9\x07 ")
    assert drawn.state.object(1).name == "left kidney"
