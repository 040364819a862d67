from dataclasses import replace
from math import ceil, prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from napari_fastsam3d.model.default import region as module
from napari_fastsam3d.model.default.network import grown
from napari_fastsam3d.model.default.prompts import Prompts
from napari_fastsam3d.model.default.region import MARGIN, MOST, STEP, UNLIKELY, Region

SIZE = 32
NO_BOX = torch.full((1, 2, 3), torch.nan)
cells = st.tuples(*[st.integers(0, SIZE - 1)] * 3)
relaxed = settings(deadline=None)


def prompts(points=(), box=NO_BOX, size=SIZE) -> Prompts:
    """Clicks at crop indices, all positive but the last, behind a place that is not used."""
    at = torch.tensor([[0.0, 0, 0], *points]).view(1, -1, 3)
    labels = torch.ones(1, at.shape[1], dtype=torch.long)
    labels[0, -1] = 0
    labels[0, 0] = -1
    return Prompts(at, labels, box, torch.zeros(1, 1, size, size, size))


def logits(likely) -> torch.Tensor:
    low = torch.full((1, 1, SIZE, SIZE, SIZE), UNLIKELY - 1)
    for cell in likely:
        low[(0, 0, *cell)] = UNLIKELY + 0.1
    return low


@relaxed
@given(st.lists(cells, max_size=4), st.lists(cells, max_size=3))
def test_a_region_holds_what_is_likely_and_all_clicks(likely, clicked):
    asked = prompts([[4.0 * n + 1 for n in cell] for cell in clicked])
    region = Region.of_mask(logits(likely), asked)
    held = torch.tensor([*likely, *clicked]).view(-1, 3)
    if not len(held):
        assert region is None
        return
    lows = (held.amin(0) - MARGIN).clamp(min=0)
    highs = (held.amax(0) + 1 + MARGIN).clamp(max=SIZE)
    lengths = [STEP * ceil(n / STEP) for n in (highs - lows).tolist()]
    if region is None:
        assert prod(lengths) > MOST * SIZE**3
        return
    assert list(region.shape) == lengths
    assert prod(lengths) <= MOST * SIZE**3
    for cut, low, high in zip(region.slices(), lows, highs, strict=True):
        assert 0 <= cut.start <= low
        assert high <= cut.stop <= SIZE
    assert [cut.start for cut in region.slices(2)] == [2 * n for n in region.start]


@pytest.mark.parametrize("boxed", [False, True])
def test_a_mask_drawn_in_its_region_is_the_mask_drawn_everywhere(
    tiny_predictor, monkeypatch, boxed
):
    network = tiny_predictor.network
    if boxed:
        network = grown(network, replace(network.config, box_decoder=True)).eval()
        torch.nn.init.normal_(network.box_decoder.box_cues.fine[2].weight, std=0.5)
    decoder = network.decoder_of(boxed)
    box = torch.tensor([[[70.0, 50, 60], [100, 95, 85]]]) if boxed else NO_BOX
    asked = prompts([[80.0, 60, 70], [88, 90, 64]], box)
    image = torch.randn(1, 1, 128, 128, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        pyramid = network.encoder(image)
        whole = decoder(pyramid, asked)
        monkeypatch.setattr(module, "UNLIKELY", float(whole.low_res_logits.max()))
        region = Region.of_mask(whole.low_res_logits, asked)
        local = decoder(pyramid, asked, local=True)
    assert region is not None
    assert region.shape == (8, 12, 8)
    assert torch.equal(local.low_res_logits, whole.low_res_logits)
    assert torch.equal(local.predicted_iou, whole.predicted_iou)
    elsewhere = F.interpolate(local.low_res_logits, scale_factor=2, mode="trilinear")
    here = (..., *region.slices(2))
    # The outermost cells lack neighbours for the convolution; there is nothing likely there.
    inner = (..., *(slice(cut.start + 1, cut.stop - 1) for cut in region.slices(2)))
    torch.testing.assert_close(
        local.mask_logits[inner], whole.mask_logits[inner], atol=1e-4, rtol=1e-4
    )
    assert not torch.allclose(local.mask_logits[inner], elsewhere[inner], atol=1e-3)
    outside = torch.ones_like(local.mask_logits, dtype=torch.bool)
    outside[here] = False
    assert torch.equal(local.mask_logits[outside], elsewhere[outside])


@relaxed
@given(st.data())
def test_what_is_cut_is_counted_from_the_first_cell(data):
    size, width = 8, 3
    shape = tuple(data.draw(st.integers(1, size)) for _ in range(3))
    start = tuple(data.draw(st.integers(0, size - n)) for n in shape)
    region = Region(start, shape)
    torch.manual_seed(sum(start))
    whole = torch.randn(1, 2 * size, 2 * size, 2 * size, width)
    cut = region.of_features(whole, 2)
    assert cut.is_contiguous()
    for cell in ((0, 0, 0), tuple(2 * n - 1 for n in shape)):
        there = tuple(2 * a + n for a, n in zip(start, cell, strict=True))
        assert torch.equal(cut[(0, *cell)], whole[(0, *there)])

    point = torch.tensor([[[9.0, 5.5, 20.0]]])
    box = torch.tensor([[[1.0, 2, 3], [20, 21, 22]]])
    previous = torch.randn(1, 1, size, size, size)
    own = region.prompts(Prompts(point, torch.ones(1, 1).long(), box, previous))
    origin = 4 * torch.tensor(start)
    assert torch.equal(own.points + origin, point)
    assert torch.equal(own.box + origin, box)
    assert torch.equal(own.previous, previous[(..., *region.slices())])
    assert own.previous.shape[2:] == shape


def test_a_part_of_a_pyramid_has_the_keys_of_its_cells(tiny_predictor):
    image = torch.randn(1, 1, 64, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole = tiny_predictor.network.encoder(image)
    region = Region((4, 0, 8), (4, 8, 8))
    near = region.near(whole).pyramid
    for keys, grid, part, finer in (
        (whole.fine_keys, whole.fine_intensity, near.fine_keys, 2),
        (whole.middle_keys, whole.middle_intensity, near.middle_keys, 1),
    ):
        heads = keys.unflatten(3, grid.shape[1:])[(..., *region.slices(finer))]
        assert torch.equal(part, heads.flatten(3))
    assert torch.equal(near.fine_intensity, whole.fine_intensity[(..., *region.slices(2))])
    assert torch.equal(near.middle, whole.middle[(slice(None), *region.slices())])
    assert torch.equal(near.embedding, whole.embedding)
