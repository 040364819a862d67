"""A training run whose process is killed, at the worst moments, goes on where it was saved."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from napari_fastsam3d.training.sample import Sampler
from napari_fastsam3d.training.trainer import Trainer

CHILD = """
import os, signal, sys
from pathlib import Path
import torch
from napari_fastsam3d.training.recipe_file import read_recipe
from napari_fastsam3d.training.sample import Sampler
from napari_fastsam3d.training.trainer import Trainer

data, recipe, folder, moment = map(Path, sys.argv[1:])
recipe = read_recipe(recipe)
trainer = Trainer(recipe, Sampler.of_folder(data, recipe.sources, recipe.seed), folder, workers=0)

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def half_a_checkpoint(state, path):
    if state["step"] < 4:
        return save(state, path)
    Path(path).write_bytes(b"half of it")
    die()

save = torch.save
if moment.name == "saving":
    torch.save = half_a_checkpoint
trainer.run(lambda step, *_: die() if step == 5 else None, save_every=2)
"""


def trainer_in(folder: Path, data: Path, recipe) -> Trainer:
    sampler = Sampler.of_folder(data, recipe.sources, recipe.seed)
    return Trainer(recipe, sampler, folder, workers=0)


@pytest.mark.parametrize(("moment", "saved"), [("stepping", 4), ("saving", 2)])
def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been(
    data, recipe, recipe_file, tmp_path, moment, saved
):
    folder = tmp_path / "killed"
    command = [sys.executable, "-c", CHILD, str(data), str(recipe_file), str(folder), moment]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr

    resumed = trainer_in(folder, data, recipe)
    assert resumed.step == saved
    resumed.run(lambda *_: None)

    whole = trainer_in(tmp_path / "whole", data, recipe)
    whole.run(lambda *_: None)
    for one, other in zip(
        (resumed.network, resumed.average), (whole.network, whole.average), strict=True
    ):
        wanted = other.state_dict()
        for key, value in one.state_dict().items():
            assert torch.equal(value, wanted[key]), key
    lines = (folder / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(recipe.steps))


def test_a_checkpoint_holds_what_earlier_runs_have(data, recipe, tmp_path):
    run = trainer_in(tmp_path / "run", data, recipe)
    run.run(lambda *_: None, until=time.monotonic())

    state = torch.load(run.folder / "checkpoint.pt", weights_only=True)

    assert state.keys() == {"step", "network", "average", "optimizer"}
    assert state["step"] == 1
    assert state["network"].keys() == state["average"].keys() == run.network.state_dict().keys()
    assert state["optimizer"].keys() == {"state", "param_groups"}
