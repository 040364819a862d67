"""The shipped model on training scans: no structure stays under a Dice of 0.3 for ten clicks."""

from pathlib import Path

import pytest

from napari_fastsam3d.evaluation.dataset import evenly_spaced, labelled_cases
from napari_fastsam3d.evaluation.protocol import Protocol
from napari_fastsam3d.evaluation.simulator import correcting_click
from napari_fastsam3d.evaluation.target import targets_of
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.prompt import Point
from napari_fastsam3d.inference.segmenter import Replay
from napari_fastsam3d.model import load_model

LOST = 0.3
CLICKS = 10
PROTOCOL = Protocol(clicks=CLICKS, most=2, smallest=200)


@pytest.fixture(scope="module")
def predictor():
    return load_model("default", device="cpu")


@pytest.mark.parametrize(
    "of",
    [
        "ms_lesion_brain",
        "msd_hippocampus",
        "openkbp_hn",
        "sct_spinalcord",
        "totalseg_aorta",
        "totalseg_ct",
    ],
)
def test_clicks_bring_every_structure_out_of_the_worst(shared: Path, predictor, of: str):
    cases = [c for c in labelled_cases(shared / "data", "train") if c.set_name == of]
    lost: dict[str, list[float]] = {}
    for case in evenly_spaced(cases, 1):
        for target in targets_of(case, PROTOCOL, {}, frozenset()):
            replay, mask, prompts, dice = Replay(target.volume, predictor), Mask.empty(), [], [0.0]
            while dice[-1] < LOST and len(prompts) < CLICKS:
                index, positive = correcting_click(mask, target.truth, target.volume.spacing)
                prompts.append(Point(len(prompts) + 1, index, positive))
                mask = replay.step(prompts).mask
                dice.append(mask.agreement(target.truth))
            if dice[-1] < LOST:
                lost[f"{case.name} {target.key.value}"] = dice
    assert not lost
