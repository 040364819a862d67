"""Show what the finer resolution of the masks and the edge-aware step each add.

usage: python benchmarks/detail.py DATA [--part validation] [--cases-per-set 2]

The default model answers with its coarse masks alone (a quarter of the crop's resolution), with its
fine ones (half of it), and with these drawn to the edges of the scan, to the same simulated user.
"""

import argparse
from pathlib import Path

from rich import print as show
from rich.table import Table

from napari_fastsam3d.evaluation import Protocol, SessionSegmenter, run_trial, scores_of, targets_of
from napari_fastsam3d.evaluation.dataset import evenly_spaced, labelled_cases
from napari_fastsam3d.model import load_model
from napari_fastsam3d.session import ModelThread

CLICKS = 10
TOLD = (1, 3, 5, 10)


class Variant:
    """The default model with some of its detail left out; everything else is the model's own."""

    def __init__(self, model, name, fine, edges):
        self.model = model
        self.name, self.fine, self.edge_aware = name, fine, edges

    def __getattr__(self, name):
        return getattr(self.model, name)

    def segment(self, *prompts):
        """Answer, with as much detail as this variant has."""
        answer = self.model.segment(*prompts)
        return (
            answer
            if self.fine
            else type(answer)(answer.low_res_logits, answer.low_res_logits, answer.predicted_iou)
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--part", default="validation")
    parser.add_argument("--cases-per-set", type=int, default=2)
    given = parser.parse_args()
    cases = evenly_spaced(labelled_cases(given.data, given.part), given.cases_per_set)
    model = load_model("default")
    protocol = Protocol(clicks=CLICKS)
    scores = [*(f"Dice {k}" for k in TOLD), *(f"NSD {k}" for k in TOLD), "box"]
    table = Table("masks", *scores, padding=0)  # so that it fits into 80 columns
    variants = (("coarse", False, False), ("fine", True, False), ("fine, to the edges", True, True))
    for name, fine, edges in variants:
        with ModelThread(Variant(model, name, fine, edges)) as thread:
            segmenter = SessionSegmenter(name, thread)
            trials = [
                run_trial(target, segmenter, protocol)[0]
                for case in cases
                for target in targets_of(case, protocol, {}, frozenset())
            ]
        score = scores_of(trials, dict.fromkeys({t.set_name for t in trials}, "unknown"))[-1]
        numbers = [score.dice[k - 1] for k in TOLD] + [score.nsd[k - 1] for k in TOLD]
        table.add_row(name, *(f"{n:.3f}" for n in (*numbers, score.box_dice)))
    show(table)


if __name__ == "__main__":
    main()
