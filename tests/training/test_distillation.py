"""Distillation of image encoders: the student's layers approach the teacher's, stage by stage."""

import json
import time

import pytest
import torch
from tiny_data import RECIPE

from napari_fastsam3d import cli
from napari_fastsam3d.errors import TrainingError
from napari_fastsam3d.model import load_model
from napari_fastsam3d.model.checkpoint import export_pyramid, read_pyramid
from napari_fastsam3d.model.default.image_encoder import PyramidConfig
from napari_fastsam3d.model.default.network import PyramidNetwork
from napari_fastsam3d.model.load import load_network
from napari_fastsam3d.model.sam_med3d.image_encoder import ViTConfig
from napari_fastsam3d.model.sam_med3d.mask_decoder import DecoderConfig
from napari_fastsam3d.model.sam_med3d.network import PublishedConfig, PublishedNetwork
from napari_fastsam3d.training.distillation import Distiller
from napari_fastsam3d.training.distillation_recipe import read_distillation
from napari_fastsam3d.training.sample import Sampler
from napari_fastsam3d.training.students import student_of

PUBLISHED = """
seed = 3
warmup = 2
decay = 0.0
ema = 0.8
learning_rate = 1e-2
weight_decay = 0.0
[sources]
shapes = 1.0
[student]
mixing = ["none", "global"]
"""
STAGES = ("patch_embed", "blocks.0", "blocks.1", "neck")
LITE = (
    RECIPE.replace("[network]", "[unused]").partition("[unused]")[0]
    + """
[student]
blocks = [0, 2, 1]
up_blocks = [1, 2, 1]
separable = true
depth = 1
[[phases]]
steps = 3
crop = 32
batch = 2
matches = ["down_*"]
[[phases]]
steps = 3
crop = 32
batch = 2
matches = ["neck", "up_*"]
"""
)


def silent(step, steps, value):
    pass


@pytest.fixture
def sam_med3d():
    torch.manual_seed(0)
    mixing = ("padded", "global") * 2
    encoder = ViTConfig(
        mixing, width=16, heads=4, hidden=32, out_width=16, grid=2, patch=16, window=3
    )
    network = PublishedNetwork(PublishedConfig(encoder, DecoderConfig(16, heads=2, hidden=16)))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network.requires_grad_(False)


@pytest.fixture
def default_like():
    torch.manual_seed(0)
    sizes = {"widths": (4, 8, 8), "blocks": (1, 1, 2), "width": 16, "depth": 2, "heads": 2}
    decoder = {"decoder_widths": (4, 8, 8), "affinity_heads": (1, 2), "affinity_width": 4}
    network = PyramidNetwork(PyramidConfig(**sizes, **decoder, box_decoder=True))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network.requires_grad_(False)


def distiller(network, text, data, folder):
    file = folder.with_suffix(".toml")
    file.write_text(text)
    recipe = read_distillation(file)
    sampler = Sampler.of_folder(data, recipe.run.sources, recipe.run.seed)
    return Distiller(recipe, student_of(network, recipe.student), sampler, folder, workers=0)


def test_a_published_student_approaches_its_teacher_one_stage_after_the_other(
    sam_med3d, data, tmp_path
):
    phases = "".join(
        f'[[phases]]\nsteps = 20\ncrop = 32\nbatch = 2\nmatches = ["{stage}"]\n' for stage in STAGES
    )
    run = distiller(sam_med3d, PUBLISHED + phases, data, tmp_path / "run")
    images = torch.stack([run.sampler.draw(10_000 + i, 32).image for i in range(4)])[:, None]
    before = run.errors(images)
    assert list(before) == list(STAGES)
    run.run(silent)
    after = run.errors(images)
    assert after["neck"] < 0.7 * before["neck"]
    entries = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    for number, stage in enumerate(STAGES):
        errors = [entry["errors"] for entry in entries[20 * number : 20 * (number + 1)]]
        assert all(list(each) == [stage] for each in errors)
        first, last = (sum(each[stage] for each in part) for part in (errors[:5], errors[-5:]))
        assert last < first, stage


def test_what_a_published_student_gives_is_a_model_with_the_teachers_decoder(
    sam_med3d, data, tmp_path
):
    phase = "[[phases]]\nsteps = 1\ncrop = 32\nbatch = 1\n"
    run = distiller(sam_med3d, PUBLISHED + phase, data, tmp_path / "run")
    run.run(silent)
    made = load_network(run.folder / "weights.safetensors")
    assert isinstance(made, PublishedNetwork)
    assert made.config.encoder.mixing == ("none", "global")
    assert made.config.encoder.residual == "normalised"
    kept = sam_med3d.mask_decoder.state_dict()
    for key, value in made.mask_decoder.state_dict().items():
        assert torch.equal(value, kept[key]), key
    for key, value in made.image_encoder.state_dict().items():
        assert torch.equal(value, run.average.state_dict()[key]), key


def test_a_lite_encoder_is_a_model_with_the_decoders_of_its_teacher(default_like, data, tmp_path):
    run = distiller(default_like, LITE, data, tmp_path / "run")
    taken = run.network.state_dict()
    given = default_like.encoder.state_dict()
    assert torch.equal(taken["merge_tokens.linear.weight"], given["merge_tokens.linear.weight"])
    sums = given["up_fine.conv2.conv.weight"].sum((2, 3, 4))
    assert torch.equal(taken["up_fine.conv2.weight"], sums)
    assert torch.equal(taken["up_fine.conv2.bias"], given["up_fine.conv2.conv.bias"])
    last = "attn.qkv.weight"
    assert torch.equal(taken[f"transformer.0.{last}"], given[f"transformer.1.{last}"])
    keys = {k: v.clone() for k, v in taken.items() if "keys" in k}
    run.run(silent)
    assert run.draw_log()
    path = run.folder / "weights.safetensors"
    made = read_pyramid(path)
    assert made.config.separable
    assert made.config.box_decoder
    assert all(torch.equal(v, run.network.state_dict()[k]) for k, v in keys.items())
    for name in ("decoder", "box_decoder"):
        kept = getattr(default_like, name).state_dict()
        for key, value in getattr(made, name).state_dict().items():
            assert torch.equal(value, kept[key].half().float()), key
    assert load_model(path).network.config.depth == 1


def test_a_distillation_that_was_stopped_ends_like_one_that_was_not(default_like, data, tmp_path):
    whole = distiller(default_like, LITE, data, tmp_path / "whole")
    whole.run(silent)
    parts = distiller(default_like, LITE, data, tmp_path / "parts")
    while parts.step < parts.recipe.steps:
        parts.run(silent, until=time.monotonic())
        parts = distiller(default_like, LITE, data, tmp_path / "parts")
    wanted = whole.average.state_dict()
    assert all(torch.equal(v, wanted[k]) for k, v in parts.average.state_dict().items())


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (LITE.replace("[student]", "[other]"), "no table"),
        (LITE.replace("depth = 1", "deep = 1"), "student is misspelt"),
        (LITE.replace('"down_*"', '"sideways"'), "no layer sideways"),
        (LITE.replace("crop = 32", "corp = 32"), "misspelt"),
    ],
)
def test_a_wrong_recipe_is_told_before_the_first_step(default_like, data, tmp_path, wrong, told):
    with pytest.raises(TrainingError, match=told):
        distiller(default_like, wrong, data, tmp_path / "run")


def test_the_command_goes_on_where_it_stopped(default_like, data, tmp_path, capsys):
    teacher, recipe = tmp_path / "teacher.safetensors", tmp_path / "student.toml"
    export_pyramid(default_like, teacher)
    recipe.write_text(LITE)
    command = ["distill", str(data), "--teacher", str(teacher), "--student", str(recipe)]
    command += ["--out", str(tmp_path / "run")]
    assert cli.run([*command, "--minutes", "0"]) == 0
    assert "stopped at step 1 of 6" in capsys.readouterr().out
    assert cli.run(command) == 0
    assert "weights.safetensors" in capsys.readouterr().out
    assert {"encoder.safetensors", "log.png"} <= {p.name for p in (tmp_path / "run").iterdir()}
    assert cli.run([*command, "--student", "none"]) == 1
    assert "none cannot be read" in capsys.readouterr().err


def test_shipped_recipes_fit_their_teachers():
    from napari_fastsam3d.cli.distill import student_recipe
    from napari_fastsam3d.model.sam_med3d.network import ARCHITECTURES

    lite = student_recipe("lite")
    student = student_of(load_network("default"), lite.student)
    assert 2 * sum(p.numel() for p in student.make().parameters()) < 12e6
    with torch.device("meta"):
        teacher = PublishedNetwork(ARCHITECTURES["sam-med3d"])
        published = student_of(teacher, student_recipe("fastsam3d").student)
        made = published.make()
    assert [m.teacher for m in published.matches[1:-1]] == [f"blocks.{i}" for i in range(1, 12, 2)]
    assert made.config == ARCHITECTURES["fastsam3d"].encoder
    named = {pattern for stage in student_recipe("fastsam3d").stages for pattern in stage}
    assert named == {match.student for match in published.matches}
