"""How good a model is: a click simulator, trials on labelled scans, scores, and what to compare.

A `Segmenter` (a model or a classical baseline) is given the `Target`s of labelled cases, is
clicked as a `Protocol` says, and every structure becomes a `Trial`; trials become `Score`s.
"""

from napari_fastsam3d.evaluation.metrics import Surface
from napari_fastsam3d.evaluation.protocol import Protocol
from napari_fastsam3d.evaluation.score import Score, scores_of
from napari_fastsam3d.evaluation.segmenters import Segmenter, SessionSegmenter, ShiftedSegmenter
from napari_fastsam3d.evaluation.simulator import next_click
from napari_fastsam3d.evaluation.slice_wise import SliceWiseSegmenter
from napari_fastsam3d.evaluation.target import Target, targets_of
from napari_fastsam3d.evaluation.trial import Trial, run_trial
from napari_fastsam3d.geometry.mask import dice

__all__ = [
    "Protocol",
    "Score",
    "Segmenter",
    "SessionSegmenter",
    "ShiftedSegmenter",
    "SliceWiseSegmenter",
    "Surface",
    "Target",
    "Trial",
    "dice",
    "next_click",
    "run_trial",
    "scores_of",
    "targets_of",
]
