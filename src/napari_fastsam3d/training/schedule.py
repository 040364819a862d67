"""The learning rate of a step."""

import math

from napari_fastsam3d.training.recipe import Recipe


def learning_rate(recipe: Recipe, step: int) -> float:
    """Rise linearly, stay, and fall along a half cosine over the last part of each cycle."""
    cycle = recipe.cycle_at(step)
    done = step - cycle.start
    rise = min(1.0, (done + 1) / max(1, recipe.warmup))
    start = cycle.steps * (1 - cycle.decay)
    progress = min(1.0, max(0.0, (done - start) / max(1.0, cycle.steps - start)))
    return cycle.rate * rise * (0.02 + 0.98 * (1 + math.cos(math.pi * progress)) / 2)
