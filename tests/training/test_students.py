"""What a student takes over of its teacher, what is matched, and how errors are measured."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from napari_fastsam3d.errors import TrainingError
from napari_fastsam3d.model.default.image_encoder import PyramidConfig
from napari_fastsam3d.model.default.network import PyramidNetwork
from napari_fastsam3d.model.sam_med3d.image_encoder import ViTConfig
from napari_fastsam3d.model.sam_med3d.mask_decoder import DecoderConfig
from napari_fastsam3d.model.sam_med3d.network import PublishedConfig, PublishedNetwork
from napari_fastsam3d.training.distillation import (
    LEAST_VARIANCE,
    _matched,
    _outputs,
    _relative_error,
)
from napari_fastsam3d.training.students import Match, _deeper, _take_over, student_of

SEEDS = st.integers(0, 2**32 - 1)
few = settings(max_examples=20)


@pytest.fixture(scope="module")
def published():
    torch.manual_seed(0)
    encoder = ViTConfig(
        ("padded", "global") * 2, width=16, heads=4, hidden=32, out_width=16, grid=2, window=3
    )
    return PublishedNetwork(PublishedConfig(encoder, DecoderConfig(16, heads=2, hidden=16)))


@pytest.fixture(scope="module")
def pyramid():
    torch.manual_seed(1)
    sizes = {"widths": (4, 8, 8), "blocks": (1, 1, 2), "width": 16, "depth": 4, "heads": 2}
    decoder = {"decoder_widths": (4, 8, 8), "affinity_heads": (1, 2), "affinity_width": 4}
    return PyramidNetwork(PyramidConfig(**sizes, **decoder))


@few
@given(st.integers(1, 12), st.integers(0, 12))
def test_each_block_stands_for_the_last_of_an_equal_stretch_of_its_teacher_s(count, more):
    of = count + more
    matches = _deeper("blocks", count, of)
    assert [m.student for m in matches] == [f"blocks.{n}" for n in range(count)]
    last = [int(m.teacher.removeprefix("blocks.")) for m in matches]
    assert last[-1] == of - 1, "the last block gives what the last of the teacher gives"
    stretches = np.diff([-1, *last])
    assert stretches.min() >= 1
    assert stretches.max() - stretches.min() <= 1


class Half(nn.Module):
    def __init__(self, blocks: int, pointwise: bool, width: int = 4) -> None:
        super().__init__()
        self.first = nn.Linear(3, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.up = nn.ModuleDict(
            {"conv2": nn.Linear(width, width) if pointwise else _Convolution(width)}
        )
        self.own = nn.Linear(width, 2 + blocks)


class _Convolution(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(width, width, 3)


def test_weights_are_taken_over_by_name_by_match_and_by_the_sum_of_a_kernel():
    torch.manual_seed(0)
    teacher, student = Half(4, pointwise=False), Half(2, pointwise=True)
    own = student.own.weight.clone()
    _take_over(student, teacher, _deeper("blocks", 2, 4))
    assert torch.equal(student.first.weight, teacher.first.weight)
    for here, there in ((0, 1), (1, 3)):
        assert torch.equal(student.blocks[here].weight, teacher.blocks[there].weight)
        assert torch.equal(student.blocks[here].bias, teacher.blocks[there].bias)
    wanted = np.zeros((4, 4))
    kernel = teacher.up["conv2"].conv.weight.detach().double().numpy()
    for i, j, k in np.ndindex(3, 3, 3):
        wanted += kernel[:, :, i, j, k]
    np.testing.assert_allclose(
        student.up["conv2"].weight.detach().numpy(), wanted, rtol=1e-5, atol=1e-6
    )
    assert torch.equal(student.own.weight, own), "another shape is left as it began"
    flat = torch.randn(1, 4)
    image = flat[..., None, None, None].expand(1, 4, 5, 5, 5)
    of_teacher = teacher.up["conv2"].conv(image)[:, :, 0, 0, 0]
    torch.testing.assert_close(student.up["conv2"](flat), of_teacher, rtol=1e-4, atol=1e-5)


def test_taking_over_leaves_the_teacher_as_it_was():
    teacher, student = Half(2, pointwise=False), Half(2, pointwise=False)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    _take_over(student, teacher, _deeper("blocks", 2, 2))
    with torch.no_grad():
        student.first.weight.zero_()
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, before[name])


def test_all_that_decoders_read_is_matched_in_the_order_of_an_image(pyramid):
    student = student_of(pyramid, {"depth": 2})
    names = [match.student for match in student.matches]
    assert names == [
        *("down_middle", "down_coarse", "transformer.0", "transformer.1"),
        *("neck", "up_coarse", "up_middle", "up_fine"),
    ]
    order: list[str] = []
    made = student.make()
    for name in names:
        made.get_submodule(name).register_forward_hook(lambda *_, n=name: order.append(n))
    with torch.no_grad():
        made(torch.randn(1, 1, 32, 32, 32))
    assert order == names


def test_a_student_of_the_teacher_s_sizes_gives_what_the_teacher_gives(pyramid):
    same = student_of(pyramid, {}).make()
    crop = torch.randn(1, 1, 32, 32, 32)
    with torch.no_grad():
        one, other = same(crop), pyramid.encoder(crop)
    torch.testing.assert_close(one.embedding, other.embedding, rtol=0, atol=0)
    torch.testing.assert_close(one.fine, other.fine, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ({"depth": "five"}, "depth can't be 'five'"),
        ({"heads": 3}, "no multiple of heads"),
        ({"widths": [4, 8]}, "widths can't be"),
        ({"deep": 5}, "no deep"),
    ],
)
def test_sizes_that_no_encoder_has_are_told(pyramid, sizes, told):
    with pytest.raises(TrainingError, match=told):
        student_of(pyramid, sizes)


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ({"mixing": ["nothing"]}, "mixing can't be"),
        ({"mixing": "none"}, "mixing can't be"),
        ({"heads": 3}, "no multiple of 3 heads"),
        ({"heads": 0}, "0 heads"),
        ({"groups": 1.5}, "groups can't be"),
        ({"deep": 5}, "no deep"),
    ],
)
def test_sizes_that_no_published_encoder_has_are_told(published, sizes, told):
    with pytest.raises(TrainingError, match=told):
        student_of(published, sizes)


def test_nothing_is_known_of_other_networks():
    with pytest.raises(TypeError, match="Linear"):
        student_of(nn.Linear(1, 1), {})


def test_a_published_student_has_half_the_heads_and_the_teacher_s_widths(published):
    student = student_of(published, {"mixing": ["none", "global"]})
    taught = published.config.encoder
    assert student.config == replace(
        taught, mixing=("none", "global"), residual="normalised", heads=2, window=14
    )
    assert [m.teacher for m in student.matches] == ["patch_embed", "blocks.1", "blocks.3", "neck"]


def test_samples_are_normalised_as_inference_does(published):
    """Samples come as asinh of contrast; published models want them standardised by tissue."""
    student = student_of(published, {"mixing": ["none"]})
    crops = torch.randn(3, 1, 8, 8, 8, generator=torch.Generator().manual_seed(0)) * 3
    got = student.normalise(torch.asinh(crops))
    for one, crop in zip(got, crops, strict=True):
        voxels = crop[0].double().numpy()
        tissue = voxels[voxels > voxels.mean()]
        wanted = (voxels - tissue.mean()) / tissue.std(ddof=1)
        np.testing.assert_allclose(one[0].numpy(), wanted, rtol=1e-4, atol=1e-4)


def test_a_flat_sample_is_finite(published):
    student = student_of(published, {"mixing": ["none"]})
    halves = torch.zeros(1, 1, 4, 4, 4)
    halves[..., 2:] = 1
    assert torch.isfinite(student.normalise(halves)).all()


@few
@given(SEEDS)
def test_an_error_is_relative_to_the_variance_of_each_channel(seed):
    rng = np.random.default_rng(seed)
    wanted = rng.normal(size=(2, 3, 4, 5)) * 10.0 ** rng.integers(-2, 3, 5)
    given_ = wanted + rng.normal(size=wanted.shape)
    flat, other = wanted.reshape(-1, 5), given_.reshape(-1, 5)
    variances = [flat[:, c].var(ddof=1) for c in range(5)]
    floor = LEAST_VARIANCE * np.mean(variances)
    errors = [np.mean((other[:, c] - flat[:, c]) ** 2) / (variances[c] + floor) for c in range(5)]
    got = _relative_error(torch.from_numpy(given_), torch.from_numpy(wanted))
    assert float(got) == pytest.approx(float(np.mean(errors)), rel=1e-3)


def test_a_perfect_student_has_no_error_even_where_the_teacher_says_nothing():
    flat = torch.ones(1, 2, 3, 4)
    assert float(_relative_error(flat, flat)) == 0


def test_patterns_name_layers_in_the_order_of_the_matches():
    matches = tuple(Match(f"t{n}", name) for n, name in enumerate(("down", "up_a", "up_b", "neck")))
    assert _matched(("neck", "up_*"), matches) == matches[1:]
    assert _matched(("*",), matches) == matches
    with pytest.raises(TrainingError, match="no layer side, other") as told:
        _matched(("up_*", "side", "other"), matches)
    assert "down, up_a, up_b, neck" in str(told.value)


def test_outputs_are_those_of_the_layers_and_hooks_do_not_stay():
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    images = torch.randn(5, 3)
    found = _outputs(network, images, ["0", "1"])
    torch.testing.assert_close(found["1"], network[0](images).relu())
    assert list(found) == ["0", "1"]
    with pytest.raises(RuntimeError):
        _outputs(network, torch.randn(5, 7), ["2"])
    assert not any(layer._forward_hooks for layer in network)
