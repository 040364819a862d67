"""How a session is kept on disk, and how one goes on with what was kept."""

import base64
import json
from concurrent.futures import Future
from os import PathLike
from pathlib import Path

from napari_fastsam3d.errors import SessionError
from napari_fastsam3d.session.events import emit
from napari_fastsam3d.session.history import History
from napari_fastsam3d.session.journal.earlier import PICTURE, EarlierSession
from napari_fastsam3d.session.journal.saved_session import SavedSession
from napari_fastsam3d.session.journal.writer import JournalStatus, JournalWriter, sessions_folder
from napari_fastsam3d.session.mask_cache import MaskCache
from napari_fastsam3d.session.queries import Queries
from napari_fastsam3d.session.request import Result


class JournalCommands(Queries):
    """The commands of a session about its journal."""

    def keep_journal(
        self,
        folder: str | PathLike[str] | None = None,
        *,
        earlier: EarlierSession | None = None,
    ) -> "Future[SavedSession]":
        """Keep every change on disk from now on; returns at once.

        From then on a command's future is done only when its change is on disk, or `journalled` has
        said why it can't be. What a former session on the same volume left is found, and stays
        there to be gone on with (`resume`) until this one's first command makes a backup of it.

        Parameters
        ----------
        folder : path, optional
            Where journals are; by default in the user's data folder.
        earlier : EarlierSession, optional
            One of `earlier_sessions` on this volume, to be gone on with in place of the last,
            which becomes a backup.

        Returns
        -------
        Future of SavedSession
            What was found, `SavedSession.is_empty` if nothing. Fails with JournalBusyError where
            another session has this volume, and then nothing is kept; with JournalError where the
            journal can't be opened, which is tried again at each command.
        """
        chosen = sessions_folder() if folder is None else Path(folder).expanduser()
        writer = JournalWriter(self.volume, chosen, self._scheduler.autosave.report)
        return self._keep(writer, None if earlier is None else earlier.path)

    def resume(self) -> "Future[None]":
        """Go on with what `keep_journal` found; returns at once.

        The log is restored with what can be redone, and masks as they were last seen, without
        the model; `changed` and `predicted` are emitted in the journal's thread. Fails with
        SessionError once a command was used.
        """
        return self._writer().resume(self._take)

    def take_log(self, history: History) -> "list[Future[Result]]":
        """Begin with what was done in another session on the same voxels; returns at once.

        All that can be undone and redone there can be so here, and locked masks are the same; the
        others are made anew, as where the voxels' size was corrected.

        Returns
        -------
        list of Future of Result
            Of the masks that are being made.

        Raises
        ------
        SessionError
            Once a command was used.
        """
        answers = self._take(SavedSession(history, {}, {}))
        self._scheduler.autosave.written(history)
        return answers

    def keep_picture(self, picture: bytes) -> None:
        """Keep in the journal a small picture (PNG) by which `earlier_sessions` are told apart."""
        writer = self._scheduler.autosave.writer
        if writer is not None:
            writer.keep_facts({PICTURE: base64.b64encode(picture).decode()})

    def keep_view(self, view: object) -> None:
        """Keep in the journal what `SavedSession.view` gives back: anything `json.dumps` takes."""
        writer = self._scheduler.autosave.writer
        if writer is not None:
            writer.keep_facts({"view": json.dumps(view)})

    def discard_journal(self) -> "Future[None]":
        """Remove the journal, also what was found and not gone on with; keep nothing more."""
        return self._writer().discard()

    @property
    def journal_status(self) -> JournalStatus:
        """How safe the session is; as `journalled` said last."""
        return self._scheduler.autosave.status

    def _keep(self, writer: JournalWriter, instead: Path | None) -> "Future[SavedSession]":
        """Keep the log on disk from now on, with what was done so far; gives what was found."""
        scheduler = self._scheduler
        with scheduler.lock:
            scheduler.check_open()
            found = scheduler.autosave.begin(writer, scheduler.history, instead)
            for each in scheduler.history.state.objects:
                finished = scheduler.masks.of_object(each.id)
                if finished.prompts:
                    scheduler.autosave.keep_mask(each.id, finished)
            scheduler.autosave.keep_recollections(scheduler.recollections)
            return found

    def _take(self, saved: SavedSession) -> "list[Future[Result]]":
        """Go on where a journal ends; masks that it lacks are asked of the model, and returned."""
        scheduler = self._scheduler
        masks, state = MaskCache.of(saved), saved.history.state
        with scheduler.lock:
            scheduler.check_open()
            if scheduler.history.entries:
                raise SessionError(
                    "Something was done in this session already.", "Undo isn't enough: begin anew."
                )
            scheduler.history = saved.history
            scheduler.masks = masks
            scheduler.recollections.add(saved.recalled)
            asked = [
                scheduler.ask_model(scheduler.pending.new(number)) for number in masks.behind(state)
            ]
        emit(scheduler.signals.changed, state)
        for each in state.objects:
            result = scheduler.pending.new(each.id).result(masks.own(each).box)
            emit(scheduler.signals.predicted, result)
        scheduler.note_if_outdated()
        scheduler.note_if_forgotten()
        return asked

    def _writer(self) -> JournalWriter:
        writer = self._scheduler.autosave.writer
        if writer is None:
            raise SessionError("The session has no journal.", "Call keep_journal first.")
        return writer
