"""Fit when a coarse first pass is trusted: what both passes give on many training targets."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_fastsam3d.errors import TrainingError
from napari_fastsam3d.evaluation.dataset import LabelledCase
from napari_fastsam3d.evaluation.protocol import Protocol
from napari_fastsam3d.evaluation.simulator import Click, click_anywhere, correcting_click
from napari_fastsam3d.evaluation.target import targets_of
from napari_fastsam3d.geometry.box import Box, Index
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.inference.coarse_judge import FEATURES, NEAR
from napari_fastsam3d.inference.coarse_to_fine import CoarseToFine
from napari_fastsam3d.inference.crop_policy import CropPolicy
from napari_fastsam3d.inference.forward_pass import ForwardPass
from napari_fastsam3d.inference.prompt import Point
from napari_fastsam3d.model.checkpoint import fingerprint, read_pyramid
from napari_fastsam3d.model.coarse_pass import CoarsePass, LinearModel
from napari_fastsam3d.model.default.predictor import PyramidPredictor
from napari_fastsam3d.model.device import choose_precision
from napari_fastsam3d.model.predictor import Predictor, silent
from napari_fastsam3d.training.sample import Sampler, SamplingOptions

SIZE, SPACING = 64, 3.0
"""Voxels of a coarse crop along each axis, and their size in mm."""

VOLUME = 176
"""Voxels of a drawn volume along each axis: it has to be larger than the coarse crop shows."""

_FINEST, _COARSEST = 1.5, 1.9
_TARGETS = 4
_SMALLEST = 300
# Structures taken of a case.
_MOST = 40
# Weight of the squared weights, for standardised features: chosen by cross-validation.
_RIDGE = 30.0
_FOLDS = 10
_FEWEST = 20
_TINY = 1e-6
# Dice that the coarse mask must be expected to be better by: later clicks of a small structure do
# better where the first one was looked at from near by.
_MARGIN = 0.1
# Dice by which the near mask alone may tell too little of what a coarse pass would gain: with this
# slack four in ten coarse passes are spared on training targets, and no Dice is lost.
_SLACK = 0.03
_DRAWN = "drawn"
# First clicks in drawn volumes that one on a scan is worth: scans are what the judge is for.
_ON_A_SCAN = 3.0


@dataclass(frozen=True)
class FirstClick:
    """What a first click on a training target gives from afar and from near by.

    Attributes
    ----------
    source, case : str
        The set of a training case and its name; "drawn" and the number of a drawn volume.
    target : int
        Its label value; in a drawn volume its place.
    features : tuple of float
        Of both masks; see `inference.coarse_judge`.
    far, near : float
        Dice of either way with the target.
    """

    source: str
    case: str
    target: int
    features: tuple[float, ...]
    far: float
    near: float


@dataclass(frozen=True)
class Fit:
    """A judge, and mean Dice of first clicks, each judged by a fit without its own volume."""

    coarse_pass: CoarsePass
    clicks: int
    near: float
    far: float
    judged: float
    better: float


def untrusted() -> CoarsePass:
    """Return a coarse pass that gives candidates only."""
    return CoarsePass.for_candidates(SIZE, SPACING)


def without_judge(weights: Path) -> Predictor:
    """Load a model whose coarse pass is made but never trusted."""
    device = torch.device("cpu")
    network = read_pyramid(weights)
    network.coarse_pass = untrusted()
    precision = choose_precision("auto", device)
    return PyramidPredictor(network, weights.name, device, precision, fingerprint(weights))


def first_clicks(
    predictor: Predictor,
    sampler: Sampler,
    file: Path,
    volumes: int,
    size: int = VOLUME,
    cases: Sequence[LabelledCase] = (),
) -> Iterator[tuple[int, list[FirstClick]]]:
    """Click once on targets of drawn volumes and of cases; what a file holds is not done again.

    Yields
    ------
    tuple
        How many volumes and cases are done, and all first clicks so far.
    """
    found = _read(file)
    if file.exists():
        file.write_text("".join(map(_line, found)), encoding="utf-8")
    known = {(each.source, each.case) for each in found}
    work = [(_DRAWN, str(number)) for number in range(volumes)]
    work += [(case.set_name, case.name) for case in cases]
    of_name = {(case.set_name, case.name): case for case in cases}
    for done, key in enumerate(work):
        yield done, found
        if key in known:
            continue
        if key in of_name:
            new = list(_in_case(predictor, of_name[key]))
        else:
            new = list(_in_volume(predictor, sampler, int(key[1]), size))
        with file.open("a", encoding="utf-8") as lines:
            lines.writelines(map(_line, new))
        found += new
    yield len(work), found


def fit(clicks: Sequence[FirstClick]) -> Fit:
    """Fit a linear model of by how much the coarse mask is better (ridge regression).

    Raises
    ------
    TrainingError
        When there are too few first clicks.
    """
    volumes = sorted({(each.source, each.case) for each in clicks})
    if len(volumes) < _FEWEST:
        raise TrainingError(
            f"A judge can't be fitted on {len(volumes)} volumes.", "Draw more of them."
        )
    fold_of = {volume: number % _FOLDS for number, volume in enumerate(volumes)}
    folds = np.array([fold_of[each.source, each.case] for each in clicks])
    counts = _counts(clicks)
    features = np.array([each.features for each in clicks])
    far, near = (np.array([getattr(each, way) for each in clicks]) for way in ("far", "near"))
    judged = np.zeros(len(clicks))
    for fold in range(_FOLDS):
        held = folds == fold
        judge = _judge(features[~held], (far - near)[~held], counts[~held])
        judged[held] = [
            f if judge.gain.estimate(x) > 0 and judge.is_worth(x[NEAR]) else n
            for f, n, x in zip(far[held], near[held], features[held], strict=True)
        ]
    means = (
        float(np.average(x, weights=counts)) for x in (near, far, judged, np.maximum(near, far))
    )
    return Fit(_judge(features, far - near, counts), len(clicks), *means)


def _counts(clicks: Sequence[FirstClick]) -> NDArray[np.float64]:
    """Give how much each first click counts: more on a scan, and less in a set of many."""
    sizes = Counter(each.source for each in clicks)
    plain = np.array([sizes[each.source] ** -0.5 for each in clicks])
    on_scans = np.array([each.source != _DRAWN for each in clicks])
    counts = np.ones(len(clicks))
    if on_scans.any():
        counts[on_scans] = _ON_A_SCAN * plain[on_scans] / plain[on_scans].mean()
    return counts


def _judge(
    features: NDArray[np.float64], gain: NDArray[np.float64], counts: NDArray[np.float64]
) -> CoarsePass:
    return CoarsePass(
        SIZE,
        SPACING,
        _ridge(features, gain - _MARGIN, counts),
        _ridge(features[:, NEAR], gain + _SLACK, counts),
    )


def _ridge(
    features: NDArray[np.float64], gain: NDArray[np.float64], counts: NDArray[np.float64]
) -> LinearModel:
    mean, scale = features.mean(0), features.std(0) + _TINY
    plain = LinearModel(tuple(mean.tolist()), tuple(scale.tolist()), (0.0,) * len(mean), 0.0)
    standard = np.stack([plain.standardised(each) for each in features])
    ones = np.concatenate([standard, np.ones((len(standard), 1))], axis=1)
    penalty = _RIDGE * np.diag([1.0] * len(mean) + [0.0])
    weighted = (ones * counts[:, None]).T
    *weights, bias = np.linalg.solve(weighted @ ones + penalty, weighted @ gain).tolist()
    return replace(plain, weights=tuple(weights), bias=bias)


def _in_volume(
    predictor: Predictor, sampler: Sampler, number: int, size: int
) -> Iterator[FirstClick]:
    choice = SamplingOptions(
        aimed=1.0,
        regrouped=0.1,
        large=0.7,
        deformed=0.5,
        targets=_TARGETS,
        finest=_FINEST,
        coarsest=_COARSEST,
    )
    sample = sampler.draw(number, size, choice)
    middle = float(np.sqrt(_FINEST * _COARSEST))
    volume = Volume.from_array(sample.image.cpu().numpy(), spacing=(middle,) * 3)
    search = CoarseToFine(ForwardPass(volume, predictor, silent), CropPolicy.of(volume, predictor))
    seen: set[bytes] = set()
    for target, voxels in enumerate(sample.targets.cpu().numpy()):
        packed = np.packbits(voxels).tobytes()
        box = Box.of_mask(voxels)
        if packed in seen or box is None or np.count_nonzero(voxels) < _SMALLEST:
            continue
        seen.add(packed)
        truth = Mask.of(box, voxels[box.slices])
        index, _ = _CLICKS[target % 2](truth, volume, number)
        yield from _clicked(search, _DRAWN, str(number), target, truth, index)


def _in_case(predictor: Predictor, case: LabelledCase) -> Iterator[FirstClick]:
    for target in targets_of(case, Protocol(clicks=1, most=_MOST), {}, frozenset()):
        volume, value = target.volume, target.key.value
        forward = ForwardPass(volume, predictor, silent)
        search = CoarseToFine(forward, CropPolicy.of(volume, predictor))
        index, _ = _in_the_middle(target.truth, volume, value)
        yield from _clicked(search, case.set_name, case.name, value, target.truth, index)


def _clicked(
    search: CoarseToFine, source: str, case: str, target: int, truth: Mask, index: Index
) -> Iterator[FirstClick]:
    compared = search.compare([Point(0, index)])
    if compared is not None:
        far, near = (each.mask.agreement(truth) for each in (compared.far, compared.near))
        yield FirstClick(source, case, target, tuple(compared.features.tolist()), far, near)


def _in_the_middle(truth: Mask, volume: Volume, number: int) -> Click:
    return correcting_click(Mask.empty(), truth, volume.spacing)


def _anywhere(truth: Mask, volume: Volume, number: int) -> Click:
    return click_anywhere(truth, number)


_CLICKS: tuple[Callable[[Mask, Volume, int], Click], ...] = (_in_the_middle, _anywhere)


def _line(click: FirstClick) -> str:
    return json.dumps(asdict(click)) + "\n"


def _read(file: Path) -> list[FirstClick]:
    if not file.exists():
        return []
    found: list[FirstClick] = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            table: dict[str, Any] = json.loads(line)
            table["features"] = tuple(table["features"])
            found.append(FirstClick(**table))
        except (ValueError, KeyError, TypeError):
            continue  # a line that a stop tore
    wrong = [each for each in found if len(each.features) != len(FEATURES)]
    if wrong:
        raise TrainingError(f"{file} is of another version.", "Remove it.")
    return found
