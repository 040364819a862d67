from dataclasses import replace

import pytest

from napari_fastsam3d.errors import TrainingError
from napari_fastsam3d.training.recipe import learning_rate
from napari_fastsam3d.training.recipe_file import read_recipe


def test_phases_follow_each_other(recipe):
    assert recipe.steps == 6
    assert [(phase.steps, phase.crop) for phase in recipe.phases] == [(4, 32), (2, 48)]
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


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("learns = 'encoder'", "learns is one of"),
        ("learns = 'box_features'\nboxes = 1.0", "box_decoder only"),
        ("learns = 'box_features'\nrate = 1e-3\nnetwork = {box_decoder = true}", "of boxes only"),
        (
            "learns = 'box_features'\nrate = 1e-3\nnetwork = {box_decoder = true}\n"
            "boxes = 1.0\naimed = 0.5",
            "of boxes only",
        ),
    ],
)
def test_a_phase_asks_for_no_more_than_there_is(tmp_path, recipe_file, change, told):
    path = tmp_path / "asks.toml"
    text = recipe_file.read_text()
    path.write_text(f"{text}\n[[phases]]\nsteps = 1\ncrop = 32\nbatch = 1\n{change}\n")
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
