"""A model shown one slice at a time: what it is shown, and how far a mask is carried."""

import numpy as np
import pytest
import torch
from labelled_folder import SHAPE, ball, bright, make_folder
from scipy import ndimage

from napari_fastsam3d.cli import run
from napari_fastsam3d.evaluation import Protocol, SliceWiseSegmenter, Target, run_trial
from napari_fastsam3d.evaluation.slice_wise import SliceWiseAttempt, slice_axis
from napari_fastsam3d.evaluation.target import Key
from napari_fastsam3d.model.base_predictor import BasePredictor
from napari_fastsam3d.model.predictor import Segmentation
from napari_fastsam3d.session import Mask, ModelThread

BALL = ball((12, 15, 12), 7)


class Threshold(BasePredictor):
    """Segments what is bright and connected with a positive click, of what it is shown."""

    crop_size = 64
    spacings = (1.0, 2.0)
    start_spacing = 1.0

    def __init__(self):
        super().__init__("threshold", torch.device("cpu"), torch.float32, "0" * 64)
        self.shown = []

    def normalise(self, crop, inside):
        assert all(planes.any() for planes in inside)
        return torch.from_numpy(crop)

    def encode(self, image):
        self.shown.append(image.numpy())
        return image.numpy()

    def features(self, encoded):
        raise NotImplementedError

    def decode(self, *given):
        raise NotImplementedError

    def segment(self, encoded, points, labels, box, previous):
        parts, _ = ndimage.label(encoded > 100)
        at = parts[tuple(np.rint(points).astype(int).T)]
        wanted = set(at[labels == 1]) - set(at[labels == 0]) - {0}
        logits = np.where(np.isin(parts, list(wanted)), 4, -4).astype(np.float32)
        return Segmentation(logits[::4, ::4, ::4], logits[::2, ::2, ::2], 0.5)


def test_a_ball_is_found_slice_by_slice_from_one_click():
    predictor = Threshold()
    attempt = SliceWiseAttempt(bright(BALL), predictor)
    found = attempt.click((12, 15, 12), True).volume(SHAPE)
    assert 2 * (found & BALL).sum() / (found.sum() + BALL.sum()) > 0.8
    levels = np.flatnonzero(found.any((0, 1)))
    assert levels.max() - levels.min() >= 8, "it is carried to slices without a click"
    for shown in predictor.shown:
        assert np.array_equal(shown, np.broadcast_to(shown[..., :1], shown.shape))
    seen = len(predictor.shown)
    attempt.click((12, 17, 12), True)
    assert len(predictor.shown) == seen, "no slice is encoded twice"


@pytest.mark.parametrize("across", [3.0, 0.5])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_pixels_of_a_slice_are_square(axis, across):
    spacing = [1.0, 1.0, 1.0]
    spacing[axis] = across
    predictor = Threshold()
    SliceWiseAttempt(bright(BALL, tuple(spacing)), predictor).click((12, 15, 12), True)
    shown = predictor.shown[0]
    assert (shown == shown.take([0], axis)).all()
    assert not (shown == shown.take([0], (axis + 1) % 3)).all()


def test_cubes_are_seen_in_axial_slices():
    assert slice_axis((1.0, 1.0, 1.0)) == 2


def test_a_negative_click_ends_what_is_carried_and_nothing_is_made_of_it_alone():
    pillar = np.zeros(SHAPE, bool)
    pillar[8:16, 10:20, 2:24] = True
    attempt = SliceWiseAttempt(bright(pillar), Threshold())
    assert attempt.click((2, 2, 2), False).volume(SHAPE).sum() == 0
    whole = attempt.click((12, 15, 5), True).volume(SHAPE)
    assert whole[12, 15, 22]
    less = attempt.click((12, 15, 14), False).volume(SHAPE)
    assert less[12, 15, 5]
    assert not less[:, :, 14:].any()


class Stubborn(Threshold):
    """Never leaves out what a click excludes."""

    def segment(self, encoded, points, labels, box, previous):
        return super().segment(encoded, points[labels == 1], labels[labels == 1], box, previous)


def test_a_mask_that_holds_an_excluded_voxel_is_not_carried_on():
    pillar = np.zeros(SHAPE, bool)
    pillar[8:16, 10:20, 2:24] = True
    attempt = SliceWiseAttempt(bright(pillar), Stubborn())
    assert attempt.click((12, 15, 5), True).volume(SHAPE)[12, 15, 22]
    less = attempt.click((9, 18, 14), False).volume(SHAPE)
    assert less[12, 15, 5]
    assert not less[:, :, 14:].any()


def test_clicks_far_apart_get_a_coarser_crop_that_holds_them():
    bar = np.zeros((30, 34, 120), bool)
    bar[8:16, 10:20, 5:115] = True
    attempt = SliceWiseAttempt(bright(bar, (1.0, 1.0, 1.0)), Threshold())
    attempt.click((12, 15, 8), True)
    assert attempt.slices.crop.spacing == 1.0
    found = attempt.click((12, 15, 100), True).volume(bar.shape)
    assert attempt.slices.crop.spacing == 2.0
    assert found[12, 15, 8]
    assert found[12, 15, 100]


def test_a_network_is_asked_and_answers_the_same_again(tiny_predictor):
    thin = BALL[:, :, 10:14]
    target = Target(Key("balls", "a", 1), "ball", bright(thin), Mask.of_volume(thin))
    with ModelThread(tiny_predictor) as thread:
        segmenter = SliceWiseSegmenter("tiny, slice-wise", thread)
        one, mask = run_trial(target, segmenter, Protocol(clicks=2))
        two, again = run_trial(target, segmenter, Protocol(clicks=2))
        assert segmenter.fingerprint != tiny_predictor.fingerprint
    assert one.dice == two.dice
    assert one.box_dice is None
    assert mask.equals(again)


@pytest.mark.parametrize("more", [["--shift", "4"], ["--model", "region-growing"]])
def test_what_has_no_slices_is_told(more, capsys, tmp_path):
    assert run(["evaluate", str(make_folder(tmp_path)), "--slice-wise", *more]) != 0
    assert "--slice-wise" in capsys.readouterr().err
