"""Train networks of several sizes and shapes for equally many steps, and tell what each costs."""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from rich import print as show
from rich.table import Table
from torch.nn import functional as F

from napari_fastsam3d.model.default.image_encoder import PyramidConfig
from napari_fastsam3d.model.default.network import PyramidNetwork
from napari_fastsam3d.model.device import choose_precision
from napari_fastsam3d.training.loss import intersection_over_union
from napari_fastsam3d.training.random_generator import RandomGenerator
from napari_fastsam3d.training.recipe import Phase, Recipe
from napari_fastsam3d.training.recipe_file import read_recipe
from napari_fastsam3d.training.sample import Sampler
from napari_fastsam3d.training.simulator import first_prompts, next_prompts, used_points
from napari_fastsam3d.training.trainer import Trainer

FAST_BFLOAT16 = choose_precision("auto", torch.device("cpu")) == torch.bfloat16
CLICKS = 3
UNSEEN = 999
SHAPES = {
    "small": PyramidConfig(widths=(12, 32, 64), blocks=(1, 1, 1), width=192, depth=2, heads=6),
    "first": PyramidConfig(),
    "shipped": PyramidConfig(blocks=(1, 2, 4), depth=8),
    "deep": PyramidConfig(depth=8),
    "wide": PyramidConfig(widths=(24, 64, 128), width=320, depth=6),
    "no transformer": PyramidConfig(blocks=(1, 2, 4), depth=0),
}


@torch.no_grad()
def agreement(network: PyramidNetwork, sampler: Sampler, crop: int, samples: int) -> list[float]:
    """Mean IoU after each click, over samples that no run has drawn."""
    random = RandomGenerator.seeded(UNSEEN)
    totals = [0.0] * CLICKS
    for number in range(samples):
        sample = sampler.draw(number, crop)
        image = sample.image[None, None]
        truth = F.avg_pool3d(sample.targets[:1, None].float(), 2)
        prompts = first_prompts(truth, CLICKS, random)
        with torch.autocast("cpu", torch.bfloat16, enabled=FAST_BFLOAT16):
            pyramid = network.encoder(image)
            for click in range(CLICKS):
                masks = network.decoder(pyramid, used_points(prompts))
                totals[click] += float(intersection_over_union(masks.mask_logits, truth)) / samples
                prompts = next_prompts(
                    prompts, truth, masks.mask_logits, masks.low_res_logits, random
                )
    return totals


@torch.inference_mode()
def encode_milliseconds(network: PyramidNetwork) -> float:
    """Milliseconds for a crop of 128^3 voxels, the best of five."""
    image = torch.randn(1, 1, 128, 128, 128)
    best = float("inf")
    with torch.autocast("cpu", torch.bfloat16, enabled=FAST_BFLOAT16):
        for _ in range(5):
            begun = time.perf_counter()
            network.encoder(image)
            best = min(best, time.perf_counter() - begun)
    return 1000 * best


def trained(recipe: Recipe, data: Path) -> tuple[Trainer, float]:
    """Train to the end of a recipe; gives the seconds that a step took in the network."""
    sampler = Sampler.of_folder(data, recipe.sources, recipe.seed)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(recipe, sampler, Path(folder))
        begun = time.process_time()
        trainer.run(lambda done, of, iou: None, save_every=recipe.steps)
        return trainer, (time.process_time() - begun) / recipe.steps


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("recipe", type=Path, help="such as the shipped one, for its sources")
    parser.add_argument("--steps", type=int, default=350)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--crop", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--only", nargs="*", default=list(SHAPES))
    given = parser.parse_args()
    phase = Phase(steps=given.steps, crop=given.crop, batch=given.batch, clicks=CLICKS)
    base = replace(read_recipe(given.recipe), phases=(phase,), warmup=50)
    unseen = Sampler.of_folder(given.data, base.sources, UNSEEN)
    table = Table("shape", "million", "MB", "CPU s a step", "encode, ms", "IoU 1", "IoU 2", "IoU 3")
    for name in given.only:
        trainer, seconds = trained(replace(base, network=SHAPES[name]), given.data)
        count = sum(p.numel() for p in trainer.average.parameters())
        ious = agreement(trainer.average.eval(), unseen, given.crop, given.samples)
        speed = encode_milliseconds(trainer.average)
        numbers = [f"{count / 1e6:.1f}", f"{2 * count / 1e6:.0f}", f"{seconds:.2f}", f"{speed:.0f}"]
        table.add_row(name, *numbers, *(f"{iou:.3f}" for iou in ious))
        print(name, *numbers, *(f"{iou:.3f}" for iou in ious), flush=True)
    show(table)


if __name__ == "__main__":
    main()
