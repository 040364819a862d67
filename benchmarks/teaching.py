"""What a click costs while the model is being taught in the background.

usage: python benchmarks/teaching.py [RUNS]

In each run the same voxels of the torso phantom's liver are clicked twice in new sessions, once
while an adapter for its spleen is fitted in the same model thread, as the window does it, and once
without, in turn the one and the other first. Between clicks a user thinks for a while, a
different while each time, so that clicks fall anywhere in a piece of the fitting. Prints
milliseconds from the click to its mask, medians and 90th percentiles, and fails where the median
of first or of later clicks grows by more than half.
"""

import random
import sys
import time
from threading import Event, Thread

import numpy as np

from napari_fastsam3d.geometry import Volume, torso_phantom
from napari_fastsam3d.geometry.box import Index
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.model.base_predictor import BasePredictor
from napari_fastsam3d.session import ModelThread, Session
from napari_fastsam3d.training.adaptation.cases import TeachingCase
from napari_fastsam3d.training.adaptation.outcome import TeachingOptions
from napari_fastsam3d.training.adaptation.teaching import Teaching, adaptable

BOUND = 1.5
_CLICKS = 5


class Background:
    """Teaches in the model thread, a piece after the other, until it is told to stop."""

    def __init__(self, teaching: Teaching, thread: ModelThread) -> None:
        self._goes, self._ends, self._rests = Event(), Event(), Event()
        self._teaching, self._thread = teaching, thread
        self._helper = Thread(target=self._run)
        self._helper.start()

    def _run(self) -> None:
        while not self._ends.is_set():
            if not self._goes.wait(0.05):
                self._rests.set()
                continue
            self._rests.clear()
            self._thread.submit(self._teaching.advance_in, self._thread, lambda: True).result()

    def go_on(self, on: bool) -> None:
        """Teach, or rest; returns when it does."""
        if on:
            self._rests.clear()
            self._goes.set()
        else:
            self._goes.clear()
            self._rests.wait()

    def end(self) -> None:
        """Stop for good."""
        self._goes.set()
        self._ends.set()
        self._helper.join()


def clicked(volume: Volume, thread: ModelThread, clicks: list[Index], user: random.Random):
    """Return the milliseconds of each click in a new session."""
    times: list[float] = []
    with Session(volume, model=thread) as session:
        for click in clicks:
            time.sleep(user.uniform(0.2, 0.9))
            began = time.perf_counter()
            session.add_point(click)
            times.append(1000 * (time.perf_counter() - began))
    return times


def measured(runs: int) -> np.ndarray:
    """Return (runs, 2, clicks) milliseconds: without teaching and with it."""
    volume, labels, names = torso_phantom()
    values = {name: value for value, name in names.items()}
    spleen = Mask.of_volume(labels == values["spleen"])
    cases = [TeachingCase(str(n), str(n), *[lambda: (volume, spleen)] * 2) for n in range(3)]
    inside = np.argwhere(labels == values["liver"])
    user = random.Random(0)
    times = np.zeros((runs + 1, 2, _CLICKS))
    with ModelThread("default", "cpu") as thread:
        predictor: BasePredictor = adaptable(thread.load().result())
        options = TeachingOptions(steps=10**6, measured=False)
        teaching = Teaching("spleen", cases, predictor, options)
        while teaching.progress[0] != "Learning from all cases":
            teaching.advance()
        background = Background(teaching, thread)
        try:
            for run in range(runs + 1):
                clicks = [tuple(map(int, user.choice(inside))) for _ in range(_CLICKS)]
                for taught in user.sample((0, 1), 2):
                    background.go_on(bool(taught))
                    times[run, taught] = clicked(volume, thread, clicks, user)
        finally:
            background.end()
    return times[1:]


def told(times: np.ndarray) -> str:
    """Tell how long clicks took."""
    return f"{np.median(times):.0f} ms (90 % under {np.quantile(times, 0.9):.0f})"


def main() -> int:
    """Measure, print, and return how the process is to end."""
    times = measured(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
    worst = 0.0
    for name, part in (("first clicks", times[..., :1]), ("later clicks", times[..., 1:])):
        plain, taught = (part[:, n].ravel() for n in (0, 1))
        ratio = float(np.median(taught) / np.median(plain))
        worst = max(worst, ratio)
        print(f"{name}: {told(plain)}, while it is taught {told(taught)}: {ratio:.2f} times")
    return int(worst > BOUND)


if __name__ == "__main__":
    sys.exit(main())
