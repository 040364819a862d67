"""What remembered cases are worth: Dice after each click without a memory and with each way.

usage: python benchmarks/memory.py DATA OUT [--tune] [--sizes 5 20] [--queries 15] ...

DATA is a folder with `split.json` and `labelled/`. Cases of `train` are remembered, those of
`validation` are asked; with --tune one half of `train` is remembered and the other asked, which is
how settings are chosen. Everything measured is a line in OUT/trials.jsonl, and the same command
goes on where it stopped.
"""

import argparse
import json
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track

from napari_fastsam3d.evaluation.dataset import LabelledCase, label_names, labelled_cases
from napari_fastsam3d.evaluation.simulator import correcting_click
from napari_fastsam3d.geometry import Volume, read_labels, read_volume
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.accepted import accepted_case
from napari_fastsam3d.inference.prompt import Point
from napari_fastsam3d.inference.segmenter import Replay
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.memory.recall import Recall
from napari_fastsam3d.model import load_model

SETS = ("msd_hippocampus", "openkbp_hn")
WHOLE = "hippocampus"
SMALLEST = 200


@dataclass(frozen=True)
class Row:
    """One structure of one case, clicked, with a random bank of so many other cases."""

    case: str
    structure: str
    way: str
    banked: int
    draw: int
    dice: tuple[float, ...]
    recalled: int

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells it from others."""
        return (self.case, self.structure, self.way, self.banked, self.draw)


class Cached:
    """A predictor that encodes no crop of a case twice."""

    def __init__(self, predictor: Any) -> None:
        self._predictor = predictor
        self._encoded: dict[int, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._predictor, name)

    def encode(self, image: torch.Tensor) -> Any:
        """Encode a crop, or remember it where no memory attention is at work."""
        if self._predictor.memory_layer.attention.__name__ != "attend":
            return self._predictor.encode(image)
        key = zlib.crc32(image.numpy())
        if key not in self._encoded:
            self._encoded[key] = self._predictor.encode(image)
        return self._encoded[key]


def structures(
    data: Path, case: LabelledCase, wanted: set[str]
) -> Iterator[tuple[str, Volume, Mask]]:
    volume = read_volume(case.image)
    labels = read_labels(case.labels, volume).labels
    masks = {
        name: labels == value for value, name in label_names(data, case.set_name).items() if value
    }
    if case.set_name == "msd_hippocampus":
        masks[WHOLE] = labels > 0
    for name, mask in masks.items():
        if np.count_nonzero(mask) >= SMALLEST and (not wanted or name in wanted):
            yield name, volume, Mask.of_volume(mask)


def remember(
    pool: MemoryBank, data: Path, cases: list[LabelledCase], predictor: Any, given: Any
) -> dict:
    """Remember every structure of the cases in one pool; gives ids by structure."""
    table = Path(given.out) / "pool.json"
    known = json.loads(table.read_text()) if table.exists() else {}
    for case in track(cases, "remembering"):
        if case.name in known:
            continue
        ids = {}
        for name, volume, mask in structures(data, case, set(given.structures)):
            added = accepted_case(predictor, volume, mask, name)
            pool.add(added)
            ids[name] = added.entry.id
        known[case.name] = ids
        table.write_text(json.dumps(known))
    return known


def drawn(pool: MemoryBank, ids: list[str], folder: Path) -> MemoryBank:
    bank = MemoryBank(folder)
    there = {entry.id for entry in bank.list()}
    for identity in ids:
        if identity not in there:
            bank.add(pool.get(identity))
    return bank


def clicked(
    volume: Volume, truth: Mask, predictor: Any, recall: Recall | None, name: str, clicks: int
) -> tuple[tuple[float, ...], int]:
    replay = Replay(volume, predictor, recall=recall)
    mask, prompts, dice, recalled = Mask.empty(), [], [], 0
    for number in range(clicks):
        index, positive = correcting_click(mask, truth, volume.spacing)
        prompts.append(Point(number + 1, index, positive))
        step = replay.step(prompts, name)
        mask = step.mask
        recalled = recalled or len(step.recalled)
        dice.append(round(mask.agreement(truth), 4))
    return tuple(dice), recalled


def trials(
    data: Path, queries: list[LabelledCase], banks: dict, predictor: Any, given: Any, done: set
) -> Iterator[Row]:
    for case in track(queries, "asking"):
        cached = Cached(predictor)
        for name, volume, truth in structures(data, case, set(given.structures)):
            for way in given.ways:
                for (size, draw), bank in (
                    banks.items() if way != "none" else {(0, 0): None}.items()
                ):
                    if (case.name, name, way, size, draw) in done:
                        continue
                    recall = bank and Recall(bank, cached, volume, way)
                    told = clicked(volume, truth, cached, recall, name, given.clicks)
                    yield Row(case.name, name, way, size, draw, *told)


def table(rows: list[Row]) -> str:
    """Mean Dice over cases, and over draws with their spread, by structure, way and bank."""
    lines = ["| structure | way | bank | cases | 1 | 3 | 5 | spread at 1 |", "|---|" + "---|" * 7]
    groups: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.structure, row.way, row.banked), []).append(row)
    for (structure, way, size), group in sorted(groups.items()):
        by_draw = [
            np.mean([row.dice for row in group if row.draw == draw], axis=0)
            for draw in sorted({row.draw for row in group})
        ]
        mean, spread = np.mean(by_draw, axis=0), np.ptp([each[0] for each in by_draw])
        at = [f"{mean[n - 1]:.3f}" if n <= len(mean) else "" for n in (1, 3, 5)]
        cases = len({row.case for row in group})
        cells = [structure, way, size, cases, *at, f"{spread:.3f}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tune", action="store_true", help="ask training cases, not validation")
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--structures", nargs="+", default=[], help="names; by default all")
    parser.add_argument("--ways", nargs="+", default=["none", "prior", "published"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[1, 5, 20, 100])
    parser.add_argument("--draws", type=int, default=3, help="random banks of each size")
    parser.add_argument("--queries", type=int, help="cases asked of each set; by default all")
    parser.add_argument("--clicks", type=int, default=5)
    parser.add_argument("--model", default="default")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    predictor = load_model(given.model, device="cpu")
    train = [c for c in labelled_cases(given.data, "train") if c.set_name in given.sets]
    asked = train[1::2] if given.tune else labelled_cases(given.data, "validation")
    remembered = train[::2] if given.tune else train
    queries = [
        case
        for name in given.sets
        for case in [c for c in asked if c.set_name == name][: given.queries]
    ]
    order = np.random.default_rng(0)
    draws = {
        (size, draw): [
            case
            for name in given.sets
            for case in order.permutation([c for c in remembered if c.set_name == name])[:size]
        ]
        for size in given.sizes
        for draw in range(given.draws)
    }
    needed = {case.name: case for cases in draws.values() for case in cases}
    pool = MemoryBank(given.out / "pool", limit=1 << 40)
    ids = remember(pool, given.data, [*needed.values()], predictor, given)
    banks = {
        key: drawn(
            pool,
            [each for case in cases for each in ids[case.name].values()],
            given.out / f"bank-{key[0]}-{key[1]}",
        )
        for key, cases in draws.items()
    }
    path = given.out / "trials.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    rows = [Row(**{**json.loads(line), "dice": tuple(json.loads(line)["dice"])}) for line in lines]
    with path.open("a") as out:
        for row in trials(given.data, queries, banks, predictor, given, {r.key for r in rows}):
            rows.append(row)
            print(json.dumps(asdict(row)), file=out, flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
