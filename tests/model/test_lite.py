"""The lite model: an image encoder of its own beside the decoders of the default model."""

import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from napari_fastsam3d import cli
from napari_fastsam3d.cli import compute
from napari_fastsam3d.errors import CheckpointError
from napari_fastsam3d.model import bundled, load_model, registry
from napari_fastsam3d.model.checkpoint import export_encoder, export_pyramid, read_encoder
from napari_fastsam3d.model.default.image_encoder import PyramidConfig, PyramidEncoder
from napari_fastsam3d.model.default.network import PyramidNetwork, with_encoder
from napari_fastsam3d.model.layers.convolution import SeparableBlock

ROOT = Path(__file__).parents[2]
SIZES = {
    "widths": (4, 8, 8),
    "blocks": (1, 1, 1),
    "width": 16,
    "heads": 2,
    "decoder_widths": (4, 8, 8),
    "affinity_heads": (1, 2),
    "affinity_width": 4,
}
LITE = PyramidConfig(**SIZES, depth=1, separable=True, up_blocks=(1, 2, 1))


@pytest.fixture
def default_network():
    torch.manual_seed(0)
    return PyramidNetwork(PyramidConfig(**SIZES, depth=2)).requires_grad_(False)


@pytest.fixture
def package(tmp_path, monkeypatch, default_network):
    """Put a small default model and its lite one where the package has its weights."""
    folder, run = tmp_path / "src/napari_fastsam3d/model/default/weights", tmp_path / "run"
    for each in (folder, run):
        each.mkdir(parents=True)
    export_pyramid(default_network, folder / "default.safetensors")
    lite = with_encoder(default_network, PyramidEncoder(LITE).requires_grad_(False), LITE)
    export_encoder(lite, default_network.encoder, run / "encoder.safetensors")
    shutil.copy(ROOT / "Makefile", tmp_path)
    monkeypatch.setattr(bundled, "_WEIGHTS", folder)
    return lite, tmp_path


def ship(folder):
    command = ["make", "lite", "RUN=run", "PYTHON=python"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def test_one_command_takes_a_distilled_encoder_into_the_package(package):
    lite, folder = package
    assert not bundled.is_bundled("lite")
    ship(folder)
    assert bundled.is_bundled("lite")
    predictor = load_model("lite", device="cpu", dtype="float32")
    assert (predictor.name, predictor.network.config) == ("lite", LITE)
    assert predictor.fingerprint != load_model("default", device="cpu").fingerprint
    image = torch.randn(1, 1, 32, 32, 32)
    for key, value in predictor.network.state_dict().items():
        assert torch.equal(value, lite.state_dict()[key].half().float()), key
    assert predictor.encode(image).fine.shape == (1, 16, 16, 16, 4)


def test_a_lite_encoder_of_other_weights_is_refused(package, tmp_path):
    _, folder = package
    other = PyramidNetwork(PyramidConfig(**SIZES, depth=2))
    with pytest.raises(CheckpointError, match="distilled from other weights"):
        read_encoder(folder / "run" / "encoder.safetensors", other)
    export_pyramid(other, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="does not hold an image encoder"):
        read_encoder(tmp_path / "other.safetensors", other)


@pytest.mark.parametrize(
    ("precision", "shipped", "told"),
    [(torch.float32, True, 1), (torch.bfloat16, True, 0), (torch.float32, False, 0)],
)
def test_lite_is_offered_where_it_is_faster_and_there(
    package, monkeypatch, capsys, precision, shipped, told
):
    if shipped:
        ship(package[1])
    monkeypatch.setattr(registry, "choose_precision", lambda name, device: precision)
    assert len(compute.faster_model()) == told
    assert cli.run(["models", "list"]) == 0
    assert ("half of the time" in " ".join(capsys.readouterr().out.split())) is bool(told)


def test_what_is_shipped_is_small_and_whole():
    if not bundled.is_bundled("lite"):
        pytest.skip("the lite model is not in this package yet")
    path = ROOT / "src/napari_fastsam3d/model/default/weights/lite.safetensors"
    assert path.stat().st_size < 12e6
    assert load_model("lite", device="cpu").name == "lite"


def test_a_separable_block_begins_as_the_identity_and_learns():
    torch.manual_seed(0)
    block = SeparableBlock(8)
    x = torch.randn(1, 5, 6, 7, 8, requires_grad=True)
    assert torch.equal(block(x), x + block.mlp[2].bias)
    torch.nn.init.normal_(block.mlp[2].weight)
    with torch.autocast("cpu", torch.bfloat16):
        block(x).square().sum().backward()
    assert block.conv.weight.grad.abs().max() > 0
    with torch.inference_mode():
        moved = x.clone()
        moved[0, 0, 0, 0] += 1
        changed = (block(moved) != block(x))[0].any(-1)
    assert changed[:2, :2, :2].all(), "one voxel reaches its neighbours"
    assert changed.sum() == 8, "and no farther"
