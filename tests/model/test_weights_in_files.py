"""Weights of the default model in files, what is told beside them, and what is wrong with them."""

import hashlib
import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from napari_fastsam3d.errors import CheckpointError
from napari_fastsam3d.model.checkpoint import (
    export_pyramid,
    fingerprint,
    is_pyramid,
    load_strictly,
    misfits,
    read_pyramid,
    read_tensors,
    save_pyramid,
    verify,
)
from napari_fastsam3d.model.default.image_encoder import PyramidConfig
from napari_fastsam3d.model.default.network import PyramidNetwork, grown

TINY = PyramidConfig(
    widths=(2, 2, 4),
    blocks=(1, 1, 1),
    width=8,
    depth=1,
    heads=2,
    decoder_widths=(2, 2, 4),
    affinity_heads=(1, 1),
    affinity_width=2,
)
CONFIGS = [
    TINY,
    replace(TINY, candidates=2),
    replace(TINY, box_decoder=True),
    replace(TINY, coarse_candidates=3, first_candidates=1),
    replace(TINY, blocks=(1, 2, 1), depth=2, heads=4),
]
GARBAGE = [b"", b"x", b"\x08" + bytes(7) + b"{}", b"\xff" * 64, b"PK\x03\x04", b'{"a": 1}']


def network(config=TINY, seed=0):
    torch.manual_seed(seed)
    return PyramidNetwork(config)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_pyramid(network(), path)
    return path


@pytest.mark.parametrize("config", CONFIGS)
def test_a_network_comes_back_with_its_sizes_and_weights(tmp_path, config):
    path = tmp_path / "w.safetensors"
    before = network(config)
    sha256 = save_pyramid(before, path)
    after = read_pyramid(path)
    assert after.config == config
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest() == fingerprint(path)
    assert is_pyramid(path)
    for key, value in before.state_dict().items():
        assert torch.equal(after.state_dict()[key], value.half().to(value.dtype)), key


@pytest.mark.parametrize("content", GARBAGE)
def test_what_is_no_file_of_weights_is_refused_in_words(tmp_path, content):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    assert not is_pyramid(path)
    for read in (read_tensors, read_pyramid):
        with pytest.raises(CheckpointError, match="cannot be read"):
            read(path)


def test_a_file_that_is_absent_is_refused_in_words(tmp_path):
    assert not is_pyramid(tmp_path / "none")
    with pytest.raises(CheckpointError, match="none"):
        read_tensors(tmp_path / "none")


@settings(max_examples=20)
@given(st.floats(0, 1))
def test_a_file_cut_anywhere_is_refused(written, tmp_path_factory, part):
    content = written.read_bytes()
    path = tmp_path_factory.mktemp("cut") / "w.safetensors"
    path.write_bytes(content[: int(part * (len(content) - 1))])
    with pytest.raises(CheckpointError, match="cannot be read"):
        read_pyramid(path)


@pytest.mark.parametrize(
    "config",
    [
        None,
        "",
        "{",
        "[]",
        "3",
        "null",
        '{"depths": 3}',
        '{"width": "wide"}',
        '{"widths": 3}',
        '{"widths": [1, 2]}',
    ],
)
def test_sizes_that_cannot_be_read_are_told_in_words(tmp_path, written, config):
    tensors, metadata = read_tensors(written)
    metadata = {**metadata, "config": config} if config is not None else {"architecture": "pyramid"}
    save_file(tensors, tmp_path / "w.safetensors", metadata)
    with pytest.raises(CheckpointError):
        read_pyramid(tmp_path / "w.safetensors")


@pytest.mark.parametrize("metadata", [{}, {"architecture": "sam-med3d"}])
def test_weights_of_another_kind_are_refused(tmp_path, written, metadata):
    path = tmp_path / "w.safetensors"
    save_file(read_tensors(written)[0], path, metadata)
    assert not is_pyramid(path)
    with pytest.raises(CheckpointError, match="this architecture"):
        read_pyramid(path)


def test_a_file_is_verified_by_its_hash(written):
    sha256 = fingerprint(written)
    assert verify(written, sha256) == sha256
    with pytest.raises(CheckpointError, match="damaged") as told:
        verify(written, "0" * 64, "Fetch it again.")
    assert told.value.remedy == "Fetch it again."
    assert sha256[:12] in str(told.value)


shapes = st.dictionaries(st.sampled_from("abcd"), st.sampled_from([(1,), (2,), (1, 2)]))


@given(shapes, shapes)
def test_every_fault_of_keys_and_shapes_is_named_once(wanted, given_):
    faults = misfits(*({k: torch.zeros(s) for k, s in each.items()} for each in (wanted, given_)))
    expected = {key for key in wanted.keys() | given_.keys() if wanted.get(key) != given_.get(key)}
    assert {fault.split()[0] for fault in faults} == expected
    assert len(faults) == len(expected)
    for fault in faults:
        key = fault.split()[0]
        kind = "missing" if key not in given_ else "unknown" if key not in wanted else "should be"
        assert kind in fault


def test_weights_are_brought_to_the_precision_of_the_network():
    layer = nn.Linear(2, 1)
    load_strictly(layer, {"weight": torch.ones(1, 2).half(), "bias": torch.tensor([0.5]).double()})
    assert layer.weight.dtype == layer.bias.dtype == torch.float32
    assert layer(torch.ones(1, 2)).item() == 2.5
    before = layer.weight.clone()
    with pytest.raises(CheckpointError, match="bias is missing"):
        load_strictly(layer, {"weight": torch.zeros(1, 2)})
    assert torch.equal(layer.weight, before), "all or nothing"


def test_exported_weights_have_their_hash_beside_and_nothing_half_written(tmp_path):
    path = tmp_path / "default.safetensors"
    export_pyramid(network(seed=1), path)
    export_pyramid(network(seed=2), path)
    told, name = path.with_suffix(".sha256").read_text().split()
    assert told == fingerprint(path)
    assert name == "default.safetensors"
    assert path.stat().st_mode & 0o777 == 0o644
    assert {each.name for each in tmp_path.iterdir()} == {path.name, "default.sha256"}


def test_metadata_can_be_read_by_others(written):
    with safe_open(written, framework="np") as file:
        metadata = file.metadata()
        assert metadata["architecture"] == "pyramid"
        assert json.loads(metadata["config"]) == json.loads(json.dumps(asdict(TINY)))
        assert all(file.get_tensor(name).dtype == np.float16 for name in file.keys())  # noqa: SIM118


@pytest.mark.parametrize("config", CONFIGS[1:4])
def test_a_grown_network_has_the_weights_of_the_smaller_one(config):
    small = network()
    large = grown(small, config)
    for key, value in small.state_dict().items():
        assert torch.equal(large.state_dict()[key], value)
    assert len(large.state_dict()) > len(small.state_dict())
    with pytest.raises(ValueError, match="grows by"):
        grown(small, replace(config, width=16))


def test_every_prompt_has_its_decoder():
    plain = network()
    assert plain.decoders == (plain.decoder,)
    for boxed in (True, False):
        assert plain.decoder_of(boxed, True) is plain.decoder
    sizes = {"box_decoder": True, "coarse_candidates": 1, "first_candidates": 1}
    full = network(replace(TINY, **sizes))
    assert full.decoders == (
        *(full.decoder, full.box_decoder, full.coarse_decoder, full.first_decoder),
    )
    assert full.decoder_of(True, True) is full.decoder_of(True) is full.box_decoder
    assert full.decoder_of(False, True) is full.coarse_decoder
    assert full.decoder_of(False) is full.decoder
    assert full.decoder_of(False, first=True) is full.first_decoder
    assert full.decoder_of(True, first=True) is full.box_decoder
    assert full.decoder_of(False, coarse=True, first=True) is full.coarse_decoder
