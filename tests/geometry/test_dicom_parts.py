"""Elements of DICOM by themselves: values, times, marks, private b-values, padding, first bytes."""

import struct
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.uid import JPEGBaseline8Bit, RLELossless

from napari_fastsam3d.geometry.io.dicom import codecs
from napari_fastsam3d.geometry.io.dicom.dimensions import (
    FunctionalGroups,
    declared_dimensions,
    marks_of,
    times_of,
)
from napari_fastsam3d.geometry.io.dicom.element import (
    item_of,
    items_of,
    number_of,
    numbers_of,
    text_of,
    values_of,
    whole_of,
)
from napari_fastsam3d.geometry.io.dicom.header import _padding, begins_as_dicom, is_dicom
from napari_fastsam3d.geometry.io.dicom.private_b_value import private_b_value

few = settings(max_examples=40, deadline=None)
CREATORS = {
    "SIEMENS MR HEADER": (0x0019, 0x0C),
    "GEMS_PARM_01": (0x0043, 0x39),
    "Philips Imaging DD 001": (0x2001, 0x03),
}


def of(**elements) -> Dataset:
    found = Dataset()
    for name, value in elements.items():
        setattr(found, name, value)
    return found


def with_groups(**groups) -> Dataset:
    return of(**{name: [item] for name, item in groups.items()})


def test_values_that_are_missing_or_none_are_nothing():
    found = of(PixelSpacing=None, SeriesDescription="", ImageType=["A", "B"], Rows=7)
    for holder, name in ((None, "Rows"), (found, "Columns"), (found, "PixelSpacing")):
        assert values_of(holder, name) == []
        assert number_of(holder, name) is None
        assert whole_of(holder, name) is None
        assert text_of(holder, name) == ""
        assert items_of(holder, name) == []
        assert item_of(holder, name) is None
    assert values_of(found, "SeriesDescription") == []
    assert values_of(found, "ImageType") == ["A", "B"]
    assert text_of(found, "ImageType") == "A\\B"
    assert whole_of(found, "Rows") == 7
    both = of(ModalityLUTSequence=[of(Rows=1), of(Rows=2)])
    assert item_of(both, "ModalityLUTSequence").Rows == 1
    assert len(items_of(both, "ModalityLUTSequence")) == 2


def test_numbers_are_so_many_and_finite_or_none():
    found = of(PixelSpacing=["0.5", "2"], SliceThickness="2.75")
    assert numbers_of(found, "PixelSpacing", 2).tolist() == [0.5, 2]
    assert numbers_of(found, "PixelSpacing", 3) is None
    assert number_of(found, "PixelSpacing") is None
    assert number_of(found, "SliceThickness") == 2.75
    assert whole_of(found, "SliceThickness") == 2
    assert whole_of(of(RescaleIntercept="-2.75"), "RescaleIntercept") == -2
    for value in (float("nan"), float("inf")):
        assert number_of(of(DiffusionBValue=value), "DiffusionBValue") is None
    assert number_of(of(SeriesDescription="liver"), "SeriesDescription") is None


@pytest.mark.parametrize(("creator", "block"), [(c, b) for c in CREATORS for b in (0x10, 0x1F)])
@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        ("IS", "800", 800.0),
        ("IS", ["50", "8", "0"], 50.0),
        ("FL", 1000.0, 1000.0),
        ("UN", b"800\\8\\0 ", 800.0),
        ("UN", struct.pack("<f", 650.0), 650.0),
        ("UN", b"1000", 1000.0),
        ("UN", b"not a number", None),
        ("UN", b"", None),
        ("LO", "fat", None),
        ("IS", "-1", None),
    ],
)
def test_a_private_b_value_is_read_where_its_maker_put_it(creator, block, kind, value, wanted):
    group, element = CREATORS[creator]
    for says, expected in ((creator, wanted), ("SOMEBODY ELSE", None)):
        found = Dataset()
        found.add_new((group << 16) + block, "LO", says)
        found.add_new((group << 16) + (block << 8) + element, kind, value)
        assert private_b_value(found) == expected


def test_what_ge_adds_to_a_b_value_is_taken_off_and_the_next_maker_is_asked():
    found = Dataset()
    found.add_new(0x00430010, "LO", "GEMS_PARM_01")
    found.add_new(0x00431039, "IS", ["1000000800", "8"])
    assert private_b_value(found) == 800
    found.add_new(0x00190010, "LO", "SIEMENS MR HEADER")
    found.add_new(0x0019100C, "UN", b"nothing")
    assert private_b_value(found) == 800
    assert marks_of(found)["DiffusionBValue"] == ((800,), "b = 800")
    found.DiffusionBValue = 400.04
    assert marks_of(found)["DiffusionBValue"] == ((400,), "b = 400"), "the standard's goes first"


moments = st.datetimes(datetime(1950, 1, 1), datetime(2049, 12, 31))


@few
@given(st.lists(moments, min_size=2, max_size=5), st.sampled_from(["", ".25", ".250000"]))
def test_times_of_day_and_date_order_moments_as_they_come(given_moments, fraction):
    ordered = sorted({m.replace(microsecond=0) for m in given_moments})
    found = [
        times_of(
            of(
                AcquisitionDate=m.strftime("%Y%m%d"),
                AcquisitionTime=m.strftime("%H%M%S") + fraction,
                FrameReferenceDateTime=m.strftime("%Y%m%d%H%M%S") + fraction + "+0200",
            )
        )
        for m in ordered
    ]
    for name in ("AcquisitionTime", "FrameReferenceDateTime"):
        times = [each[name] for each in found]
        assert all(np.diff(times) > 0)
        for gap, (one, other) in zip(np.diff(times), pairwise(ordered), strict=True):
            if one.date() == other.date():
                assert gap == (other - one) / timedelta(seconds=1)


@pytest.mark.parametrize(
    ("clock", "seconds"),
    [("10", 36000), ("1030", 37800), ("10:30:05.5", 37805.5), ("103005-0500", 37805)]
    + [(bad, None) for bad in ("x", "1x30", "10305x", "")],
)
def test_times_may_be_short_and_old_and_without_a_date(clock, seconds):
    times = times_of(of(ContentTime=clock)) if clock else times_of(Dataset())
    assert times.get("ContentTime") == seconds
    assert times_of(of(TriggerTime="33.5"))["TriggerTime"] == 33.5


def test_marks_of_a_frame_go_before_those_of_its_file_and_its_own_before_shared():
    echo = of(EffectiveEchoTime=4.006)
    timing = of(EchoTime="80", FlipAngle="15", RepetitionTime="499.6")
    found = of(EchoTime="30", FlipAngle="90", ImageType=["ORIGINAL", "PRIMARY "], KVP="")
    shared = with_groups(MRTimingAndRelatedParametersSequence=timing, MREchoSequence=of())
    groups = FunctionalGroups(with_groups(MREchoSequence=echo), shared)
    marks = marks_of(found, groups)
    assert marks == {
        "EffectiveEchoTime": ((4.01,), "TE 4.01 ms"),
        "EchoTime": ((80.0,), "TE 80 ms"),
        "FlipAngle": ((15.0,), "flip angle 15"),
        "RepetitionTime": ((500.0,), "TR 500 ms"),
        "ImageType": (("ORIGINAL", "PRIMARY"), "ORIGINAL PRIMARY"),
    }
    assert marks_of(found)["FlipAngle"] == ((90.0,), "flip angle 90")
    assert str(marks_of(of(InversionTime=-0.01))["InversionTime"][0]) == "(0.0,)"
    assert groups.find("PixelMeasuresSequence") is None
    assert FunctionalGroups(None, None).find("MREchoSequence") is None


def test_a_gradient_stands_two_sequences_deep():
    gradient = of(DiffusionGradientOrientation=[0.0, 0.6, -0.8])
    diffusion = of(DiffusionGradientDirectionSequence=[gradient], DiffusionBValue=1000.0)
    marks = marks_of(Dataset(), FunctionalGroups(with_groups(MRDiffusionSequence=diffusion), None))
    assert marks["DiffusionGradientOrientation"] == ((0, 0.6, -0.8), "gradient 0 0.6 -0.8")
    assert marks["DiffusionBValue"] == ((1000,), "b = 1000")


def test_dimensions_are_called_by_what_they_count():
    pointers = [0x00209057, 0x00189087, 0x00111010]
    found = of(DimensionIndexSequence=[of(DimensionIndexPointer=p) for p in pointers])
    names = declared_dimensions(found)
    assert names == ["in-stack position number", "diffusion b-value", "dimension"]
    content = of(DimensionIndexValues=[3, 1, 2, 9])
    marks = marks_of(
        found, FunctionalGroups(with_groups(FrameContentSequence=content), None), names
    )
    assert [words for _, words in marks.values()] == [
        "in-stack position number 3",
        "diffusion b-value 1",
        "dimension 2",
        "dimension 9",
    ]
    assert [values for values, _ in marks.values()] == [(3,), (1,), (2,), (9,)]


@given(
    st.sampled_from([8, 16, 32]),
    st.booleans(),
    st.integers(-(2**31), 2**31 - 1),
    st.none() | st.integers(-(2**31), 2**31 - 1),
)
def test_padding_is_a_stored_value_whatever_sign_it_was_written_with(bits, signed, first, last):
    elements = {"PixelPaddingValue": first % 65536, "BitsAllocated": bits}
    if last is not None:
        elements["PixelPaddingRangeLimit"] = last % 65536
    found = of(**elements, PixelRepresentation=int(signed))
    stored = np.dtype(f"{'i' if signed else 'u'}{bits // 8}")
    ends = [
        np.array(end % 65536).astype(stored) for end in (first, first if last is None else last)
    ]
    assert _padding(found) == (min(ends), max(ends))
    del found.PixelPaddingValue
    assert _padding(found) is None


def test_what_a_dicom_file_begins_with(tmp_path):
    assert is_dicom(bytes(128) + b"DICM")
    assert not is_dicom(bytes(127) + b"DICM")
    assert is_dicom(b"\x08\x00\x05\x00\x0a\x00\x00\x00ISO_IR 100")
    assert is_dicom(b"\x02\x00\x00\x00UL\x04\x00")
    assert not is_dicom(b"\x08\x01\x05\x00UL\x04\x00")
    assert not is_dicom(b"\x08\x00\x05\x01UL\x04\x00")
    assert not is_dicom(b"\x08\x00\x05\x00\x0a\x0b\x00\x01")
    assert not is_dicom(b"")
    path = tmp_path / "a"
    path.write_bytes(bytes(128) + b"DICM and more")
    assert begins_as_dicom(path)
    assert not begins_as_dicom(tmp_path / "b")
    assert not begins_as_dicom(tmp_path)


def test_a_codec_is_there_for_what_it_decodes_and_refuses_an_image_of_another_size():
    class Runner:
        transfer_syntax, rows, columns = JPEGBaseline8Bit, 4, 6
        told: dict = {}  # noqa: RUF012

        def set_option(self, name, value):
            self.told[name] = value

    import imagecodecs

    grey = np.full((4, 6), 90, np.uint8)
    stream = imagecodecs.jpeg8_encode(grey)
    assert codecs.plugin_for(JPEGBaseline8Bit) == codecs.PLUGIN
    assert codecs.plugin_for(RLELossless) == ""
    assert codecs.is_available(JPEGBaseline8Bit)
    assert not codecs.is_available(RLELossless)
    assert codecs.decode_frame(stream, Runner()) == bytearray(grey.tobytes())
    assert Runner.told == {"bits_allocated": 8}
    Runner.rows = 5
    with pytest.raises(ValueError, match=r"shape \(4, 6\)"):
        codecs.decode_frame(stream, Runner())
