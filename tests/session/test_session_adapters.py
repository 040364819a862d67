"""Adapted structures in a session: answered by their adapter, found without a prompt, replayed."""

from pathlib import Path

import numpy as np
import pytest
from small_pyramid import ball_scan, made, small_pyramid

from napari_fastsam3d.errors import AdapterError, SessionError
from napari_fastsam3d.model.adapter_store import AdapterStore
from napari_fastsam3d.model.default.predictor import PyramidPredictor
from napari_fastsam3d.session import Session
from napari_fastsam3d.session.codec import action_from_json, action_to_json

CLICK = (14, 15, 16)


@pytest.fixture(scope="module")
def predictor() -> PyramidPredictor:
    return small_pyramid()


@pytest.fixture
def store(tmp_path: Path, predictor: PyramidPredictor) -> AdapterStore:
    store = AdapterStore(tmp_path / "adapters")
    store.add(made(predictor, "ball", 0.5))
    return store


def test_an_object_called_like_an_adapted_structure_is_answered_by_its_adapter(
    tmp_path: Path, predictor: PyramidPredictor, store: AdapterStore
):
    volume, _ = ball_scan(1)
    with Session(volume, model=predictor) as session:
        session.new_object("Ball")
        session.add_point(CLICK)
        plain = session.mask()
    with Session(volume, model=predictor, adapters=store) as session:
        session.set_overlap("share")
        session.new_object("Ball")
        session.add_point(CLICK)
        adapted = session.mask()
        session.new_object("something else")
        session.add_point(CLICK)
        other = session.mask()
        store.add(made(predictor, "ball", -0.5))
        session.select_object(1)
        session.add_point((2, 2, 2), positive=False)
        session.undo()
        np.testing.assert_array_equal(session.mask(), adapted)
        session.save_prompts(tmp_path / "prompts.json")
        entries = [entry.action for entry in session.history.entries]
    assert (plain != adapted).any()
    np.testing.assert_array_equal(plain, other)
    assert [action_from_json(action_to_json(each)) for each in entries] == entries

    with Session(volume, model=predictor, adapters=store) as session:
        session.load_prompts(tmp_path / "prompts.json")
        np.testing.assert_array_equal(session.mask(1), adapted)


def test_adapted_structures_are_objects_without_a_prompt_to_be_corrected_or_dropped(
    predictor: PyramidPredictor, store: AdapterStore
):
    store.add(made(predictor, "other ball", 1.0))
    volume, _ = ball_scan(2)
    with Session(volume, model=predictor, adapters=store) as session:
        found = session.segment_automatically()
        session.wait()
        assert [each.name for each in found] == ["ball", "other ball"]
        shown = [each for each in found if not each.mask.is_empty]
        assert shown
        assert [each.name for each in session.state.objects] == [each.name for each in shown]
        first = session.state.objects[0]
        np.testing.assert_array_equal(
            session.region(first.id).voxels,
            shown[0].mask.inside(session.region(first.id).box).voxels,
        )
        assert first.adapter is not None
        inside = tuple(int(n) for n in np.argwhere(session.mask(first.id))[0])

        session.select_object(first.id)
        session.add_point(inside, positive=False)

        assert not session.mask(first.id)[inside]
        session.remove_object(first.id)
        session.undo()
        session.undo()
        assert session.mask(first.id)[inside]


def test_what_is_not_adapted_is_one_error(predictor: PyramidPredictor, store: AdapterStore):
    volume, _ = ball_scan(3)
    store.use("ball", 0)
    with Session(volume, model=predictor, adapters=store) as session:
        with pytest.raises(AdapterError, match="No structure is adapted"):
            session.segment_automatically()
        with pytest.raises(AdapterError, match="no adapter for liver"):
            session.segment_automatically(["liver"])
        with pytest.raises(SessionError, match="No structures are named"):
            session.segment_automatically([])
        assert session.state.objects == ()
