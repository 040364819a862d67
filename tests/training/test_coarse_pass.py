"""When a coarse pass is trusted, fitted on first clicks of training targets."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from napari_fastsam3d.errors import TrainingError
from napari_fastsam3d.inference.coarse_judge import FEATURES, NEAR
from napari_fastsam3d.model.checkpoint import read_pyramid, save_pyramid
from napari_fastsam3d.model.default.network import grown
from napari_fastsam3d.training.coarse_pass import FirstClick, first_clicks, fit, without_judge
from napari_fastsam3d.training.sample import Sampler


def clicks(count: int, seed: int = 0) -> list[FirstClick]:
    """First clicks whose coarse mask is better where a feature of either mask is high."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(count):
        features = rng.normal(size=len(FEATURES)) * 5 + 2
        both = features[3] + features[NEAR.start + 3] - 4
        gain = 0.04 * both + 0.01 * rng.normal()
        found.append(
            FirstClick("drawn", str(number // 3), number % 3, tuple(features), 0.5 + gain, 0.5)
        )
    return found


def test_a_judge_learns_which_of_both_is_better():
    found = fit(clicks(300))
    assert found.clicks == 300
    assert found.judged > max(found.near, found.far) + 0.05
    assert found.better - found.judged < 0.03
    clear = [each for each in clicks(200, seed=1) if abs(each.far - each.near) > 0.15]
    gains = [found.coarse_pass.gain.estimate(each.features) > 0 for each in clear]
    right = [each.far > each.near for each in clear]
    assert np.mean(np.equal(gains, right)) > 0.95


def test_a_judge_is_measured_on_volumes_that_it_was_not_fitted_on():
    rng = np.random.default_rng(2)
    noise = [replace(each, far=0.5 + 0.2 * rng.normal()) for each in clicks(300)]
    found = fit(noise)
    assert found.judged < found.near + 0.05
    assert found.better > found.near + 0.05


def test_a_feature_that_never_varies_does_no_harm():
    still = [replace(each, features=(*each.features[:-1], 7.0)) for each in clicks(300)]
    assert fit(still).judged > 0.55
    assert all(np.isfinite(fit(still).coarse_pass.gain.weights))


def test_scans_count_more_than_drawn_volumes():
    drawn = clicks(200)
    other = [replace(each, source="scans", far=each.near + each.near - each.far) for each in drawn]
    judge = fit([*drawn, *other]).coarse_pass
    gains = [judge.gain.estimate(each.features) for each in drawn]
    right = [each.far - each.near for each in other]
    assert np.corrcoef(gains, right)[0, 1] > 0.8


def test_too_few_volumes_are_refused():
    with pytest.raises(TrainingError, match="can't be fitted"):
        fit(clicks(12))


def test_first_clicks_are_kept_and_gone_on_with(tiny_predictor, data, recipe, tmp_path):
    network = tiny_predictor.network
    weights = tmp_path / "weights.safetensors"
    save_pyramid(grown(network, replace(network.config, coarse_candidates=1)), weights)
    predictor = without_judge(weights)
    assert predictor.coarse_pass.gain.estimate(np.zeros(len(FEATURES))) < 0
    sampler = Sampler.of_folder(data, {"shapes": 1.0}, recipe.seed)
    file = tmp_path / "first_clicks.jsonl"
    *_, (done, found) = first_clicks(predictor, sampler, file, 1, size=132)
    assert done == 1
    assert 0 < len(found) <= 4
    assert all(0 <= score <= 1 for each in found for score in (each.far, each.near))
    with file.open("a") as lines:
        lines.write(json.dumps(asdict(replace(found[0], case="1"))) + "\n" + '{"source": "dr')
    *_, (_, again) = first_clicks(predictor, sampler, file, 2, size=132)
    assert again == [*found, replace(found[0], case="1")]
    assert file.read_text().endswith("}\n")
    file.write_text(json.dumps({**asdict(found[0]), "features": [1.0]}) + "\n")
    with pytest.raises(TrainingError, match="another version"):
        list(first_clicks(predictor, sampler, file, 1, size=132))
    assert read_pyramid(weights).coarse_pass is None
