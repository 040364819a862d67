"""What an adapter is worth: Dice without a prompt and after clicks, plain, remembered, adapted.

usage: python benchmarks/adapt.py DATA OUT [--structures NAME ...] [--sizes 5 20] [--kinds ...] ...

DATA is a folder with `split.json` and `labelled/`. Adapters are fitted on cases of `train`, and
asked are those of `validation`; with --tune the latter are other cases of `train`. Everything
measured is a line in OUT/trials.jsonl, and the same command goes on where it stopped; it writes
OUT/table.md, and OUT/adapt.png where matplotlib is installed.

One more structure, "neck bones", is drawn here where the spinal cord is labelled: bone around it.
No model of ours was ever shown it as a structure.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from napari_fastsam3d.evaluation.dataset import LabelledCase, labelled_cases
from napari_fastsam3d.evaluation.metrics import hausdorff_95
from napari_fastsam3d.evaluation.simulator import correcting_click
from napari_fastsam3d.geometry import Volume, read_volume
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.accepted import accepted_case
from napari_fastsam3d.inference.automatic import AutomaticStructure, segment_automatically
from napari_fastsam3d.inference.prompt import Point, Prompt
from napari_fastsam3d.inference.recall_prompts import FromMemory, WithAdapter
from napari_fastsam3d.inference.segmenter import Replay
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.memory.recall import Recall
from napari_fastsam3d.model import load_model
from napari_fastsam3d.model.adaptation import KINDS, AdapterConfig
from napari_fastsam3d.model.adapter import Adapter
from napari_fastsam3d.training.adaptation.cases import TeachingCase
from napari_fastsam3d.training.adaptation.outcome import TeachingOptions
from napari_fastsam3d.training.adaptation.teaching import Teaching
from napari_fastsam3d.training.reader_examples import SeenOnce, structures

CLICKS = (0, 1, 3, 5)

# Hounsfield units from which on it is bone, mm from the spinal cord within which it is taken, and
# voxels that a structure must have.
_BONE, _NEAR, _SMALLEST = 200, 25.0, 50


@dataclass(frozen=True)
class Row:
    """One structure of one case: Dice and HD95 in mm after each of `CLICKS`; None is not made."""

    case: str
    structure: str
    way: str
    cases: int
    dice: tuple[float | None, ...]
    hd95: tuple[float | None, ...]

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What tells it from others."""
        return self.case, self.structure, self.way, self.cases


class Labelled:
    """A case with one structure, read when it is asked for."""

    def __init__(self, data: Path, case: LabelledCase, name: str) -> None:
        self.data, self.case, self.name = data, case, name

    def __call__(self) -> tuple[Volume, Mask]:
        """Return the scan and the mask."""
        volume = read_volume(self.case.image or self.case.labels)
        return volume, shown(self.data, self.case, volume, self.name)[self.name]


def shown(data: Path, case: LabelledCase, volume: Volume, name: str) -> dict[str, Mask]:
    """Return the labelled structures of a case, and the bones of the neck if asked for."""
    labelled = dict(structures(data, case, volume))
    if name == "neck bones" and "SpinalCord" in labelled:
        bones = _neck_bones(volume, labelled["SpinalCord"])
        if bones.sum() >= _SMALLEST:
            labelled[name] = Mask.of_volume(bones)
    return labelled


def _neck_bones(volume: Volume, cord: Mask) -> NDArray[np.bool_]:
    """Bone within 25 mm of the spinal cord, closed by a voxel; its largest piece."""
    apart = np.ones(volume.shape, bool)
    apart[cord.box.slices] = ~cord.voxels
    near = ndimage.distance_transform_edt(apart, volume.spacing) < _NEAR
    parts, count = ndimage.label(ndimage.binary_closing((volume.voxels > _BONE) & near) & near)
    return parts == 1 + np.argmax(np.bincount(parts.ravel())[1:]) if count else near & ~near


def cases_of(given: Any, part: str, name: str, count: int, step: int = 0) -> list[LabelledCase]:
    found = []
    cases = [c for c in labelled_cases(given.data, part) if c.set_name in given.sets]
    order = np.random.default_rng(0).permutation(len(cases))
    for at in order[step:]:
        volume = read_volume(cases[at].image)
        if name in shown(given.data, cases[at], volume, name):
            found.append(cases[at])
        if len(found) == count:
            break
    return found


def fitted(given: Any, name: str, size: int, kind: Any, predictor: Any) -> tuple[Adapter, float]:
    """Fit an adapter, or read it; gives the minutes of processor time that it took."""
    home = given.out / f"{name}-{size}-{kind}".replace(" ", "-")
    path, times = home / "adapter.safetensors", home / "seconds.txt"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        reads = [Labelled(given.data, c, name) for c in cases_of(given, "train", name, size)]
        cases = [TeachingCase(r.case.name, r.case.name, r, r) for r in reads]
        options = TeachingOptions(AdapterConfig(kind), steps=given.steps, measured=False)
        began = time.process_time()
        Teaching(name, cases, predictor, options, home).run().adapter.save(path)
        earlier = float(times.read_text()) if times.exists() else 0.0
        times.write_text(str(earlier + time.process_time() - began))
    return Adapter.read(path), float(times.read_text()) / 60


def bank_of(given: Any, name: str, size: int, predictor: Any) -> MemoryBank:
    bank = MemoryBank(given.out / f"bank-{name}-{size}".replace(" ", "-"))
    if len(bank.list()) < size:
        for case in cases_of(given, "train", name, size)[len(bank.list()) :]:
            volume, mask = Labelled(given.data, case, name)()
            bank.add(accepted_case(SeenOnce(predictor), volume, mask, name))
    return bank


def clicked(volume: Volume, truth: Mask, replay: Replay, first: list[Prompt], mask: Mask) -> Any:
    """Click up to the last of `CLICKS`; `mask` is what is there without a click."""
    shown, prompts = [mask], [*first]
    for number in range(1, max(CLICKS) + 1):
        index, positive = correcting_click(mask, truth, volume.spacing)
        prompts.append(Point(number, index, positive))
        mask = replay.step(prompts).mask
        shown.append(mask)
    return [shown[n] for n in CLICKS]


def scored(masks: list[Mask], truth: Mask, volume: Volume) -> tuple[tuple, tuple]:
    dice = [None if m.is_empty else round(m.agreement(truth), 4) for m in masks]
    far = [None if m.is_empty else round(hausdorff_95(m, truth, volume.spacing), 2) for m in masks]
    return tuple(dice), tuple(far)


def asked(given: Any, name: str, predictor: Any, done: set) -> Iterator[Row]:
    part, step = ("train", max(given.sizes)) if given.tune else ("validation", 0)
    queries = cases_of(given, part, name, given.queries, step)
    plans = [("plain", 0), ("memory", max(given.sizes))]
    plans += [(kind, size) for kind in given.kinds for size in given.sizes]
    plans += [(f"{kind} with memory", max(given.sizes)) for kind in given.kinds[:1]]
    for way, size in plans:
        if way in given.without:
            continue
        left = [c for c in queries if (c.name, name, way, size) not in done]
        adapter = bank = None
        if left and way.partition(" ")[0] in KINDS:
            adapter, _ = fitted(given, name, size, way.partition(" ")[0], predictor)
        if left and "memory" in way:
            bank = bank_of(given, name, size, predictor)
        for case in left:
            yield one(given, name, case, way, size, predictor, adapter, bank)


def one(
    given: Any,
    name: str,
    case: LabelledCase,
    way: str,
    size: int,
    predictor: Any,
    adapter: Adapter | None,
    bank: MemoryBank | None,
) -> Row:
    volume, truth = Labelled(given.data, case, name)()
    once = SeenOnce(predictor)
    recall = None if bank is None else Recall(bank, once, volume)
    first: list[Prompt] = [] if bank is None else [FromMemory("reader", name)]
    mask = Mask.empty()
    if adapter is not None:
        own = AutomaticStructure(name, adapter.fitted_to(predictor), adapter.spacing)
        mask = segment_automatically(volume, predictor, [own])[0].mask
        first.append(WithAdapter(name, adapter.identity))
    replay = Replay(volume, predictor, recall=recall, adapters=lambda _: adapter)
    masks = clicked(volume, truth, replay, first, Mask.empty())
    masks[0] = mask
    return Row(case.name, name, way, size, *scored(masks, truth, volume))


def table(rows: list[Row], minutes: dict[tuple[str, str, int], float]) -> str:
    """Mean Dice and HD95 by structure, way and number of cases."""
    head = ["structure", "way", "fitted on", "asked", *(f"Dice {n}" for n in CLICKS)]
    head += [*(f"HD95 {n}" for n in CLICKS), "minutes of fitting"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    groups: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.structure, row.way, row.cases), []).append(row)
    for key, group in groups.items():
        cells = [key[0], key[1], str(key[2] or ""), str(len(group))]
        cells += [_mean([r.dice[n] for r in group], 3) for n in range(len(CLICKS))]
        cells += [_mean([r.hd95[n] for r in group], 1) for n in range(len(CLICKS))]
        cells.append(f"{minutes[key]:.1f}" if key in minutes else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _mean(values: list[float | None], digits: int) -> str:
    known = [value for value in values if value is not None]
    return f"{np.mean(known):.{digits}f}" if known else ""


def draw(rows: list[Row], path: Path) -> None:
    """Draw mean Dice by clicks of each structure, by way."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(row.structure for row in rows))
    ways = list(dict.fromkeys((row.way, row.cases) for row in rows))
    columns = min(len(names), 4)
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(3.6 * columns, 3.2 * lines), layout="constrained")
    for number, name in enumerate(names, start=1):
        axis = figure.add_subplot(lines, columns, number)
        for way, size in dict.fromkeys((r.way, r.cases) for r in rows if r.structure == name):
            group = [r for r in rows if (r.structure, r.way, r.cases) == (name, way, size)]
            means = [np.mean([r.dice[n] or 0 for r in group]) for n in range(len(CLICKS))]
            start = int(way in ("plain", "memory"))
            label = way if not size else f"{way}, {size} cases"
            style = {"color": f"C{ways.index((way, size))}", "label": label}
            axis.plot(CLICKS[start:], means[start:], marker="o", markersize=3, **style)
        axis.set(title=name, xlabel="clicks", ylabel="Dice", ylim=(0.2, 0.95), xticks=CLICKS)
        axis.grid(alpha=0.3)
    lines_of = {line.get_label(): line for axis in figure.axes for line in axis.get_lines()}
    figure.legend(lines_of.values(), lines_of.keys(), loc="outside lower center", fontsize=8)
    figure.savefig(path, dpi=80)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tune", action="store_true", help="ask training cases, not validation")
    parser.add_argument("--sets", nargs="+", default=["msd_hippocampus"])
    parser.add_argument("--structures", nargs="+", default=["hippocampus"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[20, 5])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS)[::-1])
    parser.add_argument("--without", nargs="+", default=[], help="ways to leave out")
    parser.add_argument("--queries", type=int, default=12, help="cases asked")
    parser.add_argument("--steps", type=int, default=TeachingOptions().steps)
    parser.add_argument("--model", default="default")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    predictor = load_model(given.model, device="cpu")
    path = given.out / "trials.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    rows = [_row(json.loads(line)) for line in lines]
    with path.open("a") as out:
        for name in given.structures:
            for row in asked(given, name, predictor, {r.key for r in rows}):
                rows.append(row)
                print(json.dumps(asdict(row)), file=out, flush=True)
    minutes = {}
    for file in given.out.glob("*/seconds.txt"):
        for row in rows:
            if file.parent.name == f"{row.structure}-{row.cases}-{row.way}".replace(" ", "-"):
                minutes[row.structure, row.way, row.cases] = float(file.read_text()) / 60
    (given.out / "table.md").write_text(table(rows, minutes) + "\n")
    print(table(rows, minutes))
    draw(rows, given.out / "adapt.png")


def _row(told: dict[str, Any]) -> Row:
    return Row(**{**told, "dice": tuple(told["dice"]), "hd95": tuple(told["hd95"])})


if __name__ == "__main__":
    main()
