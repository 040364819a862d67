"""The user's models: converted once, verified at each load, never half there."""

import json
import resource
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from napari_fastsam3d.errors import CheckpointError
from napari_fastsam3d.model import available_models, import_model, load_model
from napari_fastsam3d.model.sam_med3d.checkpoint_file import read_published
from napari_fastsam3d.model.sam_med3d.predictor import PublishedPredictor
from napari_fastsam3d.model.store import ModelStore


@contextmanager
def files_of_at_most(size: int) -> Generator[None, None, None]:
    """Let no file grow beyond a size: what a full disk does, done by the kernel."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def store() -> ModelStore:
    return ModelStore()


def test_a_model_imported_under_a_name_is_loaded_by_it(student_file: Path, store: ModelStore):
    record = import_model(student_file, name="mine", licence="CC0")

    model = load_model("mine", device="cpu", dtype="float32")

    assert available_models() == ("default", "lite", "mine")
    assert isinstance(model, PublishedPredictor)
    assert model.name == "mine"
    assert model.fingerprint == record.sha256
    assert model.provenance == record.provenance
    assert store.record("mine") == record
    assert record.licence == "CC0"
    assert str(student_file) in record.origin
    assert record.size == store.weights("mine").stat().st_size


def test_what_is_kept_has_the_authors_keys(student_file: Path, store: ModelStore):
    import_model(student_file, name="mine")

    kept = load_file(store.weights("mine"))

    theirs = read_published(student_file).tensors
    assert set(kept) == set(theirs)
    assert all(torch.equal(kept[key], theirs[key]) for key in kept)


def test_a_file_is_converted_once(student_file: Path, store: ModelStore):
    first = load_model(student_file, device="cpu")
    converted = store.weights(store.names()[0])
    written = converted.stat().st_mtime_ns

    second = load_model(student_file, device="cpu")

    assert converted.stat().st_mtime_ns == written
    assert len(store.names()) == 1
    assert first.fingerprint == second.fingerprint
    assert second.name == "student"


def test_the_same_weights_as_another_architecture_are_another_model(student_file: Path):
    dense = load_model(student_file, device="cpu")
    sparse = load_model(student_file, device="cpu", architecture="fastsam3d-sparse")

    assert dense.fingerprint != sparse.fingerprint


def test_a_changed_file_is_not_loaded(student_file: Path, store: ModelStore):
    import_model(student_file, name="mine")
    path = store.weights("mine")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    with pytest.raises(CheckpointError, match=r"damaged.*models remove mine"):
        load_model("mine", device="cpu")


def test_weights_that_are_gone(student_file: Path, store: ModelStore):
    import_model(student_file, name="mine")
    store.weights("mine").unlink()

    with pytest.raises(CheckpointError, match="gone"):
        load_model("mine", device="cpu")


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[1]", '{"name": 3', '{"provenance": [{}]}', pytest.param("[" * 10**5, id="nested")],
)
def test_a_damaged_record(student_file: Path, store: ModelStore, text: str):
    import_model(student_file, name="mine")
    (store.folder / "mine.json").write_text(text)

    with pytest.raises(CheckpointError, match="record of the model mine is damaged"):
        load_model("mine", device="cpu")


def test_removing_frees_and_forgets(student_file: Path, store: ModelStore):
    size = import_model(student_file, name="mine").size

    assert store.remove("mine") > size
    assert store.names() == ()
    assert list(store.folder.iterdir()) == []
    with pytest.raises(CheckpointError, match="no model 'mine'"):
        store.remove("mine")


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "x" * 65, "näme", "default"])
def test_names_that_cannot_be(student_file: Path, name: str):
    with pytest.raises(CheckpointError, match="name"):
        import_model(student_file, name=name)


def test_without_space_nothing_is_left_behind(student_file: Path, store: ModelStore):
    import_model(student_file, name="mine")
    before = store.record("mine")

    with (
        files_of_at_most(100_000),
        pytest.raises(CheckpointError, match=r"could not be kept.*Free some space"),
    ):
        import_model(student_file, name="mine", licence="other")

    assert store.record("mine") == before
    assert sorted(path.name for path in store.folder.iterdir()) == [
        "mine.json",
        "mine.safetensors",
    ]
    load_model("mine", device="cpu")


def test_without_space_a_file_still_loads(student_file: Path, store: ModelStore, caplog):
    with files_of_at_most(100_000):
        model = load_model(student_file, device="cpu", dtype="float32")

    assert isinstance(model, PublishedPredictor)
    assert store.names() == ()
    assert "could not be kept" in caplog.text


def test_a_folder_that_cannot_be_made(student_file: Path, tmp_path: Path):
    blocked = tmp_path / "file"
    blocked.write_text("")

    with pytest.raises(CheckpointError, match="could not be kept"):
        import_model(student_file, name="mine", store=ModelStore(blocked / "models"))


def test_the_rest_from_a_model_of_the_store(tmp_path: Path, student_file: Path, teacher_file: Path):
    stem = "image_encoder."
    weights = read_published(student_file).tensors
    alone = tmp_path / "alone.pth"
    torch.save({k[len(stem) :]: v for k, v in weights.items() if k.startswith(stem)}, alone)
    import_model(teacher_file, name="teacher")

    record = import_model(alone, rest="teacher")

    assert record.name == "alone"
    assert [part.file for part in record.provenance] == [
        "alone.pth",
        "teacher.safetensors",
        "teacher.safetensors",
    ]
    load_model("alone", device="cpu")


def test_a_known_model_that_is_not_here_names_the_command():
    with pytest.raises(CheckpointError, match="models fetch sam-med3d"):
        load_model("sam-med3d", device="cpu")


def test_an_unknown_name_names_the_models():
    with pytest.raises(CheckpointError, match="default, lite, fastsam3d, sam-med3d"):
        load_model("sam-med4d", device="cpu")


def test_records_are_plain_json(student_file: Path, store: ModelStore):
    import_model(student_file, name="mine")

    table = json.loads((store.folder / "mine.json").read_text())

    assert table["architecture"] == "fastsam3d"
    assert [part["part"] for part in table["provenance"]] == [
        "image_encoder",
        "prompt_encoder",
        "mask_decoder",
    ]
