"""The model of a session, and what it remembers of the volume; lives in the model thread."""

from collections.abc import Callable

from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.session.model_failure import card_is_full
from napari_fastsam3d.session.model_thread import ModelThread
from napari_fastsam3d.session.progress import Progress
from napari_fastsam3d.session.prompt import Point
from napari_fastsam3d.session.replay import Replay, Step
from napari_fastsam3d.session.request import Prompts

_ON_CPU = (
    "The graphics card ran out of memory, so the model now computes on the CPU: slower, with "
    "masks that may differ by a few voxels."
)


class Resident:
    """Makes masks of prompts with whatever model the thread has; to be used in that thread only.

    Parameters
    ----------
    volume : Volume
    thread : ModelThread
    progress : callable
        Told of long work.
    noted : callable
        Told what the user should know.
    """

    def __init__(
        self,
        volume: Volume,
        thread: ModelThread,
        progress: Progress,
        noted: Callable[[str], object],
    ) -> None:
        self._volume = volume
        self._thread = thread
        self._progress = progress
        self._noted = noted
        self._replay: Replay | None = None

    def ready(self) -> Replay:
        """Return the replay, the model loaded."""
        predictor = self._thread.obtain(self._progress)
        if self._replay is None or self._replay.predictor is not predictor:
            self._replay = Replay(self._volume, predictor, self._progress)
        return self._replay

    def step(self, prompts: Prompts) -> Step:
        """Return what prompts make of an object, on the CPU where the GPU has too little room."""
        try:
            return self.ready().step(prompts)
        except Exception as error:
            if not (card_is_full(error) and self._thread.fall_back()):
                raise
        # Out of the handler, whose traceback would keep what fills the card.
        self._replay = None
        self._noted(_ON_CPU)
        return self.ready().step(prompts)

    def look_ahead(self, prompts: Prompts, click: Point) -> bool:
        """See `Replay.look_ahead`."""
        return self.ready().look_ahead(prompts, click)

    def foresee(self, prompts: Prompts, click: Point) -> bool:
        """See `Replay.foresee`."""
        return self.ready().foresee(prompts, click)

    def forget(self) -> None:
        """Drop what is remembered; may be called from any thread."""
        self._replay = None
