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
