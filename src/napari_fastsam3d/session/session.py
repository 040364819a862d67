"""One volume being segmented: the verbs of the user, and the masks that come of them."""

# ruff: noqa: A002 - `object` is the word of the design's interface, session.mask(object=2)

import base64
import json
from collections.abc import Sequence
from concurrent.futures import Future
from os import PathLike
from pathlib import Path

from napari_fastsam3d.errors import SessionError
from napari_fastsam3d.geometry.box import Index
from napari_fastsam3d.geometry.io.mask_reader import read_labels
from napari_fastsam3d.geometry.io.mask_writer import save_mask
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.inference.prompt import Point, point_index
from napari_fastsam3d.session.engine import Engine
from napari_fastsam3d.session.futures import Voxel, chosen_object
from napari_fastsam3d.session.history import History
from napari_fastsam3d.session.journal.earlier import PICTURE, EarlierSession
from napari_fastsam3d.session.journal.store import Kept
from napari_fastsam3d.session.journal.writer import JournalStatus, Recorder, sessions_folder
from napari_fastsam3d.session.model_thread import Model, ModelThread
from napari_fastsam3d.session.neighbours import intrusions
from napari_fastsam3d.session.prompt_file import PromptFile, read_prompts, save_prompts
from napari_fastsam3d.session.result import Result
from napari_fastsam3d.session.saving import left_out, masks_of, paths_of_each
from napari_fastsam3d.session.state import ObjectState
from napari_fastsam3d.session.verbs import Verbs


class Session(Verbs):
    """One volume being segmented: its objects, their prompts, undo and redo, and their masks.

    Every verb waits for the mask and returns a `Result`; `futures` has the same verbs without
    waiting. Verbs may be called from any thread except the model thread. The model does all its
    work in one thread of its own, and is loaded there as soon as the session begins.

    The log of the user's actions is the truth: an object's mask is the replay of its prompts in
    their order, and the same prompts give the same mask, whatever happened in between. After
    every prediction positive clicks lie inside the mask and negative ones outside.

    Parameters
    ----------
    volume : Volume
        What is segmented.
    model : str, path, Predictor or ModelThread
        A name of the zoo, a file of weights, a model that is loaded already, or the thread of
        one that is shared with other sessions; only such a thread outlives the session.
    device : str
        Where a model named or read from a file is to compute: "auto", "cpu", "cuda", "mps".
    memory : None
        A bank of remembered cases; not yet to be had.
    journal : bool or path
        Whether every change is kept on disk, in the user's data folder or in that folder; then
        the session goes on where the last one on the same volume ended. A program with a window
        uses `keep_journal` instead, which doesn't wait.

    Attributes
    ----------
    volume : Volume
    thread : ModelThread
        Where the model lives.
    futures : Futures
        The verbs without waiting.
    changed, predicted, failed, progress, journalled, noted : psygnal.SignalInstance
        See `Signals`, also for the threads that they come from.

    Raises
    ------
    SessionError
        From any verb: if the session is closed, or the verb makes no sense in its present state.
    PromptError
        From a verb given a bad prompt.
    CheckpointError, DeviceError
        From a verb that needs the model, if it can't be loaded or ran out of memory. Whatever
        failed, the action is taken back and the session goes on.
    """

    def __init__(
        self,
        volume: Volume,
        model: Model | ModelThread = "default",
        device: str = "auto",
        memory: None = None,
        journal: bool | str | PathLike[str] = False,
    ) -> None:
        if memory is not None:
            raise SessionError("A session can't use a memory bank yet.", "Give memory=None.")
        self._owns_thread = not isinstance(model, ModelThread)
        thread = model if isinstance(model, ModelThread) else ModelThread(model, device)
        super().__init__(Engine(volume, thread))
        signals = self._engine.signals
        self.changed, self.predicted = signals.changed, signals.predicted
        self.failed, self.progress = signals.failed, signals.progress
        self.journalled, self.noted = signals.journalled, signals.noted
        if self.thread.predictor is None:
            self._engine.warm_up()
        if journal:
            self._begin_journal(None if journal is True else journal)

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def save(self, path: str | PathLike[str], object: int | None = None) -> Path:
        """Write the masks to one file on the source grid, after predictions under way.

        Which objects are empty, and so not in the file, is logged as a warning and told by `noted`;
        see `empty_objects`.

        Parameters
        ----------
        path : path
            Ending in .nii.gz, .nii, .nrrd or .mha; replaced as a whole, or not at all.
        object : int, optional
            Id of one object, to be written as 0 and 1; by default all objects are written, as a
            map of their label values with a table of their names.

        Returns
        -------
        Path
            The file written.

        Raises
        ------
        SessionError
            If there is nothing to save, or a mask isn't what its prompts would make of it.
        SaveError
            If it can't be written.
        """
        self.wait()
        drawn = self._drawn(self.state.objects if object is None else [self.state.object(object)])
        if object is not None:
            return save_mask(path, self.mask(object), self.volume)
        names = {each.value: each.name for each in drawn}
        saved = save_mask(path, self.label_map(), self.volume, label_names=names)
        self._say_what_is_left_out()
        return saved

    def intrusions(self, number: int | None = None) -> list[Index]:
        """Return where an object's mask runs into locked ones, after predictions under way.

        Negative points there give the locked neighbours to the model:
        `for index in session.intrusions(): session.add_point(index, positive=False)`.

        Parameters
        ----------
        number : int, optional
            Id of the object; by default the current one.

        Returns
        -------
        list of tuple of int
            One source index for each locked neighbour, the deepest in what both claim.
        """
        self.wait()
        each = self.state.object(chosen_object(self.state, number))
        others = [o for o in self.state.objects if o.locked is not None and o.id != each.id]
        locked = [self._engine.own(other) for other in others]
        return intrusions(self._engine.own(each), locked, self.volume.spacing)

    def save_each(self, path: str | PathLike[str]) -> list[Path]:
        """Write each object that has a mask to a file of its own, as 0 and 1.

        Parameters
        ----------
        path : path
            mask.nii.gz makes mask_liver.nii.gz, mask_spleen.nii.gz and so on; objects of one
            name get their value too. Ends as for `save`, which says what is raised.

        Returns
        -------
        list of Path
            The files written, in the order of the objects.
        """
        self.wait()
        drawn = self._drawn(self.state.objects)
        saved = [
            save_mask(target, self.mask(each.id), self.volume)
            for each, target in zip(drawn, paths_of_each(Path(path), drawn), strict=True)
        ]
        self._say_what_is_left_out()
        return saved

    def open_mask(self, path: str | PathLike[str]) -> list[Result]:
        """Begin an object with each label of a file, to be refined by clicks.

        Names come from the file's table of labels. A label whose value an object has already
        gets the next free one, and one whose name is taken gets that with a number. Each is one
        step of undo.

        Parameters
        ----------
        path : path
            A mask or label map on the grid of the volume, as `save` writes it.

        Raises
        ------
        VolumeError
            If it can't be read, lies on another grid, or holds no labels.
        SessionError
            If it is empty.
        """
        found = read_labels(path, self.volume)
        futures = [
            self._waiting().add_mask(
                mask, self._name_of(found.names.get(value)), self.state.free_value(value)
            )
            for value, mask in masks_of(found.labels)
        ]
        if not futures:
            raise SessionError(f"{Path(path).name} holds no mask.", "Choose one that isn't empty.")
        return [future.result() for future in futures]

    def save_prompts(self, path: str | PathLike[str]) -> Path:
        """Write what was done to a file of prompts, from which it can be replayed.

        It holds the objects with their names, values, prompts (source index, and RAS mm), hand
        edits and locks, the rule of overlap, and hashes of volume and model.

        Parameters
        ----------
        path : path
            Ending in .json; replaced as a whole, or not at all.

        Raises
        ------
        SaveError
            If it can't be written.
        """
        return save_prompts(path, self.state, self.volume, self.predictor)

    def load_prompts(self, path: str | PathLike[str]) -> PromptFile:
        """Do again what a file of prompts says, in an untouched session.

        With the same model on the same machine the masks are the same, voxel for voxel.

        Returns
        -------
        PromptFile
            What it says, such as the fingerprint of the model that was used.

        Raises
        ------
        SessionError
            If the file is damaged or was made on another scan, or the session isn't untouched.
        """
        found = read_prompts(path)
        found.check_scan(self.volume)
        if self.history.entries:
            raise SessionError(
                "Prompts can be loaded into an untouched session only.", "Open the scan anew."
            )
        self._waiting()
        futures = [self._engine.do(lambda _, each=each: each) for each in found.actions]
        self.wait()
        for future in futures:
            future.result()
        return found

    def keep_journal(
        self,
        folder: str | PathLike[str] | None = None,
        *,
        earlier: EarlierSession | None = None,
    ) -> "Future[Kept]":
        """Keep every change on disk from now on; returns at once.

        From then on a verb's future is done only when its change is on disk, or `journalled` has
        told why it can't be. What a former session on the same volume left is found, and stays
        there to be gone on with (`resume`) until the first verb of this one, which puts it aside.

        Parameters
        ----------
        folder : path, optional
            Where journals are; by default in the user's data folder.
        earlier : EarlierSession, optional
            One of `earlier_sessions` on this volume, to be gone on with in place of the last,
            which is set aside.

        Returns
        -------
        Future of Kept
            What was found, `Kept.is_empty` if nothing. Fails with JournalBusyError where another
            session has this volume, and then nothing is kept; with JournalError where the
            journal can't be opened, which is tried again at each verb.
        """
        chosen = sessions_folder() if folder is None else Path(folder).expanduser()
        recorder = Recorder(self.volume, chosen, self._engine.keeping.tell)
        return self._engine.keep(recorder, None if earlier is None else earlier.path)

    def resume(self) -> "Future[None]":
        """Go on with what `keep_journal` found; returns at once.

        The log is restored with what can be redone, and masks as they were last seen, without
        the model; `changed` and `predicted` are emitted in the journal's thread. Fails with
        SessionError once a verb was used.
        """
        return self._recorder().resume(self._engine.take)

    def take_log(self, history: History) -> "list[Future[Result]]":
        """Begin with what was done in another session on the same voxels; returns at once.

        All that can be undone and redone there can be so here, and locked masks are the same; the
        others are made anew, as where the voxels' size was mended.

        Returns
        -------
        list of Future of Result
            Of the masks that are being made.

        Raises
        ------
        SessionError
            Once a verb was used.
        """
        answers = self._engine.take(Kept(history, {}, {}))
        self._engine.keeping.written(history)
        return answers

    def keep_picture(self, picture: bytes) -> None:
        """Keep in the journal a small picture (PNG) by which `earlier_sessions` are told apart."""
        recorder = self._engine.keeping.recorder
        if recorder is not None:
            recorder.keep_facts({PICTURE: base64.b64encode(picture).decode()})

    def keep_view(self, view: object) -> None:
        """Keep in the journal what `Kept.view` is to give back: anything `json.dumps` takes."""
        recorder = self._engine.keeping.recorder
        if recorder is not None:
            recorder.keep_facts({"view": json.dumps(view)})

    def discard_journal(self) -> "Future[None]":
        """Remove the journal, also what was found and not gone on with; keep nothing more."""
        return self._recorder().discard()

    @property
    def journal_status(self) -> JournalStatus:
        """How safe the session is; as `journalled` told last."""
        return self._engine.keeping.status

    @property
    def replay_differs(self) -> bool:
        """Whether masks were made with another model; `noted` tells of it."""
        return bool(self._engine.outdated())

    @property
    def outdated(self) -> list[int]:
        """Ids of the objects whose masks another model made of the prompts that they have.

        So it is after `change_model`, and after `resume` with another model than that time. The
        masks stay until their prompts change, or until `make_masks_again`; locked ones in any case.
        """
        return self._engine.outdated()

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
        self._engine.use(model if isinstance(model, ModelThread) else ModelThread(model, device))
        self._owns_thread = not given
        if owned is not None:
            owned.close()
        if not given:
            self._engine.warm_up()

    def make_masks_again(self) -> list[Result]:
        """Make the masks of all `outdated` objects with the present model; no step of undo."""
        self.wait()
        futures = [self._waiting().make_mask_again(number) for number in self.outdated]
        return [future.result() for future in futures]

    def cancel(self) -> bool:
        """Give up the masks that are being made, and take the steps back that asked for them.

        Their results come out stale. What a long replay had finished is kept for the next time.

        Returns
        -------
        bool
            Whether there was anything to give up.
        """
        return self._engine.cancel()

    def wait(self) -> None:
        """Block until every mask asked for so far is there, or has failed, and all is on disk."""
        self._engine.wait()

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
        return self._engine.look_ahead(click)

    def close(self, wait: bool = True) -> None:
        """End the session; masks can still be had, verbs can't.

        What the model computes is given up, and what waits for it comes out stale. A model thread
        that was given to the session lives on.

        Parameters
        ----------
        wait : bool
            Whether to wait until the journal is on disk; the program's end does so anyway.
        """
        self._engine.close(wait)
        if self._owns_thread:
            self.thread.close()

    def _begin_journal(self, folder: str | PathLike[str] | None) -> None:
        """Go on where the last session ended; refused, leave neither threads nor a model."""
        try:
            kept = self.keep_journal(folder).result()
            if not kept.is_empty:
                self.resume().result()
        except BaseException:
            self.close()
            raise

    def _say_what_is_left_out(self) -> None:
        lost = [each.object for each in self.overlapped_objects()]
        told = left_out(self.state.objects, self.empty_objects(), lost)
        if told is not None:
            self._engine.note(told)

    def _drawn(self, objects: Sequence[ObjectState]) -> list[ObjectState]:
        """Return those of the objects that have a mask; SessionError if none, or a wrong one."""
        behind = self._engine.behind()
        wrong = [each.name for each in objects if each.id in behind and each.locked is None]
        if wrong:
            raise SessionError(
                f"The model failed, so the mask of {', '.join(wrong)} doesn't follow its prompts.",
                "Undo the last step, or choose another model or device, and save again.",
            )
        drawn = [each for each in objects if not self.region(each.id).is_empty]
        if not drawn:
            raise SessionError(
                "There is no mask to save.", "Click on a structure, or draw a box around it, first."
            )
        return drawn

    def _name_of(self, label: str | None) -> str | None:
        return self.state.free_name(label) if label and label.strip() else None

    def _recorder(self) -> Recorder:
        recorder = self._engine.keeping.recorder
        if recorder is None:
            raise SessionError("The session has no journal.", "Call keep_journal first.")
        return recorder
