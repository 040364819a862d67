"""Time the published models against a plain textbook form of them, in the same process.

usage: python benchmarks/published.py [--rounds N] [--cpu-time] [--json] [fastsam3d] [sam-med3d]

Full size, random weights, on the CPU, with as many threads as torch takes. Each round times the
textbook and the package one after the other, so that a busy machine slows both; the ratios of
medians are what counts. Both must agree before anything is timed. Fails when a target is missed.

A click is what a session does for one: prompt encoder, decoder, and the mask on a scan of 1.5 mm.
Random weights make noise of the whole crop, which no organ is; so the mask of a click is that of a
ball of 48 mm radius, and that of the noise is shown too. The textbook's cost is the same for both.

Where others keep the machine busy, threads that wait for each other measure the others: with
`--cpu-time` everything runs on one thread, and its processor time is what is shown.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from textbook import Textbook
from torch import Tensor

from napari_fastsam3d.geometry import Crop, torso_phantom
from napari_fastsam3d.model.device import choose_precision, choose_threads
from napari_fastsam3d.model.predictor import Predictor
from napari_fastsam3d.model.sam_med3d.checkpoint_keys import network_tensors, published_tensors
from napari_fastsam3d.model.sam_med3d.network import ARCHITECTURES, PublishedNetwork
from napari_fastsam3d.model.sam_med3d.predictor import PublishedPredictor

CPU = torch.device("cpu")
FAST_BFLOAT16 = choose_precision("auto", CPU) == torch.bfloat16
# Without instructions for it bfloat16 is twenty times slower, and nobody is given it.
PRECISIONS = (torch.float32, torch.bfloat16) if FAST_BFLOAT16 else (torch.float32,)
TARGETS = {
    ("fastsam3d", "encode", "float32"): 1.0,
    ("fastsam3d", "encode", "bfloat16"): 0.40,
    ("sam-med3d", "encode", "float32"): 1 / 11,
    ("sam-med3d", "encode", "bfloat16"): 1 / 25,
    **{(n, "click", p): 0.5 for n in ("fastsam3d", "sam-med3d") for p in ("float32", "bfloat16")},
}
"""What the package may take at most, as a part of what the textbook takes."""
LEAST_DICE = 0.995
ENOUGH_ROUNDS = {"sam-med3d": 3}
"""Of the slow encoders; their textbook takes ten seconds."""


@dataclass(frozen=True)
class Row:
    """One measurement: medians in milliseconds, their ratio, and the target if there is one."""

    model: str
    what: str
    precision: str
    textbook: float
    package: float
    ratio: float
    target: float | None

    @property
    def held(self) -> bool:
        """Whether the target is held."""
        return self.target is None or self.ratio <= self.target

    def __str__(self) -> str:
        target = (
            "" if self.target is None else f"{self.target:.3f} {'held' if self.held else 'MISSED'}"
        )
        return (
            f"{self.model:<10} {self.what:<15} {self.precision:<9} {self.textbook:>8.1f} ms "
            f"{self.package:>8.1f} ms {self.ratio:>7.3f}  {target}"
        )


def weights_of(name: str) -> dict[str, Tensor]:
    """Make random weights, by the authors' names."""
    torch.manual_seed(0)
    network = PublishedNetwork(ARCHITECTURES[name])
    for key, parameter in network.named_parameters():
        if "pos_embed" in key or "rel_pos" in key:
            torch.nn.init.normal_(parameter, std=0.1)
    return {key: value.detach().contiguous() for key, value in published_tensors(network).items()}


def predictor_of(
    name: str, weights: dict[str, Tensor], dtype: torch.dtype, device: torch.device = CPU
) -> PublishedPredictor:
    network = PublishedNetwork(ARCHITECTURES[name])
    network.load_state_dict(network_tensors(network, weights))
    return PublishedPredictor(network, name, device, dtype, "0" * 64)


@dataclass(frozen=True)
class Stopwatch:
    """Times works in turns, on the wall's clock or on the thread's own."""

    clock: Callable[[], float] = time.perf_counter

    def medians(self, works: list[Callable[[], Any]], rounds: int) -> list[float]:
        """Give the median of each work in milliseconds, after one turn that does not count."""
        times = [[self._milliseconds(work) for work in works] for _ in range(rounds + 1)][1:]
        return [statistics.median(column) for column in zip(*times, strict=True)]

    def _milliseconds(self, work: Callable[[], Any]) -> float:
        began = self.clock()
        work()
        return 1000 * (self.clock() - began)


def ball(radius: float) -> NDArray[np.float32]:
    """Logits (32, 32, 32) of a ball in the middle, radius in cells of 6 mm."""
    offsets = np.indices((32, 32, 32)) - 15.5
    return (radius - np.sqrt((offsets**2).sum(axis=0))).astype(np.float32)


class Scene:
    """A torso phantom at 1.5 mm, the crop in its middle, a click in it, and an organ's logits."""

    def __init__(self) -> None:
        volume, _, _ = torso_phantom(spacing=(1.5, 1.5, 1.5))
        self.crop = Crop.around(volume, [n // 2 for n in volume.voxels.shape])
        self.raw = self.crop.extract(volume.voxels)
        self.point = np.array([[60, 64, 70]], np.float32)
        self.label = np.array([1])
        self.organ = ball(8.0)

    def tensors(self) -> tuple[Tensor, Tensor]:
        """Give the point (1, 1, 3) and its label (1, 1)."""
        return torch.from_numpy(self.point)[None], torch.from_numpy(self.label)[None]

    def click(self, predictor: PublishedPredictor, encoded: Any, previous: Any, noise: bool) -> Any:
        """Do what a session does for a click."""
        answer = predictor.segment(encoded, self.point, self.label, None, previous)
        return self.crop.paste_mask(answer.mask_logits if noise else self.organ)


def check(textbook: Textbook, predictor: PublishedPredictor, scene: Scene, image: Tensor) -> None:
    """Compare the two; they are the same network, or nothing is worth timing."""
    embedding, encoded = textbook.encode(image), predictor.encode(image)
    ours, _ = predictor.decode(encoded, *scene.tensors())
    theirs = textbook.click(embedding, *scene.tensors(), torch.zeros(1, 1, 32, 32, 32))[0]
    for mine, other in ((encoded.embedding, embedding), (ours, theirs)):
        error = float((mine - other).norm() / other.norm())
        if error > 1e-5:
            raise SystemExit(f"the two forms differ by {error:.1e}: nothing is timed")


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    total = int(a.sum()) + int(b.sum())
    return 1.0 if total == 0 else 2 * int((a & b).sum()) / total


def least_dice(exact: Predictor, fast: Predictor, image: Tensor) -> float:
    """Give the least Dice of masks over some clicks, each mode feeding on its own masks."""
    generator = np.random.default_rng(0)
    sides = [(p, p.encode(image.to(p.device))) for p in (exact, fast)]
    least = 1.0
    for _ in range(8):
        previous: list[Any] = [None, None]
        for _ in range(3):
            point = generator.uniform(8, 120, (1, 3)).astype(np.float32)
            label = generator.integers(0, 2, 1)
            answers = [
                p.segment(encoded, point, label, None, before)
                for (p, encoded), before in zip(sides, previous, strict=True)
            ]
            previous = [answer.low_res_logits for answer in answers]
            least = min(least, dice(*(answer.mask_logits > 0 for answer in answers)))
    return least


class Comparison:
    """One model: its textbook form, and the package's in both precisions."""

    def __init__(self, name: str, stopwatch: Stopwatch) -> None:
        weights = weights_of(name)
        self.name = name
        self.stopwatch = stopwatch
        self.scene = Scene()
        self.textbook = Textbook(ARCHITECTURES[name], weights)
        self.predictors = [predictor_of(name, weights, dtype) for dtype in PRECISIONS]
        exact = self.predictors[0]
        self.image = exact.normalise(self.scene.raw, self.scene.crop.inside)
        check(self.textbook, exact, self.scene, self.image)

    def encoding(self, rounds: int) -> list[Row]:
        """Time the image encoder."""
        image = self.image
        works: list[Callable[[], Any]] = [lambda: self.textbook.encode(image)]
        works += [lambda p=p: p.encode(image) for p in self.predictors]
        return self._rows("encode", self.stopwatch.medians(works, rounds))

    def clicking(self, rounds: int, noise: bool) -> list[Row]:
        """Time a second click, whose mask is an organ's or noise."""
        scene, seen = self.scene, [p.encode(self.image) for p in self.predictors]
        previous = (
            self.predictors[0].segment(seen[0], scene.point, scene.label, None, None).low_res_logits
        )
        embedding, logits = self.textbook.encode(self.image), torch.from_numpy(previous)[None, None]
        works: list[Callable[[], Any]] = [
            lambda: self.textbook.click(embedding, *scene.tensors(), logits)
        ]
        works += [
            lambda p=p, e=e: scene.click(p, e, previous, noise)
            for p, e in zip(self.predictors, seen, strict=True)
        ]
        return self._rows(
            "click on noise" if noise else "click", self.stopwatch.medians(works, rounds)
        )

    def least_dice(self) -> float:
        """Compare the masks of the fast mode with those of float32."""
        return least_dice(*self.predictors, self.image)

    def _rows(self, what: str, times: list[float]) -> list[Row]:
        plain, *ours = times
        names = [str(dtype).removeprefix("torch.") for dtype in PRECISIONS]
        return [
            Row(self.name, what, p, plain, t, t / plain, TARGETS.get((self.name, what, p)))
            for p, t in zip(names, ours, strict=True)
        ]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", default=["fastsam3d", "sam-med3d"])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.cpu_time:
        torch.set_num_threads(1)
    stopwatch = Stopwatch(time.thread_time if given.cpu_time else time.perf_counter)
    threads = choose_threads()
    rows: list[Row] = []
    overlaps: dict[str, float] = {}
    with torch.inference_mode():
        for name in given.models:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            comparison = Comparison(name, stopwatch)
            rows += comparison.encoding(min(given.rounds, ENOUGH_ROUNDS.get(name, given.rounds)))
            rows += comparison.clicking(3 * given.rounds, noise=False)
            rows += comparison.clicking(given.rounds, noise=True)
            if FAST_BFLOAT16:
                overlaps[name] = comparison.least_dice()
    held = all(row.held for row in rows) and min(overlaps.values(), default=1.0) >= LEAST_DICE
    if given.json:
        measured = {"rows": [asdict(row) for row in rows], "least dice": overlaps}
        print(
            json.dumps({"threads": threads, "fast bfloat16": FAST_BFLOAT16, **measured}, indent=2)
        )
        return 0 if held else 1
    print(f"{threads} threads, {'fast' if FAST_BFLOAT16 else 'no fast'} bfloat16 on this CPU")
    clock = "processor time" if given.cpu_time else "wall time"
    columns = f"{'model':<10} {'what':<15} {'precision':<9} {'textbook':>11} {'package':>11}"
    print(f"{columns}   ratio  target    ({clock})")
    print(*rows, sep="\n")
    for name, value in overlaps.items():
        verdict = "held" if value >= LEAST_DICE else "MISSED"
        print(f"{name}: least Dice of bfloat16 masks {value:.4f}, target {LEAST_DICE} {verdict}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
