"""Which adapter a session takes for an object, as the folder of adapters changes under it."""

import os

import pytest
import torch

from napari_fastsam3d.errors import AdapterError
from napari_fastsam3d.inference.recall_prompts import WithAdapter
from napari_fastsam3d.model.adaptation import AdapterConfig
from napari_fastsam3d.model.adapter import Adapter
from napari_fastsam3d.model.adapter_store import AdapterStore
from napari_fastsam3d.session.adapters import SessionAdapters
from napari_fastsam3d.session.colour import COLOURS
from napari_fastsam3d.session.state import ObjectState

MODEL = "0" * 64


class Model:
    fingerprint, name = MODEL, "small"


def made(weight: float, structure: str = "Liver", model: str = MODEL) -> Adapter:
    tensors = {"decoder.token.weight_shift": torch.full((2, 3), weight)}
    return Adapter(structure, AdapterConfig("norm"), model, "small", None, 3, None, tensors)


def named(name: str) -> ObjectState:
    return ObjectState(1, name, 1, COLOURS[0])


@pytest.fixture
def adapters(tmp_path) -> SessionAdapters:
    chosen = SessionAdapters()
    chosen.store = AdapterStore(tmp_path)
    return chosen


def in_use(adapters: SessionAdapters, name: str = "liver") -> WithAdapter | None:
    return adapters.of_object(Model(), named(name))


def test_an_object_called_like_a_structure_has_the_version_in_use(adapters):
    assert in_use(adapters) is None
    first = adapters.store.add(made(1.0))
    assert in_use(adapters) == WithAdapter("Liver", first.identity)
    second = adapters.store.add(made(2.0))
    assert in_use(adapters) == WithAdapter("Liver", second.identity)
    adapters.store.use("liver", 1)
    assert in_use(adapters) == WithAdapter("Liver", first.identity)
    adapters.store.use("liver", 0)
    assert in_use(adapters) is None
    assert in_use(adapters, "spleen") is None
    assert adapters.of_object(Model(), None) is None
    adapters.store = None
    assert in_use(adapters) is None


def test_a_version_that_was_fitted_anew_is_not_taken_for_the_old_one_of_its_number(adapters):
    adapters.store.add(made(1.0))
    assert in_use(adapters) is not None
    path = adapters.store.file_in_use("liver")
    os.utime(path, ns=(1, 1))
    assert in_use(adapters) is not None
    adapters.store.remove("liver")
    again = adapters.store.add(made(2.0))
    assert again.version == 1
    assert in_use(adapters) == WithAdapter("Liver", again.identity)


def test_a_damaged_adapter_keeps_nobody_from_clicking_and_is_told(adapters, caplog):
    adapters.store.add(made(1.0))
    adapters.store.file_in_use("liver").write_bytes(b"torn")
    assert in_use(adapters) is None
    assert "adapter for liver is not used" in caplog.text


def test_an_adapter_of_another_model_is_passed_over_and_refused_where_it_is_asked_for(adapters):
    adapters.store.add(made(1.0, model="1" * 64))
    assert in_use(adapters) is None
    assert adapters.of_object(None, named("liver")) is not None, "the model isn't known yet"
    with pytest.raises(AdapterError, match="was fitted to small"):
        adapters.asked_for(["liver"], MODEL)
    with pytest.raises(AdapterError, match="No structure is adapted"):
        adapters.asked_for(None, MODEL)


def test_structures_are_asked_for_by_name_or_all_at_once(adapters):
    for name in ("Liver", "Spleen"):
        adapters.store.add(made(1.0, name))
    adapters.store.add(made(1.0, "Aorta", model="1" * 64))
    assert {each.structure for each in adapters.asked_for(None, MODEL)} == {"Liver", "Spleen"}
    once = adapters.asked_for(["spleen", "spleen"], MODEL)
    assert [each.structure for each in once] == ["Spleen"]
    with pytest.raises(AdapterError, match="no adapter for kidney"):
        adapters.asked_for(["liver", "kidney"], MODEL)
    with pytest.raises(AdapterError, match="No structure is asked for"):
        adapters.asked_for([], MODEL)


def test_weights_of_a_log_are_found_in_use_or_not_and_kept_once_read(adapters):
    first = adapters.store.add(made(1.0))
    adapters.store.add(made(2.0))
    assert adapters.find(first.identity).version == 1
    adapters.store.remove("liver")
    assert adapters.find(first.identity).identity == first.identity, "a session goes on with it"
    assert adapters.find("f" * 32) is None
