"""How an adapter learns, step by step, and what it is worth: rates, losses, gains and scores."""

import math
from io import BytesIO

import numpy as np
import pytest
import torch
from brightness_model import BrightnessModel
from hypothesis import given, settings
from hypothesis import strategies as st
from small_pyramid import ball_scan, small_pyramid
from torch import nn

from napari_fastsam3d.evaluation.metrics import hausdorff_95
from napari_fastsam3d.evaluation.simulator import correcting_click
from napari_fastsam3d.geometry.mask import Mask, middle_of
from napari_fastsam3d.inference.crop_policy import CropPolicy
from napari_fastsam3d.inference.prompt import Point
from napari_fastsam3d.inference.segmenter import Replay
from napari_fastsam3d.model.adaptation import KINDS, AdapterConfig
from napari_fastsam3d.model.default.masks import Masks
from napari_fastsam3d.training.adaptation.learner import Learner, no_prompts
from napari_fastsam3d.training.adaptation.measure import CLICKS, FittedAdapter, scores_by_clicks
from napari_fastsam3d.training.adaptation.objective import RATES, Clicked, SAMed
from napari_fastsam3d.training.adaptation.outcome import gain_of
from napari_fastsam3d.training.adaptation.view import ViewMaker

few = settings(max_examples=20)


@pytest.fixture(scope="module")
def predictor():
    return small_pyramid()


@pytest.fixture(scope="module")
def views(predictor):
    made = []
    for seed in range(2):
        volume, mask = ball_scan(seed)
        crop = CropPolicy.of(volume, predictor).at(middle_of(mask, volume), 2.0)
        maker = ViewMaker(predictor, (4, 4, 4), through_encoder=False)
        made.append(maker(volume, mask, crop, True, np.random.default_rng(seed)))
    return made


def learner(predictor, views, steps=4, objective=None):
    return Learner(predictor, AdapterConfig("norm"), views, steps, objective)


def weights(of: Learner) -> dict[str, torch.Tensor]:
    return {name: each.detach().clone() for name, each in of.adapted.parameters.items()}


def test_steps_are_the_same_every_time_and_change_only_the_adapter(predictor, views):
    before = {name: each.clone() for name, each in predictor.network.state_dict().items()}
    one, other = (learner(predictor, views) for _ in range(2))
    ious = [one.advance() for _ in range(2)]
    assert [other.advance() for _ in range(2)] == ious
    assert all(0 <= iou <= 1 for iou in ious)
    for name, value in weights(one).items():
        assert torch.equal(value, weights(other)[name]), name
    assert any(value.any() for value in weights(one).values())
    assert one.step == 2
    for name, value in predictor.network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_state_is_all_that_is_needed_to_go_on(predictor, views):
    whole = learner(predictor, views)
    whole.advance()
    file = BytesIO()
    torch.save(whole.state(), file)
    file.seek(0)
    again = learner(predictor, views)
    again.go_on_from(torch.load(file, weights_only=True))
    assert again.step == 1
    assert whole.advance() == again.advance()
    for name, value in weights(again).items():
        assert torch.equal(value, weights(whole)[name]), name


def test_it_is_done_after_its_steps(predictor, views):
    short = learner(predictor, views, steps=1)
    assert not short.done
    short.advance()
    assert short.done


def test_a_step_that_is_interrupted_has_changed_nothing(predictor, views):
    one, other = (learner(predictor, views) for _ in range(2))
    calls = iter(range(100))

    def stop():
        if next(calls) == 1:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        one.advance(stop)
    assert one.step == 0
    assert one.advance() == other.advance()
    for name, value in weights(one).items():
        assert torch.equal(value, weights(other)[name]), name


def test_a_step_begins_at_the_rate_of_the_objective(predictor, views):
    class Still(Clicked):
        def rate(self, step, steps):
            return 0.0

    stays = learner(predictor, views, objective=Still("norm", weight_decay=0.0))
    before = weights(stays)
    stays.advance()
    for name, value in weights(stays).items():
        assert torch.equal(value, before[name]), name


def test_a_structure_that_is_not_clicked_is_asked_for_with_no_prompt():
    truth = torch.rand(1, 1, 8, 12, 16)
    prompts = no_prompts(truth)
    assert (prompts.labels < 0).all()
    assert prompts.box.isnan().all()
    assert prompts.previous.shape == (1, 1, 4, 6, 8)
    assert not prompts.previous.any()


@few
@given(st.sampled_from(KINDS), st.integers(1, 400))
def test_the_rate_with_clicks_rises_at_once_and_falls_as_a_half_cosine(kind, steps):
    rates = np.array([Clicked(kind).rate(step, steps) for step in range(steps)])
    assert (rates > 0).all()
    assert rates.max() <= RATES[kind]
    parts = np.arange(steps) / steps
    settled = parts >= 0.05
    wanted = RATES[kind] * (1 + np.cos(np.pi * parts)) / 2
    np.testing.assert_allclose(rates[settled], wanted[settled], rtol=1e-12)
    assert (np.diff(rates[settled]) < 0).all()
    assert (rates <= wanted * (1 + 1e-12)).all()


@few
@given(st.integers(1, 2000))
def test_samed_warms_up_for_250_steps_or_a_quarter_and_decays_by_a_power(steps):
    rates = [SAMed().rate(step, steps) for step in range(steps)]
    warm = min(250, max(1, steps // 4))
    assert max(rates) == pytest.approx(0.005)
    np.testing.assert_allclose(rates[:warm], 0.005 * np.arange(1, warm + 1) / warm)
    left = (np.arange(warm, steps) - warm) / max(1, steps - warm)
    np.testing.assert_allclose(rates[warm:], 0.005 * (1 - left) ** 0.9)


def test_the_loss_of_samed_is_a_fifth_cross_entropy_and_the_rest_dice():
    logits, truth = torch.randn(2, 1, 4, 4, 4), torch.rand(2, 1, 4, 4, 4)
    masks = Masks(torch.zeros(2, 1, 2, 2, 2), logits, torch.zeros(2, 1))
    probability = logits.double().sigmoid()
    dice = [
        1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
        for p, t in zip(probability, truth.double(), strict=True)
    ]
    entropy = nn.BCELoss()(probability, truth.double())
    wanted = 0.2 * entropy + 0.8 * sum(dice) / 2
    assert float(SAMed().loss(masks, truth)) == pytest.approx(float(wanted), rel=1e-5)


scores = st.tuples(*3 * [st.none() | st.floats(0, 1)])
tables = st.dictionaries(st.integers(0, 9), st.tuples(scores, scores), min_size=1, max_size=6)


@few
@given(tables, tables, st.integers(1, 5))
def test_a_gain_is_the_mean_over_the_cases_that_had_a_mask(plain, adapted, folds):
    gain = gain_of(plain, adapted, folds)
    assert (gain.cases, gain.folds, gain.clicks) == (len(adapted), folds, CLICKS)
    for table, dice, far in (
        (plain, gain.plain, gain.plain_hd95),
        (adapted, gain.adapted, gain.adapted_hd95),
    ):
        for what, told in enumerate((dice, far)):
            for at, value in enumerate(told):
                known = [of[what][at] for of in table.values() if of[what][at] is not None]
                if known:
                    assert value == pytest.approx(math.fsum(known) / len(known))
                else:
                    assert value is None
    assert gain_of(plain, {}, folds) is None


def test_a_case_is_scored_after_each_number_of_clicks_as_a_session_would_segment_it():
    volume, truth = ball_scan(2)
    model = BrightnessModel(spacings=(2.0,), start_spacing=2.0)
    dice, far = scores_by_clicks(model, volume, truth)
    assert dice[0] is far[0] is None, "a model that isn't adapted has no mask without a click"

    mask, prompts, replay = Mask.empty(), [], Replay(volume, model)
    for number in (1, 2, 3):
        prompts.append(Point(number, *correcting_click(mask, truth, volume.spacing)))
        mask = replay.step(prompts).mask
        if number in CLICKS:
            at = CLICKS.index(number)
            got, wanted = mask.volume(volume.shape), truth.volume(volume.shape)
            assert dice[at] == pytest.approx(2 * (got & wanted).sum() / (got.sum() + wanted.sum()))
            assert far[at] == hausdorff_95(mask, truth, volume.spacing)


def test_an_adapter_that_is_being_fitted_answers_to_any_identity(predictor):
    other = small_pyramid()
    fitted = FittedAdapter("ball", 2.0, other)
    assert fitted.of_identity("anything") is fitted
    assert fitted.fitted_to(predictor) is other


def test_a_measurement_can_be_stopped_between_its_clicks():
    volume, truth = ball_scan(2)
    model = BrightnessModel(spacings=(2.0,), start_spacing=2.0)

    def stop():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        scores_by_clicks(model, volume, truth, go_on=stop)
    assert not model.asked
