"""What clicks are worth where the model is unsure: Dice by clicks, against those in its errors.

usage: python benchmarks/where_to_click.py DATA [--part train] [--cases 8] [--each 4] [--clicks 4]

The first click is the same for all ways; of later ones the sign is right at their place. Unsure is
where masks differ that earlier clicks moved by a few mm give (self-ensembling over prompts): the
variance of the masks, averaged over a Gaussian, is largest there.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.progress import track
from scipy import ndimage

from napari_fastsam3d.evaluation.dataset import labelled_cases
from napari_fastsam3d.evaluation.simulator import correcting_click
from napari_fastsam3d.geometry import Volume, read_volume
from napari_fastsam3d.geometry.box import Index
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.prompt import Point
from napari_fastsam3d.inference.segmenter import Replay
from napari_fastsam3d.model import load_model
from napari_fastsam3d.model.predictor import Predictor
from napari_fastsam3d.training.reader_examples import SeenOnce, structures

SMALLEST = 200
"""Voxels of a structure that is asked for."""

_MEMBERS, _MOVED, _BLUR, _APART = 6, 3.0, 4.0, 5.0  # masks; mm


class Attempt:
    """A structure that is clicked."""

    def __init__(self, volume: Volume, truth: Mask, predictor: Predictor, seed: int) -> None:
        self.volume, self.predictor = volume, predictor
        self.target, self.truth = truth, truth.volume(volume.shape)
        self.mask = Mask.empty()
        self.replay = Replay(volume, predictor)
        self.clicks: list[Point] = []
        self.rng = np.random.default_rng(seed)

    def click(self, index: Index) -> None:
        """Click with the sign that is right there."""
        self.clicks.append(Point(len(self.clicks), index, bool(self.truth[index])))
        self.mask = self.replay.step(self.clicks).mask

    def largest_error(self) -> Index:
        """Return the middle of the largest error, as the simulator does."""
        return correcting_click(self.mask, self.target, self.volume.spacing)[0]

    def any_error(self) -> Index:
        """Return a voxel that is wrong."""
        return self._one_of(self.shown ^ self.truth)

    def rim(self) -> Index:
        """Return a voxel at the rim of the mask."""
        return self._one_of(self.shown ^ ndimage.binary_erosion(self.shown))

    def disagreement(self) -> Index:
        """Return where masks of moved clicks differ most."""
        masks = [self.shown.astype(np.float32)]
        for _ in range(_MEMBERS):
            replay = Replay(self.volume, self.predictor)
            moved = [self._moved(click) for click in self.clicks]
            masks.append(replay.step(moved).mask.volume(self.volume.shape).astype(np.float32))
        blur = [_BLUR / size for size in self.volume.spacing]
        unsure = ndimage.gaussian_filter(np.var(masks, axis=0), blur)
        far = np.ones(self.volume.shape, bool)
        far[tuple(np.transpose([click.index for click in self.clicks]))] = False
        unsure[ndimage.distance_transform_edt(far, self.volume.spacing) < _APART] = 0
        return _index(np.unravel_index(np.argmax(unsure), unsure.shape))

    @property
    def shown(self) -> np.ndarray:
        """The mask on the scan's grid."""
        return self.mask.volume(self.volume.shape)

    def _moved(self, click: Point) -> Point:
        """Move a click by a few mm, where it keeps its sign on the mask that is shown."""
        for _ in range(10):
            aside = self.rng.normal(0, _MOVED, 3) / self.volume.spacing
            index = _index(np.rint(np.add(click.index, aside)))
            inside = all(0 <= i < n for i, n in zip(index, self.volume.shape, strict=True))
            if inside and self.shown[index] == click.positive:
                return Point(click.id, index, click.positive)
        return click

    def _one_of(self, voxels: np.ndarray) -> Index:
        places = np.argwhere(voxels)
        return _index(places[self.rng.integers(len(places))]) if len(places) else self.any_error()


WAYS: dict[str, Callable[[Attempt], Index]] = {
    "the largest error, its middle": Attempt.largest_error,
    "any error, by chance": Attempt.any_error,
    "where masks of moved clicks differ": Attempt.disagreement,
    "the rim of the mask, by chance": Attempt.rim,
}


def _index(place: np.ndarray | tuple[np.intp, ...]) -> Index:
    i, j, k = (int(n) for n in place)
    return i, j, k


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--part", default="train")
    parser.add_argument("--cases", type=int, default=8)
    parser.add_argument("--each", type=int, default=4, help="structures of a case, at most")
    parser.add_argument("--clicks", type=int, default=4)
    given = parser.parse_args()
    predictor = load_model("default", device="cpu")
    by_set: dict[str, list] = {}
    for case in labelled_cases(given.data, given.part):
        by_set.setdefault(case.set_name, []).append(case)
    turns = range(max(map(len, by_set.values())))
    cases = [of[n] for n in turns for of in by_set.values() if n < len(of)][: given.cases]
    dice: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    wrong: dict[str, list[bool]] = {way: [] for way in WAYS}
    for case in track(cases, "clicking"):
        volume, once = read_volume(case.image), SeenOnce(predictor)
        named = structures(given.data, case, volume).values()
        large = [truth for truth in named if np.count_nonzero(truth.voxels) >= SMALLEST]
        for seed, truth in enumerate(large[: given.each]):
            for way, place in WAYS.items():
                attempt = Attempt(volume, truth, once, seed)
                attempt.click(attempt.largest_error())
                row = [attempt.mask.agreement(truth)]
                while len(row) < given.clicks:
                    index = place(attempt)
                    wrong[way].append(bool(attempt.shown[index] != attempt.truth[index]))
                    attempt.click(index)
                    row.append(attempt.mask.agreement(truth))
                dice[way].append(row)
    heads = " | ".join(str(n + 1) for n in range(given.clicks))
    print(f"| clicks at | {heads} | the mask is wrong there |", "|---" * (given.clicks + 2) + "|")
    for way, rows in dice.items():
        cells = " | ".join(f"{mean:.3f}" for mean in np.mean(rows, axis=0))
        print(f"| {way} | {cells} | {100 * np.mean(wrong[way]):.0f} % |")
    print(f"{len(rows)} structures")


if __name__ == "__main__":
    main()
