"""Two generators of one seed."""

import numpy as np
import pytest
import torch

from napari_fastsam3d.training.random_generator import RandomGenerator


def drawn(random: RandomGenerator):
    return random.numbers.random(5).tolist(), random.normal(4).tolist(), random.uniform(4).tolist()


@pytest.mark.parametrize("seed", [0, 17, (3, 4), (3, 2**40)])
def test_one_seed_draws_one_thing(seed):
    assert drawn(RandomGenerator.seeded(seed)) == drawn(RandomGenerator.seeded(seed))


def test_other_seeds_draw_others():
    seeds = [0, 1, (0, 1), (2, 1)]
    assert len({str(drawn(RandomGenerator.seeded(seed))) for seed in seeds}) == len(seeds)


def test_fields_and_numbers_do_not_disturb_each_other():
    one, other = RandomGenerator.seeded(5), RandomGenerator.seeded(5)
    one.normal(100)
    assert one.numbers.random() == other.numbers.random()
    other.numbers.random(50)
    one, other = RandomGenerator.seeded(6), RandomGenerator.seeded(6)
    other.numbers.random(50)
    assert torch.equal(one.normal(8), other.normal(8))


def test_fields_have_the_moments_that_they_should():
    random = RandomGenerator.seeded(7)
    normal, uniform = random.normal(20, 20, 50), random.uniform(20, 20, 50)
    assert normal.shape == uniform.shape == (20, 20, 50)
    assert normal.dtype == uniform.dtype == torch.float32
    assert abs(normal.mean()) < 0.05
    assert abs(normal.std() - 1) < 0.05
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.02


def test_a_share_of_the_draws_happens():
    random = RandomGenerator.seeded(8)
    assert abs(np.mean([random.happens(0.3) for _ in range(4000)]) - 0.3) < 0.03
    assert all(random.happens(1.0) for _ in range(50))


def test_what_never_happens_draws_nothing():
    one, other = RandomGenerator.seeded(9), RandomGenerator.seeded(9)
    assert not any(one.happens(0) for _ in range(20))
    assert one.numbers.random() == other.numbers.random()


def test_fields_are_drawn_where_they_are_needed():
    assert RandomGenerator.seeded(1).device == torch.device("cpu")
    assert RandomGenerator.seeded(1, torch.device("cpu")).normal(2).device == torch.device("cpu")
