"""Objects that hold nothing, or nothing of what was clicked for them, are told of."""

import logging

import numpy as np
from brightness_model import BrightnessModel
from hypothesis import given, settings
from hypothesis import strategies as st

import napari_fastsam3d as fs
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.session import Session

SHAPE = (48, 48, 24)
voxels = st.tuples(*[st.integers(0, n - 1) for n in SHAPE])


def lesions(count: int) -> tuple[Volume, list[tuple[int, int, int]]]:
    """Bright balls that all look alike, so that a model that knows intensities takes them all."""
    rng = np.random.default_rng(0)
    array = rng.normal(40, 2, SHAPE).astype(np.float32)
    centres = [tuple(int(rng.integers(4, n - 4)) for n in SHAPE) for _ in range(count)]
    for centre in centres:
        array[sum((x - c) ** 2 for x, c in zip(np.indices(SHAPE), centre, strict=True)) < 9] = 150
    return Volume.from_array(array, spacing=(1, 1, 2)), centres


def clicked(session: Session, centres) -> None:
    for number, centre in enumerate(centres):
        session.new_object(f"lesion {number}")
        session.add_point(centre)


def test_saving_says_which_of_many_lesions_are_empty(tmp_path, caplog):
    volume, centres = lesions(12)
    with Session(volume, model=BrightnessModel(size=64, spacings=(1.0,), start_spacing=1.0)) as it:
        clicked(it, centres)
        notes = []
        it.noted.connect(notes.append)
        with caplog.at_level(logging.WARNING, "napari_fastsam3d"):
            saved = it.save(tmp_path / "map.nii.gz")
            files = it.save_each(tmp_path / "each.nii.gz")
        values = set(np.unique(np.asarray(fs.read_volume(saved).voxels))) - {0}
        empty = [o for o in it.state.objects if o.value not in values]
        assert len(empty) + len(files) == 12
        assert it.empty_objects() == [o.id for o in empty]
        assert empty
        for told in (*notes, *caplog.messages):
            assert f"{len(empty)} objects are empty" in told
            assert all(o.name in told for o in empty)
        assert len(notes) == len(caplog.messages) == 2


def test_what_is_overlapped_can_be_taken_over(tmp_path, caplog):
    volume, centres = lesions(8)
    with Session(volume, model=BrightnessModel(size=64, spacings=(1.0,), start_spacing=1.0)) as it:
        clicked(it, centres)
        lost = it.overlapped_objects()
        assert lost
        for each in lost:
            assert each.clicks == (centres[each.object - 1],)
            assert it.mask(each.holders[0])[each.clicks[0]]
        while left := it.overlapped_objects():  # several may keep one click
            for each in left:
                it.take_over(each.clicks[0], each.object)
        assert it.empty_objects() == []
        labels = it.label_map()
        assert all(labels[c] == o.value for c, o in zip(centres, it.state.objects, strict=True))
        with caplog.at_level(logging.WARNING, "napari_fastsam3d"):
            it.save(tmp_path / "map.nii.gz")
        assert caplog.messages == []


def test_letting_newer_objects_overwrite_gives_each_its_click():
    volume, centres = lesions(8)
    with Session(volume, model=BrightnessModel(size=64, spacings=(1.0,), start_spacing=1.0)) as it:
        clicked(it, centres)
        it.set_overlap("overwrite")
        # The newest takes what looks like it, and with it the clicks of those before.
        assert it.state.objects[-1].id not in [each.object for each in it.overlapped_objects()]
        it.set_overlap("share")
        assert it.overlapped_objects() == []


@given(
    st.lists(st.tuples(st.integers(1, 3), voxels, st.booleans()), max_size=8),
    st.sampled_from(["keep", "overwrite", "share"]),
)
@settings(max_examples=40)
def test_overlapped_are_those_whose_clicks_are_all_in_others(clicks, rule):
    volume, _ = lesions(5)
    model = BrightnessModel(size=16, spacings=(2.0, 4.0), start_spacing=2.0)
    with Session(volume, model=model) as session:
        for _ in range(3):
            session.new_object()
        for number, index, positive in clicks:
            session.select_object(number)
            session.add_point(index, positive)
        session.set_overlap(rule)
        labels = session.label_map()
        for each in session.state.objects:
            own = {p.index for p in each.prompts if getattr(p, "positive", False)}
            whole = session._scheduler.masks.own(each)
            kept = [at for at in own if labels[at] not in (0, each.value)]
            found = [o for o in session.overlapped_objects() if o.object == each.id]
            wanted = bool(own) and len(kept) == len(own) and rule != "share"
            # A later negative click of its own makes a voxel nobody's or another's alike.
            if all(whole.contains(at) for at in own):
                assert bool(found) == wanted
            assert (each.id in session.empty_objects()) == (not session.mask(each.id).any())
