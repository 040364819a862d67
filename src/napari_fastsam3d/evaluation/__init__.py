"""How good a model is: a click simulator, Dice per click, tables."""

from napari_fastsam3d.evaluation.clicks import next_click
from napari_fastsam3d.evaluation.overlap import dice
from napari_fastsam3d.evaluation.protocol import Trial, mean_at, run_trial, structures_of

__all__ = ["Trial", "dice", "mean_at", "next_click", "run_trial", "structures_of"]
