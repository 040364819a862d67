import pytest
import torch
from torch import nn

from napari_fastsam3d.model.layers.convolution import Convolution, convolve


@pytest.mark.parametrize(
    ("batch", "width", "shape"), [(1, 16, (9, 8, 7)), (1, 32, (16, 16, 16)), (2, 8, (4, 5, 6))]
)
def test_a_convolution_is_what_it_is_in_double_precision(batch, width, shape):
    torch.manual_seed(0)
    conv = nn.Conv3d(width, 12, 3, padding=1)
    image = torch.randn(batch, width, *shape)
    with torch.inference_mode():
        got = convolve(conv, image)
        wanted = nn.functional.conv3d(
            image.double(), conv.weight.double(), conv.bias.double(), padding=1
        )
    assert got.dtype == torch.float32
    assert torch.allclose(got.double(), wanted, atol=1e-5)


def test_no_sample_of_inference_takes_the_slow_path():
    layer = Convolution(16)
    image = torch.randn(1, 12, 12, 12, 16)
    with torch.inference_mode(), torch.profiler.profile() as profile:
        layer(image)
    called = {event.name for event in profile.events()}
    assert "aten::slow_conv3d_forward" not in called
    assert "aten::mkldnn_convolution" in called


def test_gradients_and_mixed_precision_are_torch_s_own():
    layer = Convolution(8)
    image = torch.randn(1, 6, 6, 6, 8, requires_grad=True)
    layer(image).square().sum().backward()
    assert layer.conv.weight.grad is not None
    assert image.grad.abs().max() > 0
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert layer(image.detach()).dtype == torch.bfloat16
