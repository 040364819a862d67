import torch

from napari_fastsam3d.model.default.likelihood_ratio import LikelihoodRatio


def test_an_intensity_met_only_within_is_likely_and_one_met_only_around_is_not():
    within = torch.zeros(1, 16, 16, 16, dtype=torch.bool)
    within[0, 4:8, 4:10, 4:12] = True
    intensity = torch.where(within, 0.0, 2.0)
    intensity[0, 4, 4, 4] = 2.0
    ratio = LikelihoodRatio.of(intensity, within.float(), (~within).float())
    first, second = ratio.maps(intensity)[0]
    assert first[5, 5, 5] > 0.9
    assert second[5, 5, 5] > 0.9
    assert first[0, 0, 0] < -0.5
    assert second[4, 4, 4] < -0.6
    never_met = ratio.maps(torch.full((1, 8, 8, 8), -3.0))
    assert never_met.shape == (1, 2, 8, 8, 8)
    assert (never_met == 0).all()


def test_the_second_table_forgets_what_was_within_by_mistake():
    """Half of a box is what also lies around it: the first table doubts it, the second more."""
    within = torch.zeros(1, 8, 8, 8)
    within[0, 2:6, 2:6, 2:6] = 1
    intensity = torch.full((1, 8, 8, 8), 2.0)
    intensity[0, 2:4, 2:6, 2:6] = 0.0
    first, second = LikelihoodRatio.of(intensity, within, 1 - within).maps(intensity)[0]
    assert first[2, 3, 3] > 0.9
    assert second[5, 3, 3] < first[5, 3, 3] < 0


def test_samples_of_a_batch_keep_their_own_tables():
    intensity = torch.randn(2, 8, 8, 8, generator=torch.Generator().manual_seed(0))
    within = torch.rand(2, 8, 8, 8, generator=torch.Generator().manual_seed(1))
    together = LikelihoodRatio.of(intensity, within, 1 - within).maps(intensity)
    for number in (0, 1):
        here = slice(number, number + 1)
        alone = LikelihoodRatio.of(intensity[here], within[here], 1 - within[here])
        torch.testing.assert_close(together[here], alone.maps(intensity[here]))
