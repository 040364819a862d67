"""What a reader learns from: structures of training cases, seen by the encoder once and kept."""

import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from napari_fastsam3d.evaluation.dataset import LabelledCase, label_map_cases, label_names
from napari_fastsam3d.geometry import Volume, read_labels, read_volume
from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.mask import Mask, middle_of
from napari_fastsam3d.inference.crop_policy import CropPolicy
from napari_fastsam3d.memory.case import Case
from napari_fastsam3d.memory.readable_case import ReadableCase
from napari_fastsam3d.memory.remember import remembered_case
from napari_fastsam3d.training.painted_scan import SIZE, paint

_Seen = tuple[Volume, Mapping[str, Mask]]

CLICKS = 9
"""Clicks kept of each structure: one in its middle, the others anywhere in it."""

# Voxels that a structure must have, and cells at S/4 around it of which features are kept.
_SMALLEST = 50
_MARGIN = 8


@dataclass(frozen=True)
class Example:
    """A structure of a training case: asked about in some episodes, remembered in others.

    Attributes
    ----------
    set_name, case, structure : str
    folder : Path
        Holds what was cached of it.
    spacing : float
        Of its crop, mm.
    """

    set_name: str
    case: str
    structure: str
    folder: Path
    spacing: float

    @property
    def group(self) -> tuple[str, str]:
        """What is remembered together."""
        return self.set_name, self.structure

    def remembered(self) -> ReadableCase:
        """Return it as a remembered case."""
        return _readable(self.folder / f"{self.structure}.case")

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return features at S/4 and S/8 of a region, its mask at S/2, where it is, and clicks."""
        return load_file(self.folder / f"{self.structure}.example")


@lru_cache(maxsize=4096)
def _readable(path: Path) -> ReadableCase:
    return ReadableCase.of(Case.of_bytes(path.read_bytes()))


def examples_in(folder: Path) -> list[Example]:
    """List what is cached in `folder/<set>/<case>/<structure>.case`."""
    found: list[Example] = []
    for path in sorted(folder.glob("*/*/*.case")):
        spacing = Case.of_bytes(path.read_bytes()).entry.spacing
        set_name, case = path.parts[-3:-1]
        found.append(Example(set_name, case, path.stem, path.parent, spacing))
    return found


def several(cases: Sequence[LabelledCase], least: int = 10) -> list[LabelledCase]:
    """Return the cases of sets in which a structure may be remembered from others."""
    sizes = Counter(case.set_name for case in cases)
    return [case for case in cases if sizes[case.set_name] >= least]


def prepare(
    data: Path,
    cases: Sequence[LabelledCase],
    out: Path,
    predictor: Any,
    tell: Callable[[int, int], object],
) -> None:
    """Cache what the encoder sees of labelled cases; what is there already is not done again."""
    for number, case in enumerate(cases):
        if case.image is not None:
            home = out / case.set_name / case.name
            _cache(home, predictor, partial(_of_scan, data, case, case.image))
        tell(number + 1, len(cases))


PAINTED = 200
"""Scans painted of label maps, so that a reader knows more than the sets of many patients show."""

_HEADS, _OTHERS = "painted heads", "painted bodies"
# Share of the painted scans that are of label maps without names, and structures kept of each.
_UNNAMED = 0.3
_OF_EACH = 8


def prepare_painted(
    data: Path,
    out: Path,
    predictor: Any,
    tell: Callable[[int, int], object],
    count: int = PAINTED,
    size: int = SIZE,
) -> None:
    """Cache what the encoder sees of label maps that are painted as scans of other patients.

    The same structure of all maps whose values have names is one group, so that anatomies differ
    too. Without label maps there is nothing to paint.
    """
    maps = label_map_cases(data)
    if not maps:
        return
    names = {case.set_name: label_names(data, case.set_name) for case in maps}
    for number in range(count):
        rng = np.random.default_rng((3, number))
        unnamed = rng.random() < _UNNAMED
        those = [case for case in maps if (not names[case.set_name]) == unnamed] or maps
        case = those[rng.integers(len(those))]
        known = names[case.set_name]
        home = out / (_OTHERS if known else _HEADS) / f"{number:04d}"
        _cache(home, predictor, partial(_of_map, case, known, number, size, rng))
        tell(number + 1, count)


def _of_scan(data: Path, case: LabelledCase, image: Path) -> _Seen:
    volume = read_volume(image)
    return volume, structures(data, case, volume)


def _of_map(
    case: LabelledCase, names: Mapping[int, str], number: int, size: int, rng: np.random.Generator
) -> _Seen:
    volume, found = paint(case, names, number, size)
    chosen = rng.permutation(sorted(found))[:_OF_EACH]
    return volume, {str(name): found[str(name)] for name in chosen}


def _cache(home: Path, predictor: Any, see: Callable[[], _Seen]) -> None:
    """Keep what the encoder sees of the structures of a case, once."""
    done = home / "done"
    if done.exists():
        return
    home.mkdir(parents=True, exist_ok=True)
    volume, masks = see()
    once = SeenOnce(predictor)
    for name, mask in masks.items():
        _keep(home, name, volume, mask, once, home.name)
    done.touch()


def structures(data: Path, case: LabelledCase, volume: Volume) -> Mapping[str, Mask]:
    """Return the structures of a case by name; where all are parts of one, the whole as well.

    So they are where all names begin with the same word.
    """
    labels = read_labels(case.labels, volume).labels
    names = {value: name for value, name in label_names(data, case.set_name).items() if value}
    masks = {name: labels == value for value, name in names.items()}
    wholes = {name.split()[0] for name in masks}
    if len(masks) > 1 and len(wholes) == 1:
        masks[wholes.pop()] = np.isin(labels, list(names))
    return {
        name: Mask.of_volume(mask)
        for name, mask in masks.items()
        if np.count_nonzero(mask) >= _SMALLEST
    }


class SeenOnce:
    """A predictor that encodes no crop of a case twice; nothing is kept for memory attention."""

    memory_layer = None

    def __init__(self, predictor: Any) -> None:
        self._predictor = predictor
        self._encoded: dict[int, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._predictor, name)

    def encode(self, image: Any) -> Any:
        """Encode a crop, or return what was made of it before."""
        key = zlib.crc32(np.asarray(image).tobytes())
        if key not in self._encoded:
            self._encoded[key] = self._predictor.encode(image)
        return self._encoded[key]


def _keep(home: Path, name: str, volume: Volume, mask: Mask, predictor: Any, case: str) -> None:
    middle = middle_of(mask, volume)
    policy = CropPolicy.of(volume, predictor)
    crop = policy.at(middle, policy.spacing_to_remember(mask.box))
    # A reader reads what comes of the fitting crop; what cases are found by would cost two more.
    made = remembered_case(predictor, volume, (crop, crop, crop), mask, name)
    raw = crop.extract(volume.voxels, floor=volume.intensity_floor)
    seen = predictor.encode(predictor.normalise(raw, crop.inside))
    truth = crop.resample_mask(mask.box, mask.voxels, 2)
    found = Box.of_mask(truth > 0)
    if found is None:
        return
    box = found.padded(2 * _MARGIN).clipped(truth.shape)
    start = np.array(box.start) // 4 * 4
    stop = -(-np.array(box.stop) // 4) * 4
    middle_features, coarse_features, kept = (
        _part(grid, start // n, stop // n)
        for grid, n in zip((*predictor.features(seen), truth), (2, 4, 1), strict=True)
    )
    clicks = crop.to_crop(_clicks(mask, middle, zlib.crc32(f"{case} {name}".encode())))
    arrays = {
        "middle": middle_features,
        "coarse": coarse_features,
        "truth": kept,
        "start": np.ascontiguousarray(start // 2),
        "clicks": np.ascontiguousarray(clicks, dtype=np.float32),
    }
    (home / f"{name}.case").write_bytes(made.to_bytes())
    save_file(arrays, home / f"{name}.example")


def _part(
    grid: NDArray[Any], start: NDArray[np.int64], stop: NDArray[np.int64]
) -> NDArray[np.float16]:
    slices = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
    return np.ascontiguousarray(grid[slices], dtype=np.float16)


def _clicks(mask: Mask, middle: Sequence[int], seed: int) -> NDArray[np.float64]:
    inside = np.argwhere(mask.voxels) + mask.box.start
    drawn = np.random.default_rng(seed).integers(len(inside), size=CLICKS - 1)
    return np.concatenate([[middle], inside[drawn]]).astype(np.float64)
