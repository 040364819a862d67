"""Compare the masks of random sessions in two checkouts, voxel for voxel.

    python scripts/compare_sessions.py BEFORE AFTER --sessions 200 --model toy

plays the same random sessions with the package of each checkout, in a process of its own, and
compares the mask of every object after every step, and the map of all labels. A step is a prompt
of any kind, one that moves, flips or deletes an earlier prompt, undo, redo, or something that is
done to an object. Exits with 1 where any voxel, or what became of any step, differs.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path

import numpy as np


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path, help="a checkout, or its folder src")
    parser.add_argument("after", type=Path, help="another one")
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--steps", type=int, default=14, help="of each session")
    parser.add_argument("--first", type=int, default=0, help="seed of the first session")
    parser.add_argument("--model", default="toy", help="toy, or the name of a real model")
    parser.add_argument("--play", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _phantom(rng: np.random.Generator):
    """Return a small volume of smooth blobs, in some orientation and spacing."""
    from scipy import ndimage

    from napari_fastsam3d.geometry import Volume

    shape = tuple(int(n) for n in rng.integers(18, 40, 3))
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), 2.5)
    levels = np.digitize(smooth, np.quantile(smooth, (0.3, 0.6, 0.85)))
    voxels = levels * 90 + rng.integers(-6, 7, shape)
    axes = rng.permutation(3)
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[axes] * rng.choice([-1, 1], 3) * rng.uniform(0.8, 3.0, 3)
    return Volume.from_array(voxels.astype(np.int16), affine=affine)


def _loaded(name: str):
    if name != "toy":
        from napari_fastsam3d.model import load_model

        return load_model(name, device="cpu")
    import napari_fastsam3d

    # Each checkout's own, which speaks to the package by the names of then.
    sys.path.insert(0, str(Path(napari_fastsam3d.__file__).parents[2] / "tests" / "support"))
    from brightness_model import BrightnessModel

    return BrightnessModel(size=16, spacings=(1.0, 2.0, 4.0), start_spacing=1.0, tolerance=40.0)


class _Player:
    """Does random things to a session; which they are depends on the seed and on what it says."""

    def __init__(self, session, rng: np.random.Generator) -> None:
        self.session, self.rng = session, rng

    def voxel(self) -> tuple[int, ...]:
        return tuple(int(self.rng.integers(n)) for n in self.session.volume.shape)

    def box(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        a = self.voxel()
        sides = self.rng.integers(4, 16, 3)
        return a, tuple(x + int(n) for x, n in zip(a, sides, strict=True))

    def block(self):
        from napari_fastsam3d.geometry import Box
        from napari_fastsam3d.session import Mask

        box = Box(*self.box()).clipped(self.session.volume.shape)
        return Mask.of(box, np.asarray(self.rng.random(box.shape) < 0.8))

    def prompt(self) -> int:
        known = [p.id for each in self.session.state.objects for p in each.prompts]
        return int(self.rng.choice(known)) if known else 0

    def object(self) -> int:
        known = [each.id for each in self.session.state.objects]
        return int(self.rng.choice(known)) if known else 0

    def step(self) -> str:
        """Do one thing; return what, and what became of it."""
        from napari_fastsam3d.errors import FastSAM3DError

        names, weights = zip(*STEPS.items(), strict=True)
        share = np.divide(weights, sum(weights))
        name = names[int(self.rng.choice(len(names), p=share))]
        try:
            result = getattr(self, name)()
        except FastSAM3DError as error:
            return f"{name}: {error}"
        return f"{name}: {result.object} {result.box} {result.quality} {result.notes}"

    def add_point(self):
        index, positive = self.voxel(), bool(self.rng.random() < 0.7)
        if self.rng.random() < 0.2:
            self.session.prefetch(index, positive).result()
        return self.session.add_point(index, positive)

    def add_box(self):
        axis = int(self.rng.integers(3)) if self.rng.random() < 0.3 else None
        return self.session.add_box(*self.box(), axis)

    def freeze_region(self):
        return self.session.freeze_region(*self.box())

    def edit_mask(self):
        return self.session.edit_mask(self.block(), self.block())

    def add_mask(self):
        return self.session.add_mask(self.block())

    def move_prompt(self):
        from napari_fastsam3d.geometry import Box

        number = self.prompt()
        held = [p for o in self.session.state.objects for p in o.prompts if p.id == number]
        place = Box(*self.box()) if held and hasattr(held[0], "box") else self.voxel()
        return self.session.move_prompt(number, place)

    def flip_prompt(self):
        return self.session.flip_prompt(self.prompt())

    def delete_prompt(self):
        return self.session.delete_prompt(self.prompt())

    def undo(self):
        return self.session.undo()

    def redo(self):
        return self.session.redo()

    def new_object(self):
        return self.session.new_object()

    def select_object(self):
        return self.session.select_object(self.object())

    def remove_object(self):
        return self.session.remove_object(self.object())

    def reset_object(self):
        return self.session.reset_object(self.object())

    def rename_object(self):
        return self.session.rename_object(self.object(), f"organ {self.rng.integers(99)}")

    def lock_object(self):
        return self.session.lock_object(self.object())

    def accept_object(self):
        return self.session.accept_object(self.object())

    def unlock_object(self):
        return self.session.unlock_object(self.object())

    def set_overlap(self):
        return self.session.set_overlap(str(self.rng.choice(["keep", "overwrite", "share"])))

    def take_over(self):
        return self.session.take_over(self.voxel(), self.object())


STEPS = {
    "add_point": 30,
    "add_box": 10,
    "undo": 12,
    "redo": 8,
    "move_prompt": 8,
    "delete_prompt": 6,
    "flip_prompt": 5,
    "edit_mask": 5,
    "new_object": 5,
    "select_object": 4,
    "freeze_region": 4,
    "add_mask": 2,
    "take_over": 2,
    "lock_object": 2,
    "unlock_object": 2,
    "accept_object": 1,
    "set_overlap": 2,
    "rename_object": 1,
    "remove_object": 1,
    "reset_object": 1,
}


def masks_of(session) -> dict[str, str]:
    """Return a digest of every voxel of each object's mask, and of the map of labels."""
    held = {str(each.id): session.mask(each.id) for each in session.state.objects}
    held["labels"] = session.label_map()
    return {
        name: f"{hashlib.sha256(np.ascontiguousarray(voxels).tobytes()).hexdigest()[:16]} "
        f"{np.count_nonzero(voxels)}"
        for name, voxels in held.items()
    }


def play(options: argparse.Namespace) -> None:
    """Play the sessions, and print a line for each step."""
    from napari_fastsam3d.session import Session

    model = _loaded(options.model)
    for seed in range(options.first, options.first + options.sessions):
        rng = np.random.default_rng(seed)
        with Session(_phantom(rng), model=model) as session:
            player = _Player(session, rng)
            for number in range(options.steps):
                done = player.step()
                line = {"session": seed, "step": number, "done": done, "masks": masks_of(session)}
                print(json.dumps(line), flush=True)


def _begun(checkout: Path, options: argparse.Namespace) -> subprocess.Popen[str]:
    inside = checkout / "src"
    source = inside if inside.is_dir() else checkout
    return subprocess.Popen(
        [sys.executable, __file__, "--play", *sys.argv[1:]],
        env={**os.environ, "PYTHONPATH": str(source.resolve())},
        stdout=subprocess.PIPE,
        text=True,
    )


def compare(options: argparse.Namespace) -> int:
    """Play in both checkouts; return how many sessions differ."""
    players = [_begun(checkout, options) for checkout in (options.before, options.after)]
    differ: set[int] = set()
    steps = voxels = 0
    outputs = (player.stdout or () for player in players)
    for old, new in zip_longest(*outputs):
        known = json.loads(old or new)
        steps += 1
        voxels += sum(int(mask.split()[1]) for mask in known["masks"].values())
        if old != new and known["session"] not in differ:
            differ.add(known["session"])
            print(f"session {known['session']}, step {known['step']}:\n  {old}  {new}")
    failed = any(player.wait() for player in players)
    print(
        f"{options.sessions - len(differ)} of {options.sessions} sessions are the same: "
        f"{steps} steps, {voxels} voxels in their masks."
    )
    return int(bool(differ) or failed or steps < options.sessions * options.steps)


if __name__ == "__main__":
    given = _arguments()
    if given.play:
        play(given)
    else:
        sys.exit(compare(given))
