"""Recipes, groups of structures, tissues, losses and logs, against what their words say."""

import math
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fastsam3d.errors import TrainingError
from napari_fastsam3d.geometry import Box
from napari_fastsam3d.model.default.image_encoder import PyramidConfig
from napari_fastsam3d.training import targets
from napari_fastsam3d.training.data import LabelledVolume, Structure
from napari_fastsam3d.training.log import _running_mean
from napari_fastsam3d.training.ranks import Ranks, join, leave
from napari_fastsam3d.training.recipe import Phase, Recipe, SamplingOptions, learning_rate
from napari_fastsam3d.training.recipe_file import read_recipe
from napari_fastsam3d.training.tissues import _NAMES, ARM, SCENERY, TISSUES, tissue_of

SEEDS = st.integers(0, 2**32 - 1)
few = settings(max_examples=30, deadline=None)


@st.composite
def recipes(draw):
    phases = tuple(
        Phase(
            steps=draw(st.integers(1, 30)),
            crop=32,
            batch=1,
            rate=draw(st.none() | st.floats(1e-5, 1e-2)),
            decay=draw(st.none() | st.floats(0.1, 1)),
        )
        for _ in range(draw(st.integers(1, 4)))
    )
    return Recipe({"shapes": 1.0}, phases, warmup=draw(st.integers(0, 10)))


@few
@given(recipes())
def test_cycles_divide_the_run_where_a_phase_has_a_rate(recipe):
    cycles = recipe.cycles
    assert cycles[0].start == 0
    assert sum(cycle.steps for cycle in cycles) == recipe.steps
    assert len(cycles) == 1 + sum(phase.rate is not None for phase in recipe.phases[1:])
    for one, other in pairwise(cycles):
        assert one.start + one.steps == other.start
    for step in range(recipe.steps):
        cycle = recipe.cycle_at(step)
        assert cycle.start <= step < cycle.start + cycle.steps
        assert 0 < learning_rate(recipe, step) <= cycle.rate * (1 + 1e-9)


@few
@given(recipes())
def test_the_rate_rises_stays_and_falls_as_a_half_cosine(recipe):
    for cycle in recipe.cycles:
        rates = [learning_rate(recipe, cycle.start + n) for n in range(cycle.steps)]
        for n, rate in enumerate(rates):
            rise = min(1, (n + 1) / max(1, recipe.warmup))
            begins = cycle.steps * (1 - cycle.decay)
            fallen = min(1, max(0, (n - begins) / max(1, cycle.steps - begins)))
            wanted = 0.02 + 0.98 * math.cos(math.pi * fallen / 2) ** 2
            assert rate == pytest.approx(cycle.rate * rise * wanted)


def test_a_network_has_the_sizes_of_the_last_phase_that_grew_it():
    large = PyramidConfig(blocks=(1, 3, 3))
    phases = (
        Phase(steps=2, crop=32, batch=1),
        Phase(steps=3, crop=32, batch=1, rate=1e-3, network=large),
        Phase(steps=2, crop=32, batch=1),
    )
    recipe = Recipe({}, phases)
    sizes = [recipe.network_at(n) for n in range(7)]
    assert sizes == [recipe.network] * 2 + [large] * 5


@pytest.mark.parametrize("text", ["", "seed = 1", "phases = 3", "[[phases]]\nsteps = 1", "a ="])
def test_a_recipe_that_lacks_what_it_needs_is_refused(tmp_path, text):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(TrainingError):
        read_recipe(path)


NAMES = {
    1: "lung_upper_lobe_left",
    2: "lung_lower_lobe_left",
    3: "lung_upper_lobe_right",
    4: "vertebrae_T12",
    5: "vertebrae_L1",
    6: "liver",
    7: "LeftParotid",
    8: "RightParotid",
}


@pytest.mark.parametrize(("one", "other"), list(product(NAMES, NAMES)))
def test_being_of_one_group_goes_both_ways(one, other):
    for sides in (True, False):
        members = targets.group_members(one, NAMES, sides)
        assert one not in members
        assert (other in members) == (one in targets.group_members(other, NAMES, sides))
    assert set(targets.group_members(one, NAMES, False)) <= set(
        targets.group_members(one, NAMES, True)
    )


def loaded_of(values):
    box = Box((0, 0, 0), (1, 1, 1))
    structures = tuple(
        Structure(v, np.zeros((1, 3), int), 5.0 * v, (1.0, 1.0, 1.0), 10.0 * v, box) for v in values
    )
    nothing = torch.zeros(1, 1, 1)
    return LabelledVolume(None, structures, nothing, nothing)


@few
@given(SEEDS, st.booleans())
def test_one_structure_is_chosen_and_now_and_then_another(seed, large):
    loaded = loaded_of([1, 2, 30])
    rng = np.random.default_rng(seed)
    groups = [targets.one_or_two(loaded, large, rng) for _ in range(80)]
    assert {len(group) for group in groups} <= {1, 2}
    assert all(each in loaded.structures for group in groups for each in group)
    first = [group[0].value for group in groups]
    assert (first.count(30) > 50) == large, "by extent, the large one comes most of the time"


@few
@given(SEEDS)
def test_no_group_is_drawn_twice_and_none_that_was_there(seed):
    loaded = loaded_of(NAMES)
    rng = np.random.default_rng(seed)
    sizes = np.ones(9, np.int64)
    first = (loaded.structures[0],)
    choice = SamplingOptions(targets=7)
    groups = targets._groups(list(loaded.structures), sizes, NAMES, first, choice, rng)
    keys = [frozenset(s.value for s in group) for group in groups]
    assert len(keys) <= 6
    assert len(set(keys)) == len(keys)
    assert frozenset({1}) not in keys
    # The first one, a vertebra, comes with those of its group; by itself, and nothing in groups.
    assert len(keys[0]) > 1
    alone = replace(choice, together=False, grouped=0.0)
    groups = targets._groups(list(loaded.structures), sizes, NAMES, first, alone, rng)
    assert {len(group) for group in groups} == {1}
    assert len(groups) == 6


@pytest.mark.parametrize("tissue", TISSUES.values(), ids=TISSUES.keys())
def test_ranges_of_a_tissue_rise_and_lie_in_hounsfield_units(tissue):
    ranges = [tissue.plain, tissue.arterial, tissue.venous]
    ranges += [] if tissue.rim is None else [tissue.rim]
    for low, high in ranges:
        assert -1000 <= low < high <= 3000
    assert tissue.arterial[1] >= tissue.plain[1], "contrast agent darkens nothing"
    assert tissue.venous[1] >= tissue.plain[1]
    assert 0 < tissue.texture < 200


def test_every_pattern_leads_to_a_tissue():
    assert {tissue for tissue, _ in _NAMES} <= set(TISSUES)
    assert tissue_of("something unheard of") == "muscle"
    assert tissue_of("Left Kidney") == tissue_of("kidney_left") == "kidney"


@pytest.mark.parametrize(
    ("name", "arm", "scenery"),
    [
        ("humerus_left", True, False),
        ("upper_arm_muscle", True, False),
        ("femur_left", False, False),
        ("body", False, True),
        ("body_trunk", False, False),
        ("intercostal_muscles", False, True),
    ],
)
def test_arms_and_scenery_are_known_by_name(name, arm, scenery):
    assert bool(ARM.search(name)) == arm
    assert bool(SCENERY.search(name)) == scenery


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=20), st.integers(1, 6))
def test_a_running_mean_is_told_at_the_last_step_of_its_window(values, width):
    if width > len(values):
        return
    steps, means = _running_mean(list(range(len(values))), values, width)
    for step, mean in zip(steps, means, strict=True):
        assert mean == pytest.approx(np.mean(values[step - width + 1 : step + 1]), abs=1e-9)
    assert len(steps) == len(values) - width + 1


def test_a_lone_process_is_the_first_averages_nothing_and_agrees_with_itself(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    ranks, device = join("cpu")
    assert (ranks, device) == (Ranks(), "cpu")
    assert ranks.first
    tensor = torch.arange(3.0)
    ranks.average([tensor])
    assert tensor.tolist() == [0, 1, 2]
    assert ranks.agree(True)
    assert not ranks.agree(False)
    leave()


def test_more_processes_than_gpus_are_refused_with_a_remedy(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "99")
    with pytest.raises(TrainingError, match="too few") as told:
        join("cuda")
    assert "torchrun" in told.value.remedy
