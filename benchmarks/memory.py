"""What remembered cases are worth: Dice after each click without a memory and with each way.

usage: python benchmarks/memory.py DATA OUT [--tune] [--sizes 5 20] [--queries 15] ...

DATA is a folder with `split.json` and `labelled/`. Cases of `train` are remembered, those of
`validation` are asked; with --tune one half of `train` is remembered and the other asked, which is
how settings are chosen. Objects are called by their names; "others" are banks of the other sets
alone, and "unnamed" objects have none. Everything measured is a line in OUT/trials.jsonl, and the
same command goes on where it stopped; it writes OUT/table.md, and OUT/memory.png where matplotlib
is installed.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track

from napari_fastsam3d.evaluation.dataset import LabelledCase, labelled_cases
from napari_fastsam3d.evaluation.simulator import correcting_click
from napari_fastsam3d.geometry import Volume, read_volume
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.accepted import accepted_case
from napari_fastsam3d.inference.prompt import Point, Prompt
from napari_fastsam3d.inference.recall_prompts import FindPrompt, FromMemory
from napari_fastsam3d.inference.segmenter import Replay
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.memory.recall import Recall
from napari_fastsam3d.model import load_model
from napari_fastsam3d.training.reader_examples import SeenOnce, structures

SETS = ("msd_hippocampus", "openkbp_hn")
GOOD = 0.8


@dataclass(frozen=True)
class Row:
    """One structure of one case, clicked, with a random bank of so many other cases.

    A dice of no click comes first where the structure was looked for.
    """

    case: str
    structure: str
    way: str
    bank: str
    banked: int
    draw: int
    dice: tuple[float, ...]
    recalled: int

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells it from others."""
        return (self.case, self.structure, self.way, self.bank, self.banked, self.draw)


class Recording(SeenOnce):
    """A predictor that encodes no crop twice but where memory attention is at work."""

    @property
    def memory_layer(self) -> Any:
        """That of the predictor: for the published way, and never for a crop seen before."""
        return self._predictor.memory_layer

    def encode(self, image: Any) -> Any:
        """Encode a crop, or remember it where no memory attention is at work."""
        if self.memory_layer.attention.__name__ != "attend":
            return self._predictor.encode(image)
        return super().encode(image)


def remember(pool: MemoryBank, cases: list[LabelledCase], predictor: Any, given: Any) -> dict:
    """Remember every structure of the cases in one pool; gives ids by case and structure."""
    path = Path(given.out) / "pool.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    for case in track(cases, "remembering"):
        if case.name in known:
            continue
        ids = {}
        volume = read_volume(case.image)
        once = Recording(predictor) if "published" in given.ways else SeenOnce(predictor)
        for name, mask in structures(given.data, case, volume).items():
            if not given.structures or name in given.structures:
                added = accepted_case(once, volume, mask, name)
                pool.add(added)
                ids[name] = added.entry.id
        known[case.name] = ids
        path.write_text(json.dumps(known))
    return known


def drawn(pool: MemoryBank, ids: list[str], folder: Path) -> MemoryBank:
    bank = MemoryBank(folder)
    there = {entry.id for entry in bank.list()}
    for identity in ids:
        if identity not in there:
            bank.add(pool.get(identity))
    return bank


def clicked(
    volume: Volume, truth: Mask, predictor: Any, recall: Recall | None, first: list, clicks: int
) -> tuple[tuple[float, ...], int]:
    replay = Replay(volume, predictor, recall=recall)
    mask, prompts, dice, recalled = Mask.empty(), [*first], [], 0
    if any(isinstance(prompt, FindPrompt) for prompt in prompts):
        mask = replay.step(prompts).mask
        dice.append(round(mask.agreement(truth), 4))
    for number in range(clicks):
        index, positive = correcting_click(mask, truth, volume.spacing)
        prompts.append(Point(number + 1, index, positive))
        step = replay.step(prompts)
        mask = step.mask
        recalled = recalled or len(step.recalled)
        dice.append(round(mask.agreement(truth), 4))
    return tuple(dice), recalled


def asked(way: str, kind: str, name: str) -> list[Prompt]:
    if way == "find":
        return [FindPrompt(1, name)]
    return [] if way == "none" else [FromMemory(way, None if kind == "unnamed" else name)]  # pyright: ignore[reportArgumentType]


def trials(
    queries: list[LabelledCase],
    banks: dict,
    known: dict[str, int],
    predictor: Any,
    given: Any,
    done: set,
) -> Iterator[Row]:
    for case in track(queries, "asking"):
        once = Recording(predictor)
        volume = read_volume(case.image)
        for name, truth in structures(given.data, case, volume).items():
            if given.structures and name not in given.structures:
                continue
            for way in given.ways:
                for (kind, size, draw), bank in banks_for(
                    case, way, banks, known[case.set_name], given
                ):
                    if (case.name, name, way, kind, size, draw) in done:
                        continue
                    recall = None if bank is None else Recall(bank, once, volume)
                    told = clicked(
                        volume, truth, once, recall, asked(way, kind, name), given.clicks
                    )
                    yield Row(case.name, name, way, kind, size, draw, *told)


def banks_for(
    case: LabelledCase, way: str, banks: dict, known: int, given: Any
) -> Iterator[tuple[tuple, Any]]:
    """Give the banks in which a way is tried: all for the reader, the largest asked for others."""
    if way == "none":
        yield ("none", 0, 0), None
        return
    main = given.main
    for (sets, size, draw), bank in banks.items():
        if size > known:  # such a bank holds no more than a smaller one
            continue
        if sets == "all" and (way == "reader" or (size == main and draw == 0)):
            yield ("named", size, draw), bank
            if way == "reader" and size == main and draw == 0:
                yield ("unnamed", size, draw), bank
        elif sets == f"not {case.set_name}" and way == "reader" and draw == 0:
            yield ("others", size, draw), bank


def clicks_to(dice: tuple[float, ...], good: float = GOOD) -> int:
    """Clicks until a mask is good; one more than were made where it never was."""
    return next((n for n, d in enumerate(dice, start=1) if d >= good), len(dice) + 1)


def table(rows: list[Row]) -> str:
    """Mean Dice over cases, and over draws with their spread, by structure, way and bank."""
    head = ["structure", "way", "bank", "cases", "objects", "0", "1", "3", "5", "spread at 1"]
    head += [f"clicks to {GOOD}", "recalled"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    groups: dict[tuple[str, str, str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.structure, row.way, row.bank, row.banked), []).append(row)
    for (structure, way, kind, size), group in sorted(groups.items()):
        lines.append("| " + " | ".join([structure, way, kind, str(size), *_cells(group)]) + " |")
    return "\n".join(lines)


def _cells(group: list[Row]) -> list[str]:
    found = group[0].way == "find"
    by_draw = [
        np.mean([row.dice for row in group if row.draw == draw], axis=0)
        for draw in sorted({row.draw for row in group})
    ]
    mean = np.mean(by_draw, axis=0)
    first = f"{mean[0]:.3f}" if found else ""
    mean = mean[1:] if found else mean
    at = [f"{mean[n - 1]:.3f}" if n <= len(mean) else "" for n in (1, 3, 5)]
    spread = f"{np.ptp([each[int(found)] for each in by_draw]):.3f}" if len(by_draw) > 1 else ""
    clicks = np.mean([clicks_to(row.dice[int(found) :]) for row in group])
    recalled = np.mean([row.recalled > 0 for row in group])
    objects = len({row.case for row in group})
    return [str(objects), first, *at, spread, f"{clicks:.2f}", f"{recalled:.2f}"]


def draw(rows: list[Row], path: Path) -> None:
    """Draw mean Dice by click of each structure, without a memory and with banks of each size.

    Of each structure those cases are drawn that were asked with all sizes.
    """
    from matplotlib.figure import Figure

    kept = [row for row in rows if row.way in ("none", "reader") and row.bank in ("none", "named")]
    names = sorted({row.structure for row in kept})
    columns = min(5, len(names))
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(3.6 * columns, 3.1 * lines), layout="constrained")
    for number, name in enumerate(names, start=1):
        axis = figure.add_subplot(lines, columns, number)
        groups: dict[int, list[Row]] = {}
        for row in kept:
            if row.structure == name:
                groups.setdefault(row.banked, []).append(row)
        shared = set.intersection(*({row.case for row in group} for group in groups.values()))
        for size, group in sorted(groups.items()):
            mean = np.mean([row.dice for row in group if row.case in shared], axis=0)
            style = {} if size else {"color": "black", "linestyle": "--"}
            label = f"{size} remembered" if size else "no memory"
            axis.plot(range(1, len(mean) + 1), mean, marker="o", markersize=3, label=label, **style)
        axis.set(title=f"{name} ({len(shared)})", xlabel="clicks", ylabel="Dice", ylim=(0.2, 0.9))
        axis.grid(alpha=0.3)
    figure.axes[-1].legend(loc="lower right")
    figure.savefig(path, dpi=80)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tune", action="store_true", help="ask training cases, not validation")
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--structures", nargs="+", default=[], help="names; by default all")
    parser.add_argument("--ways", nargs="+", default=["none", "reader", "prior", "published"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[1, 5, 20, 100])
    parser.add_argument("--main", type=int, default=20, help="size in which all ways are tried")
    parser.add_argument("--draws", type=int, default=3, help="random banks of each size")
    parser.add_argument("--cases", type=int, nargs="+", help="that may be remembered, of each set")
    parser.add_argument("--queries", type=int, nargs="+", help="cases asked of each set, or all")
    parser.add_argument("--clicks", type=int, default=5)
    parser.add_argument("--model", default="default")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    predictor = load_model(given.model, device="cpu")
    train = [c for c in labelled_cases(given.data, "train") if c.set_name in given.sets]
    asked_of = train[1::2] if given.tune else labelled_cases(given.data, "validation")
    remembered = first_of_each(train[::2] if given.tune else train, given.cases, given.sets)
    queries = first_of_each(asked_of, given.queries, given.sets)
    plans = plan(remembered, given)
    known = Counter(case.set_name for case in remembered)
    needed = {case.name: case for cases in plans.values() for case in cases}
    pool = MemoryBank(given.out / "pool", limit=1 << 40)
    ids = remember(pool, [*needed.values()], predictor, given)
    banks = {
        key: drawn(
            pool,
            [each for case in cases for each in ids[case.name].values()],
            given.out / "-".join(map(str, key)).replace(" ", "-"),
        )
        for key, cases in plans.items()
    }
    path = given.out / "trials.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    rows = [Row(**{**json.loads(line), "dice": tuple(json.loads(line)["dice"])}) for line in lines]
    with path.open("a") as out:
        for row in trials(queries, banks, known, predictor, given, {r.key for r in rows}):
            rows.append(row)
            print(json.dumps(asdict(row)), file=out, flush=True)
    (given.out / "table.md").write_text(table(rows) + "\n")
    print(table(rows))
    draw(rows, given.out / "memory.png")


def first_of_each(
    cases: list[LabelledCase], counts: list[int] | None, sets: list[str]
) -> list[LabelledCase]:
    """Return so many cases of each set, the last number for all sets that have none; or all."""
    each = [[case for case in cases if case.set_name == name] for name in sets]
    most = [None] if counts is None else counts
    return [case for n, of in enumerate(each) for case in of[: most[min(n, len(most) - 1)]]]


def plan(cases: list[LabelledCase], given: Any) -> dict[tuple[str, int, int], list[LabelledCase]]:
    """Draw which cases each bank remembers: of each set so many, and of all sets but one."""
    each = {name: [c for c in cases if c.set_name == name] for name in given.sets}
    plans = {}
    for size in given.sizes:
        for number in range(given.draws):
            order = np.random.default_rng((size, number))
            chosen = {
                name: [of[n] for n in order.permutation(len(of))[:size]]
                for name, of in each.items()
            }
            plans["all", size, number] = [case for of in chosen.values() for case in of]
            if size == given.main and number == 0:
                for name in given.sets:
                    others = [c for other, of in chosen.items() if other != name for c in of]
                    plans[f"not {name}", size, number] = others
    return plans


if __name__ == "__main__":
    main()
