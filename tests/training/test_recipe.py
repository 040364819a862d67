from dataclasses import replace

import pytest

from napari_fastsam3d.errors import TrainingError
from napari_fastsam3d.training.recipe import read_recipe
from napari_fastsam3d.training.schedule import learning_rate


def test_phases_follow_each_other(recipe):
    assert recipe.steps == 6
    assert [recipe.phase_at(step).crop for step in range(6)] == [32, 32, 32, 32, 48, 48]
    assert recipe.network.widths == (4, 8, 8)


def test_the_learning_rate_rises_stays_and_falls(recipe):
    rates = [learning_rate(recipe, step) for step in range(recipe.steps)]
    assert rates[0] == pytest.approx(recipe.learning_rate / 2)
    assert rates[1] == rates[2] == recipe.learning_rate
    assert rates[3] > rates[4] > rates[5] > 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("steps = [", "not TOML"),
        ("typo = 1\nphases = []\nsources = {}", "typo"),
        ("seed = 1", "incomplete"),
        ("phases = [{steps = 1, crop = 32, batch = 1, colour = 2}]\nsources = {}", "colour"),
        ("phases = []\nsources = {}\nnetwork = {depths = 3}", "depths"),
    ],
)
def test_a_bad_recipe_is_refused_by_name(tmp_path, text, told):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(TrainingError, match=told):
        read_recipe(path)


def test_an_absent_recipe_is_told(tmp_path):
    with pytest.raises(TrainingError, match="cannot be read"):
        read_recipe(tmp_path / "none.toml")


def test_a_phase_with_a_rate_begins_a_cycle(recipe):
    first, last = recipe.phases
    cycled = replace(recipe, phases=(first, replace(last, steps=6, rate=0.5)))
    assert [(c.start, c.steps, c.rate) for c in cycled.cycles] == [(0, 4, 1e-3), (4, 6, 0.5)]
    rates = [learning_rate(cycled, step) for step in range(10)]
    assert rates[4] == pytest.approx(0.25)
    assert max(rates[:4]) == 1e-3
    assert rates[5] == 0.5 > rates[9] > 0
