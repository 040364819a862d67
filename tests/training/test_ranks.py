import json
import subprocess
import sys

import torch

SHARED = """
import torch
from napari_fastsam3d.cli import main
from napari_fastsam3d.training import ranks
place, device = ranks.join("cpu")
tensors = [torch.full((2, 3), float(place.rank)), torch.tensor(10.0 * place.rank)]
place.average(tensors)
assert torch.equal(tensors[0], torch.full((2, 3), 0.5)) and tensors[1] == 5, tensors
assert place.agree(place.rank == 1) and not place.agree(False)
print(f"rank {place.rank} of {place.world}")
main()
"""


def in_two_processes(code, *arguments):
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    command = [sys.executable, *launcher, "--no-python", sys.executable, "-c", code, *arguments]
    run = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=300)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_two_processes_share_tensors_and_wishes_and_train_one_network(data, recipe_file, tmp_path):
    folder = tmp_path / "run"
    given = ("train", str(data), "--out", str(folder), "--config", str(recipe_file))
    said = in_two_processes(SHARED, *given)
    assert "rank 0 of 2" in said
    assert "rank 1 of 2" in said
    assert said.count("weights.safetensors") == 1
    lines = (folder / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(6))
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert state["step"] == 6
