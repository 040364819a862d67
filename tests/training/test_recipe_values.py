"""A recipe is checked before a run begins: each value that can't be is one error that names it."""

from dataclasses import asdict, fields
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_data import RECIPE

from napari_fastsam3d import cli
from napari_fastsam3d.errors import TrainingError
from napari_fastsam3d.model.checked_table import checked
from napari_fastsam3d.model.default.image_encoder import PyramidConfig
from napari_fastsam3d.model.sam_med3d.image_encoder import ViTConfig
from napari_fastsam3d.training.distillation_recipe import read_distillation
from napari_fastsam3d.training.recipe import Phase, Recipe
from napari_fastsam3d.training.recipe_file import read_recipe, read_table, recipe_of
from napari_fastsam3d.training.sample import Sampler

PHASE = {"steps": 3, "crop": 32, "batch": 2}
SHIPPED = files("napari_fastsam3d.training") / "recipes"


def table(**changes):
    return {"sources": {"shapes": 1.0}, "phases": [dict(PHASE)], **changes}


def of_phase(**changes):
    return table(phases=[{**PHASE, **changes}])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[(name, 0) for name in ("steps", "batch", "clicks", "most", "targets", "crop")],
        *[(name, value) for name in ("steps", "batch") for value in ("4", 4.5, -4, True, [4], {})],
        *[(name, value) for name in ("aimed", "boxes", "lesioned") for value in (-0.1, 1.1, "all")],
        *[("crop", 30), ("crop", 8), ("crop", 32.0)],
        *[(name, value) for name in ("finest", "coarsest", "rate") for value in (0.0, -1, "1 mm")],
        *[("ema", 1.5), ("decay", -0.5), ("ema", float("nan")), ("rate", float("inf"))],
        *[("similarity_maps", 1), ("learns", 7), ("network", 3), ("network", [1])],
    ],
)
def test_a_value_that_a_phase_cannot_have_is_named(field, value):
    with pytest.raises(TrainingError, match=field):
        recipe_of(of_phase(**{"rate": 1e-3, field: value}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("seed", value) for value in ("x", 1.5, -3)],
        *[("learning_rate", value) for value in ("fast", 0, -1e-3)],
        *[("clip", 0), ("weight_decay", -1), ("warmup", -1), ("ema", 2), ("decay", "half")],
        *[("held_out", value) for value in (3, {"balls": "one"}, {"balls": 1.5}, {"balls": -1})],
        *[("sources", value) for value in ([1], {}, {"a": 0.0}, {"a": -1, "b": 2}, {"a": "most"})],
        *[("phases", value) for value in (3, [], [3], "all", dict(PHASE))],
        *[("repeats", value) for value in (0, -1, 1.5, "twice", None)],
    ],
)
def test_a_value_that_a_run_cannot_have_is_named(field, value):
    with pytest.raises(TrainingError, match=field):
        recipe_of(table(**{field: value}))


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ({"widths": [4, 8]}, "widths"),
        ({"widths": [4, 8, "8"]}, "widths"),
        ({"widths": 4}, "widths"),
        ({"width": 16, "heads": 3}, "multiple of heads"),
        ({"heads": 0}, "too small"),
        ({"blocks": [1, -1, 1]}, "too small"),
        ({"box_decoder": 1}, "box_decoder"),
        ({"colour": "red"}, "no colour"),
    ],
)
def test_sizes_that_no_network_has_are_told_wherever_they_stand(sizes, told):
    with pytest.raises(TrainingError, match=told):
        recipe_of(table(network=sizes))
    with pytest.raises(TrainingError, match=told):
        recipe_of(of_phase(network=sizes, rate=1e-3))


def test_a_finer_crop_than_the_coarsest_is_asked_for():
    assert recipe_of(of_phase(finest=1.0, coarsest=2.0)).phases[0].spacings == (1.0, 2.0)
    assert recipe_of(of_phase(finest=1.5)).phases[0].spacings == (1.5, 1.5)
    with pytest.raises(TrainingError, match="finest"):
        recipe_of(of_phase(finest=2.0, coarsest=1.0))


def test_a_network_grows_before_a_cycle_only():
    grows = {"network": {"depth": 6}}
    with pytest.raises(TrainingError, match="needs a rate"):
        recipe_of(of_phase(**grows))
    recipe = recipe_of(
        table(network={"depth": 5, "heads": 4}, phases=[PHASE, {**PHASE, **grows, "rate": 1e-3}])
    )
    assert [recipe.network_at(step).depth for step in (0, 2, 3, 5)] == [5, 5, 6, 6]
    assert recipe.network_at(5).heads == 4, "what a phase leaves out is that of the recipe"


@settings(max_examples=25)
@given(st.data())
def test_what_a_dataclass_holds_is_what_a_table_may_say_of_it(data):
    kind = data.draw(st.sampled_from([PyramidConfig, ViTConfig, Phase]))
    made = {PyramidConfig: PyramidConfig(), ViTConfig: ViTConfig(("none", "global"))}.get(
        kind, Phase(**PHASE)
    )
    own = {name: value for name, value in asdict(made).items() if name != "network"}
    listed = {key: list(v) if isinstance(v, tuple) else v for key, v in own.items()}
    assert kind(**checked(kind, listed)) == made

    name = data.draw(st.sampled_from([f.name for f in fields(kind) if f.name in own]))
    strange = data.draw(st.sampled_from([object(), b"1", [[1]], {"a": 1}, ["none", 3]]))
    with pytest.raises(TypeError, match=name):
        checked(kind, {**listed, name: strange})


def test_a_table_of_a_recipe_is_left_as_it_was(tmp_path):
    file = tmp_path / "recipe.toml"
    file.write_text(RECIPE)
    once = read_table(file)
    assert recipe_of(once) == recipe_of(once) == read_recipe(file)


def test_phases_are_gone_through_as_often_as_is_said():
    both = [PHASE, {**PHASE, "crop": 48}]
    recipe = recipe_of(table(phases=both, repeats=3))
    assert recipe == recipe_of(table(phases=3 * both))
    assert recipe.steps == 18


RECIPES = ["default", "coarse", "first_clicks", "first_judge", "late_clicks"]


@pytest.mark.parametrize("name", RECIPES)
def test_every_shipped_recipe_can_be_trained_with(name):
    recipe = read_recipe(SHIPPED / f"{name}.toml")
    assert isinstance(recipe, Recipe)
    assert set(recipe.held_out) <= set(recipe.sources)


def test_a_file_that_is_no_text_is_told(tmp_path):
    file = tmp_path / "recipe.toml"
    file.write_bytes(b"seed = 3 # \xe9\n")
    with pytest.raises(TrainingError, match="not TOML"):
        read_recipe(file)
    with pytest.raises(TrainingError, match="cannot be read"):
        read_recipe(tmp_path)


STUDENT = "[student]\n[sources]\nshapes = 1.0\n[[phases]]\nsteps = 2\ncrop = 32\nbatch = 1\n"


@pytest.mark.parametrize("matches", ['"down_*"', "3", "[3]", "[]", '{ name = "neck" }'])
def test_layers_to_match_are_a_list_of_their_names(tmp_path, matches):
    file = tmp_path / "student.toml"
    file.write_text(f"{STUDENT}matches = {matches}\n")
    with pytest.raises(TrainingError, match="matches can't be"):
        read_distillation(file)


@pytest.mark.parametrize("phases", ["phases = 3", "phases = [3]", "", "phases = []"])
def test_a_distillation_without_phases_is_told(tmp_path, phases):
    file = tmp_path / "student.toml"
    file.write_text(f"{phases}\n[student]\n[sources]\nshapes = 1.0\n")
    with pytest.raises(TrainingError, match="phases"):
        read_distillation(file)


def test_stages_follow_each_other_and_the_last_one_stays(tmp_path):
    file = tmp_path / "student.toml"
    phase = STUDENT.partition("shapes = 1.0\n")[2]
    file.write_text(f'{STUDENT}matches = ["a", "b*"]\n{phase}{phase}matches = ["c"]\n')
    recipe = read_distillation(file)
    stages = [recipe.stage_at(step) for step in range(8)]
    assert stages == [("a", "b*")] * 2 + [("*",)] * 2 + [("c",)] * 4


def test_sources_that_a_folder_lacks_are_left_out_and_all_of_them_refused(data):
    sampler = Sampler.of_folder(data, {"elsewhere": 0.5, "balls": 0.3, "maps": 0.2}, 0)
    assert dict(sampler.sources) == {"balls": 0.3, "maps": 0.2}
    with pytest.raises(TrainingError, match="It holds balls, maps, shapes"):
        Sampler.of_folder(data, {"elsewhere": 1.0}, 0)
    with pytest.raises(TrainingError, match="nothing of the recipe's sources"):
        Sampler.of_folder(data, {"balls": 1.0}, 0, held_out={"balls": 2})
    with pytest.raises(TrainingError, match="nothing of the recipe's sources"):
        Sampler.of_folder(data, {"unlabelled": 1.0}, 0)


def test_cases_are_held_out_of_sets_that_are_there(data):
    sampler = Sampler.of_folder(data, {"balls": 1.0}, 0, held_out={"balls": 1, "elsewhere": 8})
    assert [case.name for case in sampler.cases["balls"]] == ["a"]
    whole = Sampler.of_folder(data, {"balls": 1.0}, 0, held_out={"balls": 0})
    assert [case.name for case in whole.cases["balls"]] == ["a", "b"]


def test_the_command_says_in_one_line_what_is_wrong_and_writes_nothing(data, tmp_path, capsys):
    file = tmp_path / "recipe.toml"
    file.write_text(RECIPE.replace("batch = 2", 'batch = "two"'))
    out = tmp_path / "run"
    assert cli.run(["train", str(data), "--out", str(out), "--config", str(file)]) == 1
    assert capsys.readouterr().err.startswith("error: The recipe is incomplete or misspelt: batch")
    file.write_text(RECIPE.replace("balls = 0.6\nmaps = 0.2\nshapes = 0.2", "elsewhere = 1"))
    assert cli.run(["train", str(data), "--out", str(out), "--config", str(file)]) == 1
    assert "nothing of the recipe's sources" in capsys.readouterr().err
    assert not out.exists()
