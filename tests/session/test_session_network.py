"""The session with a real network, of random weights."""

import nibabel as nib
import numpy as np
import pytest
from axis_order import ORDERS

from napari_fastsam3d.geometry import Box, Volume, torso_phantom
from napari_fastsam3d.geometry.mask import dice
from napari_fastsam3d.session import ModelThread, Session

CLICKS = [((60, 50, 40), True), ((80, 60, 40), True), ((60, 55, 44), False)]


@pytest.fixture(scope="module")
def torso():
    return torso_phantom(seed=1, spacing=(2.0, 2.0, 4.0))


def test_a_whole_sitting_with_a_network(torso, tiny_predictor, tmp_path):
    volume, labels, names = torso
    values = {name: value for value, name in names.items()}
    inside = tuple(int(x) for x in np.argwhere(labels == values["liver"]).mean(axis=0))
    outside = tuple(int(x) for x in np.argwhere(labels == values["spleen"]).mean(axis=0))
    kidney = np.argwhere(labels == values["right kidney"])
    with Session(volume, model=tiny_predictor) as session:
        session.add_point(inside)
        session.add_point(outside, positive=False)
        before = session.mask()
        assert before[inside]
        assert not before[outside]
        session.new_object("kidney")
        result = session.add_box(kidney.min(axis=0), kidney.max(axis=0) + 1)
        assert 0 <= result.quality <= 1
        session.undo()
        session.redo()
        assert np.array_equal(session.mask(1), before)
        saved = session.save(tmp_path / "mask.nii.gz")
        labels_shown = session.label_map()
    read = nib.load(saved)
    assert np.array_equal(np.asanyarray(read.dataobj), labels_shown)
    assert np.allclose(read.affine, volume.affine)


def test_a_network_answers_the_same_prompts_with_the_same_mask(torso, tiny_predictor):
    volume, _, _ = torso
    masks = []
    for detour in (False, True):
        with Session(volume, model=tiny_predictor) as session:
            for index, positive in CLICKS:
                if detour:
                    session.add_point((20, 20, 20), not positive)
                    session.undo()
                session.add_point(index, positive)
            masks.append(session.mask())
    assert np.array_equal(*masks)


@pytest.mark.parametrize("padding", [-2000, -8192, -32768])
def test_padding_changes_no_mask(tiny_predictor, padding):
    """Outside of its circle a scanner wrote the value of air, or that of padding."""
    i, j, k = np.indices((60, 60, 24))
    ball = (i - 30) ** 2 + (j - 30) ** 2 + (2 * k - 24) ** 2 <= 8**2
    outside = (i - 29.5) ** 2 + (j - 29.5) ** 2 > 28**2
    body = np.where(ball, 200, np.where((i - 30) ** 2 + (j - 30) ** 2 < 20**2, 40, -1000))
    masks = []
    for fill in (-1000, padding):
        voxels = np.where(outside, fill, body).astype(np.int16)
        scan = Volume.from_array(voxels, spacing=(1.5, 1.5, 3))
        with Session(scan, model=tiny_predictor) as session:
            session.add_point((30, 30, 12))
            session.add_point((14, 30, 12), positive=False)
            masks.append(session.mask())
    assert np.array_equal(*masks)


def test_a_click_in_an_end_slice_of_a_thin_scan_marks_the_organ_all_the_same():
    """Eleven slices through the liver, whose ends lie in the middle of what the model looks at."""
    volume, labels, names = torso_phantom()
    liver = labels == next(value for value, name in names.items() if name == "liver")
    middle = int(np.median(np.flatnonzero(liver.any((0, 1)))))
    slices = slice(middle - 5, middle + 6)
    thin, truth = Volume.from_array(volume.voxels[..., slices], volume.affine), liver[..., slices]
    scores = []
    with ModelThread() as thread:
        for k in (0, 5, 10):
            flat = np.argwhere(truth[..., k])
            i, j = flat[((flat - flat.mean(axis=0)) ** 2).sum(axis=1).argmin()]
            with Session(thin, model=thread) as session:
                session.add_point((i, j, k))
                mask = session.mask()
            scores.append(dice(mask, truth))
    first, inner, last = scores
    assert min(first, last) > 0.5 * inner > 0.05


def label_map(volume, order, model) -> np.ndarray:
    """What the same clicks and box of the patient make, stored in an order of axes."""
    box = order.box(Box((30, 40, 20), (60, 70, 50)), volume.shape)
    with Session(order.volume(volume), model=model) as session:
        for index, positive in CLICKS:
            session.add_point(order.index(index, volume.shape), positive)
        session.new_object()
        session.add_box(box.start, box.stop)
        return session.label_map()


@pytest.fixture(scope="module")
def stored_once(torso, tiny_predictor):
    return label_map(torso[0], ORDERS[0], tiny_predictor)


@pytest.mark.parametrize("order", ORDERS[5::16], ids=str)
def test_a_network_sees_the_same_patient_in_every_order_of_axes(
    torso, tiny_predictor, order, stored_once
):
    there = label_map(torso[0], order, tiny_predictor)
    assert np.array_equal(order.array(stored_once), there)
    assert {1, 2} <= set(np.unique(there))
