"""Which model makes the masks of a session, and what it is to do ahead or no more."""

from concurrent.futures import Future

from napari_fastsam3d.errors import explained
from napari_fastsam3d.inference.prompt import Point
from napari_fastsam3d.inference.prompt_check import point_index
from napari_fastsam3d.session.commands import Commands, Voxel
from napari_fastsam3d.session.events import emit
from napari_fastsam3d.session.model_place import model_thread
from napari_fastsam3d.session.model_thread import Model, ModelThread
from napari_fastsam3d.session.queries import Queries
from napari_fastsam3d.session.request import Result
from napari_fastsam3d.session.scheduler import Scheduler
from napari_fastsam3d.session.speculation import Speculation


class ModelCommands(Queries):
    """The commands of a session about its model.

    Parameters
    ----------
    scheduler : Scheduler
    owns_thread : bool
        Whether the session made the model thread itself, and so closes it.

    Attributes
    ----------
    futures : Commands
        The commands without waiting.
    """

    def __init__(self, scheduler: Scheduler, owns_thread: bool) -> None:
        super().__init__(scheduler)
        self.futures = Commands(scheduler)
        self._owns_thread = owns_thread
        self._speculation = Speculation(scheduler)

    @property
    def replay_differs(self) -> bool:
        """Whether masks were made with another model; `noted` says so."""
        return bool(self._scheduler.outdated())

    @property
    def outdated(self) -> list[int]:
        """Ids of the objects whose masks another model made of the prompts that they have.

        So it is after `change_model`, and after `resume` with another model than that time. The
        masks stay until their prompts change, or until `make_masks_again`; locked ones in any case.
        """
        return self._scheduler.outdated()

    def change_model(self, model: Model | ModelThread, device: str = "auto") -> None:
        """Let another model make the masks from now on; returns at once.

        The log stays, with all that can be undone and redone, and so do the masks that are there:
        see `outdated`. Masks that are being made are made with the new model.

        Parameters
        ----------
        model, device
            As for the session. A thread of the session's own is closed; a thread that is given
            is to be loaded by its owner, or at the next click.
        """
        owned = self.thread if self._owns_thread else None
        given = isinstance(model, ModelThread)
        self._use(model if isinstance(model, ModelThread) else model_thread(model, device))
        self._owns_thread = not given
        if owned is not None:
            owned.close()
        if not given:
            self._warm_up()

    def make_masks_again(self) -> list[Result]:
        """Make the masks of all `outdated` objects with the present model; no step of undo."""
        self.wait()
        futures = [self.futures.make_mask_again(number) for number in self.outdated]
        return [future.result() for future in futures]

    def cancel(self) -> bool:
        """Give up the masks that are being made, and take the steps back that asked for them.

        Their results come out stale. What a long replay had finished is kept for the next time.

        Returns
        -------
        bool
            Whether there was anything to give up.
        """
        return self._scheduler.pending.cancel()

    def prefetch(self, index: Voxel, positive: bool = True) -> "Future[bool]":
        """Let the model answer a click at a voxel, source index, ahead of it.

        First it looks at the crop, which serves for clicks nearby too; then it makes the mask. What
        doesn't serve a click that comes meanwhile is dropped at the model's next block.

        Returns
        -------
        Future of bool
            Whether anything was done; not so where it was known, where clicks wait, or where a
            later call overtook this one.
        """
        click = Point(0, point_index(index, self.volume.shape), positive)
        return self._speculation.predict(click)

    def _warm_up(self) -> Future[None]:
        """Load the model ahead; `failed` is emitted if it can't be."""
        return self.thread.submit(_load_ahead, self._scheduler)

    def _use(self, thread: ModelThread) -> None:
        """Let another model make the masks from now on; what is shown stays until it changes."""
        scheduler = self._scheduler
        with scheduler.lock:
            scheduler.check_open()
            old, scheduler.runner = scheduler.runner, scheduler.runner_in(thread)
            scheduler.thread = thread
            for number in scheduler.masks.behind(scheduler.history.state):
                scheduler.ask_model(scheduler.pending.new(number))
        old.forget()


def _load_ahead(scheduler: Scheduler) -> None:
    """Load the model; in the model thread."""
    if scheduler.closed:
        return
    try:
        scheduler.note_model(scheduler.runner.predictor())
    except Exception as error:
        failure = explained(error, "Try again")
        emit(scheduler.signals.failed, failure)
        raise failure from error
