"""Sizes read off weights, and numbers that servers and files of others may have any way."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fastsam3d.errors import CheckpointError
from napari_fastsam3d.model.download import Offer, _offer
from napari_fastsam3d.model.sam_med3d.checkpoint import assemble, read_architecture
from napari_fastsam3d.model.sam_med3d.checkpoint_file import PublishedFile, read_published
from napari_fastsam3d.model.sam_med3d.checkpoint_keys import published_tensors
from napari_fastsam3d.model.sam_med3d.image_encoder import ViTConfig
from napari_fastsam3d.model.sam_med3d.mask_decoder import DecoderConfig
from napari_fastsam3d.model.sam_med3d.network import PublishedConfig, PublishedNetwork

some = st.integers(1, 3)


@st.composite
def configs(draw) -> PublishedConfig:
    """Published networks of any size, as far as keys and shapes can tell one from another."""
    student = draw(st.booleans())
    kinds = ("none", "global") if student else ("padded", "global")
    mixing = (kinds[0], *draw(st.lists(st.sampled_from(kinds), max_size=3)), "global")
    grid, heads, head = draw(st.sampled_from([2, 4, 8])), draw(some), 4 * draw(some)
    encoder = ViTConfig(
        mixing,
        residual="normalised" if student else "standard",
        width=heads * head,
        heads=heads,
        hidden=8 * draw(some),
        out_width=48,
        grid=grid,
        patch=draw(st.sampled_from([2, 4])),
        window=14 if student else grid + draw(some),
    )
    decoder = DecoderConfig(
        48, depth=draw(some), hidden=8 * draw(some), masks=1 + draw(some), iou_hidden=8 * draw(some)
    )
    return PublishedConfig(encoder, decoder)


@settings(max_examples=12, deadline=None)
@given(configs())
def test_every_size_is_read_off_keys_and_shapes(config):
    with torch.device("meta"):
        tensors = published_tensors(PublishedNetwork(config))
    name, found = read_architecture(tensors)
    assert name == ("fastsam3d" if "none" in config.encoder.mixing else "sam-med3d")
    assert found == config


@pytest.mark.parametrize("number", ["1000", "99999999999", "9" * 5000, "-1", "x", ""])
def test_a_block_of_no_number_is_unknown_and_costs_nothing(student_file, number):
    """A file that speaks of a thousand million blocks is not believed."""
    file = read_published(student_file)
    key = f"image_encoder.blocks.{number}.norm2.weight"
    spoilt = PublishedFile(file.path, file.sha256, {**file.tensors, key: torch.ones(3)})
    with pytest.raises(CheckpointError, match="is unknown") as told:
        assemble([spoilt])
    assert key in told.value.problem
    assert "missing" not in told.value.problem


@pytest.mark.parametrize(
    ("length", "size"),
    [
        ("1234", 1234),
        ("0", 0),
        (None, None),
        ("", None),
        ("many", None),
        ("-5", None),
        ("1.5", None),
        ("12, 12", None),
        ("9" * 5000, None),
    ],
)
@pytest.mark.parametrize(
    ("tags", "tag"),
    [
        ({"ETag": '"one"', "Last-Modified": "today"}, '"one"'),
        ({"ETag": 'W/"one"', "Last-Modified": "today"}, "today"),
        ({"Last-Modified": "today"}, "today"),
        ({"ETag": 'W/"one"'}, None),
        ({}, None),
    ],
)
def test_what_a_server_says_of_a_file_may_be_anything(length, size, tags, tag):
    headers = dict(tags) if length is None else {**tags, "Content-Length": length}
    assert _offer(SimpleNamespace(headers=headers)) == Offer(size, tag)
