"""The learning rate of a step."""

import math

from napari_fastsam3d.training.recipe import Recipe


def learning_rate(recipe: Recipe, step: int) -> float:
    """Rise linearly, stay, and fall along a half cosine over the last part of the run."""
    rise = min(1.0, (step + 1) / max(1, recipe.warmup))
    start = recipe.steps * (1 - recipe.decay)
    progress = min(1.0, max(0.0, (step - start) / max(1.0, recipe.steps - start)))
    return recipe.learning_rate * rise * (0.02 + 0.98 * (1 + math.cos(math.pi * progress)) / 2)
