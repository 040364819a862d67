"""Checkpoint files: read without executing them, fitted strictly, told apart by what they hold."""

import os
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from napari_fastsam3d.errors import CheckpointError
from napari_fastsam3d.model import load_model
from napari_fastsam3d.model.sam_med3d.checkpoint import assemble, build_network, read_architecture
from napari_fastsam3d.model.sam_med3d.checkpoint_file import read_published
from napari_fastsam3d.model.sam_med3d.checkpoint_keys import published_tensors
from napari_fastsam3d.model.sam_med3d.network import ARCHITECTURES, PublishedNetwork

Make = Callable[..., PublishedNetwork]
Write = Callable[..., Path]


@pytest.fixture
def weights(small_network: Make) -> dict[str, Tensor]:
    return published_tensors(small_network())


class Command:
    """What a hostile pickle holds: to rebuild it is to run it."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


class Evaluated(Command):
    def __reduce__(self) -> tuple[Any, ...]:
        return eval, (f"open({str(self.marker)!r}, 'w')",)


class Imported(Command):
    """Goes through a function of torch's own that unpickles freely."""

    def __reduce__(self) -> tuple[Any, ...]:
        return torch.load, (str(self.marker),)


@pytest.mark.parametrize("attack", [Command, Evaluated, Imported])
@pytest.mark.parametrize("place", ["args", "weight", "top", "state"])
@pytest.mark.parametrize("legacy", [False, True])
def test_nothing_in_a_hostile_file_runs(tmp_path: Path, weights, attack, place, legacy):
    marker = tmp_path / "marker"
    bad = attack(marker)
    state: Any = dict(weights)
    content: Any = {"model_state_dict": state}
    if place == "args":
        content["args"] = bad
    elif place == "weight":
        state["image_encoder.pos_embed"] = bad
    elif place == "state":
        content["model_state_dict"] = bad
    else:
        content = bad
    path = tmp_path / "hostile.pth"
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)

    with pytest.raises(CheckpointError, match=r"hostile\.pth was not loaded.*run code"):
        load_model(path, device="cpu")

    assert not marker.exists()


def test_a_plain_hostile_pickle_does_not_run(tmp_path: Path):
    marker = tmp_path / "marker"
    path = tmp_path / "plain.pth"
    path.write_bytes(pickle.dumps(Command(marker)))

    with pytest.raises(CheckpointError):
        load_model(path, device="cpu")

    assert not marker.exists()


def test_the_allow_list_is_not_left_behind(student_file: Path):
    before = set(torch.serialization.get_safe_globals())

    read_published(student_file)

    assert set(torch.serialization.get_safe_globals()) == before


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"hello", b"\x80\x02.", b"\x1f\x8b" * 40, b"\x95" * 60]
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "broken.pth"
    path.write_bytes(content)

    with pytest.raises(CheckpointError, match="broken") as told:
        load_model(path, device="cpu")
    assert "weights_only" not in str(told.value), "torch's advice to load it unsafely is not ours"


def test_a_truncated_file_is_refused(tmp_path: Path, student_file: Path):
    path = tmp_path / "half.pth"
    content = student_file.read_bytes()
    path.write_bytes(content[: len(content) // 2])

    with pytest.raises(CheckpointError, match="half"):
        load_model(path, device="cpu")


def test_a_damaged_archive_is_refused(tmp_path: Path, student_file: Path):
    path = tmp_path / "odd.pth"
    with zipfile.ZipFile(student_file) as whole, zipfile.ZipFile(path, "w") as odd:
        for name in whole.namelist():
            if not name.endswith("/data/3"):
                odd.writestr(name, whole.read(name))

    with pytest.raises(CheckpointError, match="odd"):
        load_model(path, device="cpu")


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {}, {"model_state_dict": {"a": 1}}])
def test_a_file_without_weights_is_refused(tmp_path: Path, content: Any):
    path = tmp_path / "empty.pth"
    torch.save(content, path)

    with pytest.raises(CheckpointError, match=r"empty\.pth holds"):
        read_published(path)


def test_no_such_file(tmp_path: Path):
    with pytest.raises(CheckpointError, match="no file"):
        read_published(tmp_path / "nowhere.pth")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: {"model_state_dict": weights},
        lambda weights: {"state_dict": weights},
        lambda weights: weights,
        lambda weights: {"model_state_dict": {f"module.{k}": v for k, v in weights.items()}},
    ],
    ids=["nested", "renamed", "bare", "parallel"],
)
@pytest.mark.parametrize("legacy", [False, True])
def test_shapes_of_file(tmp_path: Path, weights, wrap, legacy):
    path = tmp_path / "model.pth"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(wrap(weights), path, _use_new_zipfile_serialization=not legacy)

    file = read_published(path)

    assert file.parts == ("image_encoder", "prompt_encoder", "mask_decoder")
    assert set(file.tensors) == set(weights)


def test_a_safetensors_file_is_read_too(tmp_path: Path, weights):
    path = tmp_path / "model.safetensors"
    save_file({key: value.contiguous() for key, value in weights.items()}, path)

    assert set(read_published(path).tensors) == set(weights)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_an_encoder_alone_takes_the_rest_from_another_file(
    tmp_path: Path, weights, teacher_file: Path, authors_file: Write, prefix: str
):
    stem = "image_encoder."
    alone = {prefix + k[len(stem) :]: v for k, v in weights.items() if k.startswith(stem)}
    path = authors_file(tmp_path / "alone.pth", alone)

    model = assemble([read_published(path), read_published(teacher_file)])

    assert model.architecture == "fastsam3d"
    told = [str(origin) for origin in model.provenance]
    assert told[0].startswith("image encoder from alone.pth (SHA-256 ")
    assert told[1].startswith("prompt encoder from teacher.pth")
    assert told[2].startswith("mask decoder from teacher.pth")
    teacher = read_published(teacher_file)
    token = "mask_decoder.iou_token.weight"
    assert torch.equal(model.tensors[token], teacher.tensors[token])
    position = "image_encoder.pos_embed"
    assert torch.equal(model.tensors[position], weights[position])


def test_a_part_that_is_in_no_file_is_named(tmp_path: Path, weights, authors_file: Write):
    some = {k: v for k, v in weights.items() if not k.startswith("mask_decoder")}
    path = authors_file(tmp_path / "some.pth", some)

    with pytest.raises(CheckpointError, match=r"some\.pth holds no mask decoder.*--rest"):
        assemble([read_published(path)])


def test_every_fault_is_named(tmp_path: Path, weights, authors_file: Write):
    del weights["image_encoder.blocks.1.attn.qkv.bias"]
    del weights["mask_decoder.iou_token.weight"]
    weights["image_encoder.blocks.1.surplus"] = torch.zeros(1)
    weights["logit_scale"] = torch.zeros(1)
    weights["prompt_encoder.mask_downscaling.0.weight"] = torch.zeros(4, 1, 2, 2)
    path = authors_file(tmp_path / "wrong.pth", weights)

    with pytest.raises(CheckpointError) as caught:
        load_model(path, device="cpu")

    told = caught.value.problem
    assert "wrong.pth does not fit fastsam3d" in told
    assert "image_encoder.blocks.1.attn.qkv.bias is missing" in told
    assert "mask_decoder.iou_token.weight is missing" in told
    assert "image_encoder.blocks.1.surplus is unknown" in told
    assert "logit_scale is unknown" in told
    assert "mask_downscaling.0.weight is (4, 1, 2, 2) and should be (4, 1, 2, 2, 2)" in told


def test_another_network_is_refused(tmp_path: Path):
    path = tmp_path / "resnet.pth"
    torch.save({f"layer{i}.weight": torch.zeros(2) for i in range(9)}, path)

    with pytest.raises(CheckpointError, match=r"another network: layer0\.weight.*and 5 more"):
        load_model(path, device="cpu")


def test_a_flat_sam_is_refused(tmp_path: Path, weights, authors_file: Write):
    """Segment Anything for pictures has the same parts and other shapes."""
    flat = {key: v[..., 0] if v.ndim == 5 else v for key, v in weights.items()}
    path = authors_file(tmp_path / "sam_vit_b.pth", flat)

    with pytest.raises(CheckpointError, match=r"sam_vit_b\.pth does not fit"):
        load_model(path, device="cpu")


def test_missing_sizes_are_named_too(weights, tmp_path: Path, authors_file: Write):
    del weights["image_encoder.pos_embed"]
    path = authors_file(tmp_path / "odd.pth", weights)

    with pytest.raises(CheckpointError, match=r"image_encoder\.pos_embed is missing"):
        load_model(path, device="cpu")


def test_the_architecture_is_read_off_keys_and_shapes(student_file: Path, teacher_file: Path):
    student = read_architecture(read_published(student_file).tensors)
    teacher = read_architecture(read_published(teacher_file).tensors)

    assert student[0] == "fastsam3d"
    assert student[1].encoder.mixing == ("none", "global")
    assert student[1].encoder.residual == "normalised"
    assert (student[1].encoder.width, student[1].encoder.heads) == (32, 4)
    assert student[1].decoder.hidden == 32
    assert teacher[0] == "sam-med3d"
    assert teacher[1].encoder.mixing == ("padded", "global")
    assert teacher[1].encoder.residual == "standard"
    assert teacher[1].encoder.window == 14


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_full_size_weights_are_told_apart(name: str):
    with torch.device("meta"):
        tensors = published_tensors(PublishedNetwork(ARCHITECTURES[name]))

    said = name if name.endswith("sparse") else None

    assert read_architecture(tensors, said) == (name, ARCHITECTURES[name])


def test_sizes_are_those_of_the_papers():
    with torch.device("meta"):
        student, teacher = (
            PublishedNetwork(ARCHITECTURES[name]) for name in ("fastsam3d", "sam-med3d")
        )

    def millions(module: torch.nn.Module) -> float:
        return round(sum(p.numel() for p in module.parameters()) / 1e6, 1)

    assert millions(student.image_encoder) == 45.6
    assert millions(teacher.image_encoder) == 92.9
    assert millions(student.mask_decoder) == 7.6
    assert millions(student.prompt_encoder) == 0.0


def test_what_cannot_be_read_is_said(student_file: Path):
    tensors = read_published(student_file).tensors

    name, network = build_network(tensors, "fastsam3d-sparse")

    assert name == "fastsam3d-sparse"
    assert network.config.encoder.mixing == ("none", "grouped")


@pytest.mark.parametrize(
    ("said", "told"),
    [("sam-med3d", "weights of fastsam3d, not of sam-med3d"), ("sam", "no architecture 'sam'")],
)
def test_a_wrong_architecture_is_refused(student_file: Path, said: str, told: str):
    with pytest.raises(CheckpointError, match=told):
        load_model(student_file, device="cpu", architecture=said)


def test_the_teacher_is_no_student(teacher_file: Path):
    with pytest.raises(CheckpointError, match="some blocks have no attention"):
        load_model(teacher_file, device="cpu", architecture="fastsam3d")


def test_the_network_has_the_weights_of_the_file(student_file: Path, small_network: Make):
    _, network = build_network(read_published(student_file).tensors)

    for key, value in small_network().state_dict().items():
        assert torch.equal(network.state_dict()[key], value), key
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_half_precision_weights_become_whole(tmp_path: Path, weights, authors_file: Write):
    path = authors_file(tmp_path / "half.pth", {k: v.half() for k, v in weights.items()})

    model = load_model(path, device="cpu", dtype="float32")

    assert {p.dtype for p in model.network.parameters()} == {torch.float32}
