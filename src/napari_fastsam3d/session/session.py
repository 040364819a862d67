"""One volume being segmented: the commands of the user, and the masks that come of them."""

from collections.abc import Callable
from concurrent.futures import Future
from functools import wraps
from inspect import signature
from os import PathLike
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar, get_args

from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.memory.question import DEFAULT_WAY, Way
from napari_fastsam3d.session.commands import Commands
from napari_fastsam3d.session.file_commands import FileCommands
from napari_fastsam3d.session.journal_commands import JournalCommands
from napari_fastsam3d.session.memory_commands import MemoryCommands
from napari_fastsam3d.session.model_commands import ModelCommands
from napari_fastsam3d.session.model_place import model_thread
from napari_fastsam3d.session.model_thread import Model, ModelThread
from napari_fastsam3d.session.scheduler import Scheduler

if TYPE_CHECKING:
    from napari_fastsam3d.model.adapter_store import AdapterStore

P = ParamSpec("P")
R = TypeVar("R")


def _waiting(
    command: Callable[Concatenate[Commands, P], Future[R]],
) -> Callable[Concatenate[ModelCommands, P], R]:
    """Return a command that waits for its mask."""

    @wraps(command)
    def wait(session: ModelCommands, *args: P.args, **kwargs: P.kwargs) -> R:
        session.thread.check_may_wait()
        return command(session.futures, *args, **kwargs).result()

    future = signature(command)
    (result,) = get_args(future.return_annotation)
    wait.__signature__ = future.replace(return_annotation=result)  # pyright: ignore
    return wait


class Session(MemoryCommands, FileCommands, JournalCommands):
    """One volume being segmented: its objects, their prompts, undo and redo, and their masks.

    Every command waits for the mask and returns a `Result`; `futures` has the same ones without
    waiting. Commands may be called from any thread except the model thread. The model does all its
    work in one thread of its own, and is loaded there as soon as the session begins.

    The log of the user's actions is the truth: an object's mask is the replay of its prompts in
    their order, and the same prompts give the same mask, whatever happened in between. After
    every prediction positive clicks lie inside the mask and negative ones outside.

    Parameters
    ----------
    volume : Volume
        What is segmented.
    model : str, path, Predictor or ModelThread
        A name of the zoo, a file of weights, the address of a server (see `docs/serving.md`), a
        model that is loaded already, or the thread of one that is shared with other sessions; only
        such a thread outlives the session.
    device : str
        Where a model named or read from a file is to compute: "auto", "cpu", "cuda", "mps".
    memory : MemoryBank, optional
        Earlier cases that are recalled; see `remember`. It stays open when the session is closed.
    recall : "reader", "prior", "published" or None
        How they are recalled for an object that is begun with a click; see `set_recall`.
    journal : bool or path
        Whether every change is kept on disk, in the user's data folder or in that folder; then
        the session goes on where the last one on the same volume ended. A program with a window
        uses `keep_journal` instead, which doesn't wait.
    adapters : AdapterStore, optional
        Objects that are called like a structure adapted there are segmented with its adapter.
        `segment_automatically` uses your own without it.

    Attributes
    ----------
    volume : Volume
    thread : ModelThread
        Where the model lives.
    futures : Commands
        The commands without waiting.
    changed, predicted, failed, progress, journalled, noted : psygnal.SignalInstance
        See `Signals`, also for the threads that they come from.

    Raises
    ------
    SessionError
        From any command: if the session is closed, or it makes no sense in the present state.
    PromptError
        From a command given a bad prompt.
    CheckpointError, DeviceError
        From a command that needs the model, if it can't be loaded or ran out of memory. Whatever
        failed, the action is taken back and the session goes on.
    """

    def __init__(
        self,
        volume: Volume,
        model: Model | ModelThread = "default",
        device: str = "auto",
        memory: MemoryBank | None = None,
        recall: Way | None = DEFAULT_WAY,
        journal: bool | str | PathLike[str] = False,
        adapters: "AdapterStore | None" = None,
    ) -> None:
        thread = model if isinstance(model, ModelThread) else model_thread(model, device)
        super().__init__(Scheduler(volume, thread, memory), not isinstance(model, ModelThread))
        self._scheduler.adapters.store = adapters
        self._scheduler.recall = None if memory is None else recall
        signals = self._scheduler.signals
        self.changed, self.predicted = signals.changed, signals.predicted
        self.failed, self.progress = signals.failed, signals.progress
        self.journalled, self.noted = signals.journalled, signals.noted
        if self.thread.predictor is None:
            self._warm_up()
        if journal:
            self._begin_journal(None if journal is True else journal)

    add_point = _waiting(Commands.add_point)
    add_box = _waiting(Commands.add_box)
    add_scribble = _waiting(Commands.add_scribble)
    add_lasso = _waiting(Commands.add_lasso)
    candidates = _waiting(Commands.candidates)
    choose = _waiting(Commands.choose)
    freeze_region = _waiting(Commands.freeze_region)
    edit_mask = _waiting(Commands.edit_mask)
    clean_up = _waiting(Commands.clean_up)
    move_prompt = _waiting(Commands.move_prompt)
    flip_prompt = _waiting(Commands.flip_prompt)
    delete_prompt = _waiting(Commands.delete_prompt)
    take_over = _waiting(Commands.take_over)
    undo = _waiting(Commands.undo)
    redo = _waiting(Commands.redo)
    reset_object = _waiting(Commands.reset_object)
    add_mask = _waiting(Commands.add_mask)
    new_object = _waiting(Commands.new_object)
    select_object = _waiting(Commands.select_object)
    rename_object = _waiting(Commands.rename_object)
    remove_object = _waiting(Commands.remove_object)
    recolour_object = _waiting(Commands.recolour_object)
    revalue_object = _waiting(Commands.revalue_object)
    lock_object = _waiting(Commands.lock_object)
    unlock_object = _waiting(Commands.unlock_object)
    set_overlap = _waiting(Commands.set_overlap)
    set_recall = _waiting(Commands.set_recall)
    leave_out = _waiting(Commands.leave_out)
    find = _waiting(Commands.find)
    remember = _waiting(Commands.remember)
    segment_automatically = _waiting(Commands.segment_automatically)

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self, wait: bool = True) -> None:
        """End the session; masks can still be had, commands can't.

        What the model computes is given up, and what waits for it comes out stale. A model thread
        that was given to the session lives on.

        Parameters
        ----------
        wait : bool
            Whether to wait until the journal is on disk; the program's end does so anyway.
        """
        self._scheduler.close(wait)
        if self._owns_thread:
            self.thread.close()

    def _begin_journal(self, folder: str | PathLike[str] | None) -> None:
        """Go on where the last session ended; refused, leave neither threads nor a model."""
        try:
            saved = self.keep_journal(folder).result()
            if not saved.is_empty:
                self.resume().result()
        except BaseException:
            self.close()
            raise
