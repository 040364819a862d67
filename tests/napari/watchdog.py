"""Notes when the event loop stands still, for how long, and where."""

import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import napari_fastsam3d

_OURS = str(Path(napari_fastsam3d.__file__).parent)
_TICK_MS = 5
_SAMPLE_S = 0.02


@dataclass
class Freeze:
    """One gap between two turns of the event loop."""

    seconds: float = 0.0
    processor: float = 0.0
    ours: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)

    @property
    def by_us(self) -> bool:
        """Whether our code was on the stack for most of it, and not napari called from it."""
        return sum(self.ours.values()) > sum(self.others.values())

    def __str__(self) -> str:
        where = ", ".join(f"{place} x{n}" for place, n in (self.ours + self.others).most_common(3))
        return f"{self.seconds:.3f} s ({self.processor:.3f} s of processor): {where}"


class Watchdog:
    """Watches the main thread, in which it must be used, between `with` and its end.

    A timer signal asks every few milliseconds what is being done; it needs no thread, but Unix.
    """

    def __init__(self, longer_than: float = 0.2) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.freezes: list[Freeze] = []
        self._limit = longer_than
        self._last, self._processor = time.perf_counter(), time.thread_time()
        self._now = Freeze()
        self._samples = hasattr(signal, "setitimer")
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)

    def __enter__(self) -> "Watchdog":
        self._timer.start(_TICK_MS)
        if self._samples:
            self._before = signal.signal(signal.SIGALRM, self._sample)
            signal.setitimer(signal.ITIMER_REAL, _SAMPLE_S, _SAMPLE_S)
        self.tick()
        return self

    def __exit__(self, *exception: object) -> None:
        self._timer.stop()
        if self._samples:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._before)

    def tick(self) -> None:
        """Begin a new gap, whatever the last one was."""
        self._last, self._processor, self._now = time.perf_counter(), time.thread_time(), Freeze()

    def _tick(self) -> None:
        found = self._now
        found.seconds = time.perf_counter() - self._last
        found.processor = time.thread_time() - self._processor
        if found.seconds > self._limit:
            self.freezes.append(found)
        self.tick()

    def _sample(self, _signal: int, frame: FrameType | None) -> None:
        if frame is not None and time.perf_counter() - self._last > _SAMPLE_S:
            self._note(frame)

    def _note(self, innermost: FrameType) -> None:
        files = _files(innermost)
        own = next((n for n, (file, _) in enumerate(files) if file.startswith(_OURS)), None)
        drawing = any("/napari/" in file or "/vispy/" in file for file, _ in files[:own])
        place = files[0 if own is None else own][1]
        (self._now.others if own is None or drawing else self._now.ours)[place] += 1


def _files(frame: Any) -> list[tuple[str, str]]:
    """File and legible place of each call, the innermost first."""
    found = []
    while frame is not None:
        code = frame.f_code
        place = f"{Path(code.co_filename).name}:{frame.f_lineno} {code.co_name}"
        found.append((code.co_filename, place))
        frame = frame.f_back
    return found
