"""Train the reader of a memory: episodes of one case that is asked about and others remembered."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from napari_fastsam3d.errors import TrainingError
from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.memory.reader import Reader, Reading
from napari_fastsam3d.memory.reading import region, save_reader
from napari_fastsam3d.training.log import append_entry, forget_steps_from
from napari_fastsam3d.training.loss import intersection_over_union, mask_losses
from napari_fastsam3d.training.reader_examples import CLICKS, Example

Tell = Callable[[int, int, float], object]
"""Told the step, of how many, and the IoU of the last ones."""

STEPS = 1600
"""Of four episodes each; about twenty minutes of one core."""

_MOST_CASES = 8
_OTHERS = 0.25
_IN_THE_MIDDLE = 0.5
_MATCH = 0.3
_EPISODES = 4
_RATE, _WARM_UP, _DECAY = 2e-3, 50, 0.02
_KEPT_EVERY = 50
_GATE_EPISODES, _GATE_STEPS = 800, 300
_SIDE = 32


@dataclass(frozen=True)
class Episode:
    """What is asked about, what is remembered, and which of the kept clicks is made."""

    asked: Example
    remembered: tuple[Example, ...]
    click: int
    matches: bool


class Episodes:
    """Draws episodes; the same number gives the same one.

    Parameters
    ----------
    examples : sequence of Example
    held_out : float
        Share of the patients that are asked about in `judged` only, and remembered nowhere.
    """

    def __init__(self, examples: Sequence[Example], held_out: float = 0.12) -> None:
        patients = sorted({(e.set_name, e.case) for e in examples})
        order = np.random.default_rng(0).permutation(len(patients))
        apart = {patients[n] for n in order[: round(held_out * len(patients))]}
        self._learnt = [e for e in examples if (e.set_name, e.case) not in apart]
        self._apart = [e for e in examples if (e.set_name, e.case) in apart]
        self._groups: dict[tuple[str, str], list[Example]] = {}
        for each in self._learnt:
            self._groups.setdefault(each.group, []).append(each)
        self._names = [name for name, of in self._groups.items() if len(of) > _MOST_CASES]
        if len(self._names) < 2:
            raise TrainingError(
                "There are too few cases of the same structures to learn from.",
                f"At least {_MOST_CASES + 1} cases of two structures are needed.",
            )
        self._shares = _shares([(name[0], len(self._groups[name])) for name in self._names])

    @property
    def widths(self) -> tuple[int, int]:
        """Channels of the features at S/4 and S/8."""
        arrays = self._learnt[0].arrays()
        return arrays["middle"].shape[-1], arrays["coarse"].shape[-1]

    def draw(self, number: int, others: float = _OTHERS) -> Episode:
        """Return a training episode; a share of them with cases of others."""
        rng = np.random.default_rng((1, number))
        name = self._names[rng.choice(len(self._names), p=self._shares)]
        asked = self._groups[name][rng.integers(len(self._groups[name]))]
        click = 0 if rng.random() < _IN_THE_MIDDLE else int(rng.integers(1, CLICKS))
        count = int(rng.integers(1, _MOST_CASES + 1))
        return self._with_cases(rng, asked, count, click, rng.random() >= others)

    def judged(self, count: int = 5, matches: bool = True) -> Iterator[Episode]:
        """Give one episode of each structure of the patients that are held out."""
        for number, asked in enumerate(self._apart):
            if asked.group in self._names:
                rng = np.random.default_rng((2, number))
                yield self._with_cases(rng, asked, count, 0, matches)

    def _with_cases(
        self, rng: np.random.Generator, asked: Example, count: int, click: int, matches: bool
    ) -> Episode:
        group = asked.group
        if not matches:
            others = [name for name in self._names if name != group]
            near = [name for name in others if name[0] == group[0]]
            pool = near if near and rng.random() < 0.6 else others
            group = pool[rng.integers(len(pool))]
        of = [
            e for e in self._groups[group] if (e.set_name, e.case) != (asked.set_name, asked.case)
        ]
        chosen = rng.permutation(len(of))[:count]
        return Episode(asked, tuple(of[n] for n in chosen), click, matches)


def _shares(groups: Sequence[tuple[str, int]]) -> NDArray[np.float64]:
    """Give the share of each group of a set and a size: by the roots of its set's and of its own.

    So that a set of many structures does not crowd out those of few.
    """
    sets: dict[str, int] = {}
    for name, size in groups:
        sets[name] = sets.get(name, 0) + size
    own = np.sqrt([size for _, size in groups])
    totals = {n: sum(s for s, (of, _) in zip(own, groups, strict=True) if of == n) for n in sets}
    each = own * [np.sqrt(sets[name]) / totals[name] for name, _ in groups]
    return each / each.sum()


def read_episode(reader: Reader, episode: Episode) -> tuple[Reading, Tensor, float]:
    """Return what a reader makes of an episode, the mask at S/2 there, and how much lies beyond."""
    arrays = episode.asked.arrays()
    cell = 4 * episode.asked.spacing
    cases = [each.remembered().measured_in(cell) for each in episode.remembered]
    point = (arrays["clicks"][episode.click] + 0.5) / 4 - 0.5
    start = arrays["start"]
    i, j, k = start.tolist()
    x, y, z = arrays["middle"].shape[:3]
    box = region(point, cases, _SIDE).intersection(Box((i, j, k), (i + x, j + y, k + z)))
    fine, coarse, half = (
        tuple(
            slice(int((a - o) * f), int((b - o) * f))
            for a, b, o in zip(box.start, box.stop, start, strict=True)
        )
        for f in (1, 0.5, 2)
    )
    axes = [
        torch.arange(a, b, dtype=torch.float32) - float(p)
        for a, b, p in zip(box.start, box.stop, point, strict=True)
    ]
    features = [
        torch.from_numpy(arrays[n][s].astype(np.float32))
        for n, s in (("middle", fine), ("coarse", coarse))
    ]
    truth = torch.from_numpy(arrays["truth"][half].astype(np.float32))
    weights = torch.full((len(cases),), 1 / len(cases))
    reading = reader(*features, axes, cases, weights)
    return reading, truth, float(arrays["truth"].sum(dtype=np.float32)) - float(truth.sum())


def episode_loss(reading: Reading, truth: Tensor, matches: bool) -> Tensor:
    """Give the loss of the gate, and of the mask of a structure that is remembered."""
    target = torch.tensor(float(matches))
    gate = _MATCH * F.binary_cross_entropy_with_logits(reading.match, target)
    if not matches:
        return gate
    return gate + mask_losses(reading.logits[None, None], truth[None, None])[0]


def dice_of(reading: Reading, truth: Tensor, beyond: float = 0.0) -> float:
    """Give the Dice of the thresholded reading, what lies beyond its region missed."""
    got, wanted = reading.logits > 0, truth > 0.5
    both = 2 * int((got & wanted).sum())
    return both / max(1.0, float(got.sum() + wanted.sum()) + beyond)


@torch.inference_mode()
def judge(reader: Reader, episodes: Episodes, count: int = 5) -> dict[str, Any]:
    """Measure a reader on patients that it did not learn from.

    Returns
    -------
    dict
        Mean Dice by structure, and how often the gate is right about matches and others.
    """
    dice: dict[str, list[float]] = {}
    opened: list[bool] = []
    for episode in episodes.judged(count):
        reading, truth, beyond = read_episode(reader, episode)
        dice.setdefault(episode.asked.structure, []).append(dice_of(reading, truth, beyond))
        opened.append(bool(reading.match > 0))
    shut = [
        bool(read_episode(reader, episode)[0].match <= 0)
        for episode in episodes.judged(count, matches=False)
    ]
    means = {name: round(float(np.mean(values)), 3) for name, values in sorted(dice.items())}
    return {"dice": means, "opened": float(np.mean(opened)), "shut": float(np.mean(shut))}


def settle_gate(reader: Reader, episodes: Episodes, first: int, count: int) -> None:
    """Train the gate anew on what a trained reader makes of episodes, half of them no matches.

    While the reader learns, what the gate sees keeps changing, and few cases are of others.
    """
    seen: list[Tensor] = []
    hook = reader.match.register_forward_pre_hook(lambda _, told: seen.append(told[0]))
    matches: list[float] = []
    reader.eval()
    with torch.no_grad():
        for number in range(first, first + count):
            episode = episodes.draw(number, others=0.5)
            read_episode(reader, episode)
            matches.append(float(episode.matches))
    hook.remove()
    evidence, wanted = torch.stack(seen), torch.tensor(matches)
    optimiser = torch.optim.AdamW(reader.match.parameters(), lr=3e-3, weight_decay=0.1)
    for _ in range(_GATE_STEPS):
        optimiser.zero_grad()
        F.binary_cross_entropy_with_logits(reader.match(evidence)[:, 0], wanted).backward()
        optimiser.step()


def _accumulate(reader: Reader, episodes: Episodes, step: int) -> tuple[float, list[float]]:
    """Add up the gradients of a step; gives its loss, and the IoU of episodes that match."""
    losses: list[float] = []
    found: list[float] = []
    for number in range(_EPISODES):
        episode = episodes.draw(step * _EPISODES + number)
        reading, truth, _ = read_episode(reader, episode)
        loss = episode_loss(reading, truth, episode.matches) / _EPISODES
        loss.backward()
        losses.append(loss.item())
        if episode.matches:
            both = reading.logits[None, None], truth[None, None]
            found.append(intersection_over_union(*both).item())
    return sum(losses), found


def train_reader(
    episodes: Episodes, out: Path, encoder: str, tell: Tell, steps: int = STEPS
) -> Reader:
    """Train a reader, or go on where a run in a folder stopped.

    Writes `reader.safetensors`, in half precision, when it is done.

    Parameters
    ----------
    episodes : Episodes
    out : Path
        Folder of the run.
    encoder : str
        Fingerprint of the image encoder that the features are of.
    tell : callable
    steps : int
    """
    torch.manual_seed(0)
    reader = Reader(*episodes.widths)
    optimiser = torch.optim.AdamW(reader.parameters(), lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda n: min(1, (n + 1) / _WARM_UP) * 0.5 * (1 + math.cos(math.pi * n / steps))
    )
    out.mkdir(parents=True, exist_ok=True)
    state, log = out / "reader.pt", out / "reader.jsonl"
    first = 0
    if state.exists():
        kept = torch.load(state, weights_only=True)
        for part, name in ((reader, "reader"), (optimiser, "optimiser"), (schedule, "schedule")):
            part.load_state_dict(kept[name])
        first = kept["step"]
    forget_steps_from(first, log)
    recent: float | None = None
    for step in range(first, steps):
        optimiser.zero_grad()
        loss, found = _accumulate(reader, episodes, step)
        torch.nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if found:
            mean = float(np.mean(found))
            recent = mean if recent is None else 0.98 * recent + 0.02 * mean
        append_entry(log, {"step": step, "loss": loss, "iou": [recent or 0.0]})
        tell(step + 1, steps, recent or 0.0)
        if (step + 1) % _KEPT_EVERY == 0 or step + 1 == steps:
            parts = {"reader": reader, "optimiser": optimiser, "schedule": schedule}
            partial = state.with_suffix(".partial")
            torch.save({**{n: p.state_dict() for n, p in parts.items()}, "step": step + 1}, partial)
            partial.replace(state)
    settle_gate(reader, episodes, steps * _EPISODES, min(_GATE_EPISODES, steps * _EPISODES))
    save_reader(reader, out / "reader.safetensors", encoder)
    return reader.eval()
