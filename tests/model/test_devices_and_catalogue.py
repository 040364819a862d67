"""Where a model computes, and which models there are."""

import json
import shutil

import numpy as np
import pytest
import torch

from napari_fastsam3d.errors import CheckpointError, DeviceError
from napari_fastsam3d.model import available_models, import_model
from napari_fastsam3d.model.device import (
    PRECISIONS,
    PinnedBuffers,
    allowed_processors,
    choose_device,
    choose_precision,
)
from napari_fastsam3d.model.fetch import _first_use, _record_first_use, whole_record
from napari_fastsam3d.model.registry import BUNDLED, MODELS, ModelEntry, catalogue, megabytes
from napari_fastsam3d.model.store import ModelStore, Record

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["", "gpu", "cpu:x", "meta", "cuda:99", "xla", "fpga"])
def test_a_device_that_cannot_be_used_is_told_with_what_to_choose(name):
    with pytest.raises(DeviceError, match="cannot be used") as told:
        choose_device(name)
    assert '"auto"' in told.value.remedy


def test_devices_by_name():
    assert choose_device("cpu") == CPU
    assert choose_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_precisions_by_name(name):
    assert choose_precision(name, CPU) is PRECISIONS[name] is getattr(torch, name)


def test_precision_by_the_processor():
    assert choose_precision("auto", CPU) in PRECISIONS.values()
    with pytest.raises(DeviceError, match="float16"):
        choose_precision("float16", CPU)


@pytest.mark.parametrize("quota", ["x 100000", "100000", "", "100000 0", "1 2 3", "max x y"])
def test_a_quota_that_cannot_be_read_limits_nothing(tmp_path, quota):
    path = tmp_path / "cpu.max"
    path.write_text(quota)
    assert allowed_processors(path) == allowed_processors(tmp_path / "none") >= 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8, bool])
@pytest.mark.parametrize("layout", ["C", "F", "reversed", "strided"])
def test_arrays_of_any_layout_are_brought_as_they_are(dtype, layout):
    array = np.arange(60).reshape(3, 4, 5).astype(dtype)
    view = {
        "C": array,
        "F": np.asfortranarray(array),
        "reversed": array[::-1, :, ::-1],
        "strided": array[:, ::2],
    }[layout]
    brought = PinnedBuffers(CPU).bring(view)
    assert brought.numpy().dtype == dtype
    assert np.array_equal(brought.numpy(), view)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64])
def test_tensors_are_fetched_as_float32(dtype):
    one, other = torch.arange(4).to(dtype), torch.ones(2, 3).to(dtype)
    found = PinnedBuffers(CPU).fetch(one, other)
    assert [array.dtype for array in found] == [np.float32] * 2
    assert found[0].tolist() == [0, 1, 2, 3]
    assert found[1].shape == (2, 3)


@pytest.mark.parametrize("card", MODELS.values(), ids=MODELS.keys())
def test_a_card_says_what_a_user_should_know(card):
    assert card.summary.endswith(".")
    assert card.licence
    assert card.origin
    assert (card.url is None) == (card.architecture is None)
    assert card.url is None or card.url.startswith("https://")
    assert card.rest_from is None or MODELS[card.rest_from].rest_from is None


def test_without_a_store_there_are_the_cards(tmp_path):
    store = ModelStore(tmp_path / "none")
    assert available_models(store) == BUNDLED
    assert BUNDLED[0] == "default"
    entries = catalogue(store)
    assert [entry.name for entry in entries] == list(MODELS)
    fetched = [entry.name for entry in entries if entry.can_be_fetched]
    assert fetched == ["fastsam3d", "sam-med3d"]
    states = {entry.name: entry.state for entry in entries}
    assert states == {
        **dict.fromkeys(BUNDLED, "part of the package"),
        **dict.fromkeys(fetched, "can be fetched"),
    }
    assert not (tmp_path / "none").exists(), "looking makes nothing"


def test_an_imported_model_is_listed_after_the_cards(student_file, tmp_path):
    store = ModelStore(tmp_path)
    record = import_model(student_file, name="mine", licence="CC0", store=store)
    assert available_models(store) == (*BUNDLED, "mine")
    entry = catalogue(store)[-1]
    assert entry == ModelEntry("mine", None, record)
    assert (entry.state, entry.licence, entry.summary) == ("on this machine", "CC0", "")
    assert entry.size == store.weights("mine").stat().st_size
    assert str(student_file) in entry.origin
    assert not entry.can_be_fetched
    assert whole_record(store, "mine") == record
    assert Record.of_table(json.loads((tmp_path / "mine.json").read_text())) == record


@pytest.mark.parametrize("name", ["notes of mine.json", ".hidden.json", "-.json", "ä.json"])
def test_other_files_in_the_folder_are_no_models(tmp_path, name):
    (tmp_path / name).write_text("{}")
    assert ModelStore(tmp_path).names() == ()
    assert [entry.name for entry in catalogue(ModelStore(tmp_path))] == list(MODELS)


def test_a_model_whose_file_was_changed_is_not_whole(student_file, tmp_path):
    store = ModelStore(tmp_path)
    import_model(student_file, name="mine", store=store)
    shutil.copy(tmp_path / "mine.json", tmp_path / "yours.json")
    assert whole_record(store, "yours") is None, "a record without weights"
    store.weights("mine").write_bytes(b"")
    assert whole_record(store, "mine") is None
    assert whole_record(store, "none") is None


@pytest.mark.parametrize("content", ["", "{", "[1]", "3", "null", '["ab", "c"]', b"\xff"])
def test_a_damaged_note_of_first_downloads_is_begun_anew(tmp_path, content):
    store = ModelStore(tmp_path)
    path = tmp_path / "downloads" / "first-use"
    path.parent.mkdir()
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert _first_use(store) == {}
    _record_first_use(store, "one", "0" * 64)
    _record_first_use(store, "two", "1" * 64)
    assert _first_use(store) == {"one": "0" * 64, "two": "1" * 64}


def test_nobody_is_removed_who_is_not_there(tmp_path):
    with pytest.raises(CheckpointError, match=r"there: none yet"):
        ModelStore(tmp_path).remove("mine")


@pytest.mark.parametrize(
    ("size", "told"), [(None, "size unknown"), (0, "0 MB"), (638_400_000, "638 MB")]
)
def test_sizes_for_people(size, told):
    assert megabytes(size) == told
