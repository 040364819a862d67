"""Keeps the log and the masks in step: the log changes at once, the masks in the model thread."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from time import perf_counter

from psygnal import EmitLoopError, SignalInstance

from napari_fastsam3d.errors import SessionError
from napari_fastsam3d.geometry.box import Box, Index
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import Edit, Point
from napari_fastsam3d.inference.step import Step
from napari_fastsam3d.model.predictor import Predictor
from napari_fastsam3d.session.actions import AddPrompt
from napari_fastsam3d.session.change import Change
from napari_fastsam3d.session.events import Signals
from napari_fastsam3d.session.history import History
from napari_fastsam3d.session.journal.autosave import Keeping
from napari_fastsam3d.session.journal.store import Kept
from napari_fastsam3d.session.journal.writer import JournalStatus, Recorder
from napari_fastsam3d.session.label_map import (
    changed_box,
    contested,
    holder_of,
    holder_of_click,
    relabelled_box,
    shown_mask,
)
from napari_fastsam3d.session.mask_cache import Board
from napari_fastsam3d.session.model_failure import explained
from napari_fastsam3d.session.model_runner import Resident
from napari_fastsam3d.session.model_thread import ModelThread
from napari_fastsam3d.session.request import Prompts, Request, Shown
from napari_fastsam3d.session.result import Result
from napari_fastsam3d.session.state import Action, ObjectState, SessionState

_log = logging.getLogger(__name__)

_OUTDATED = (
    "The masks were made with another model. They stay as they are until their prompts change or "
    "they are made again; then they will differ."
)


class _Interrupted(Exception):  # noqa: N818 - nothing went wrong: what was computed is not wanted
    """Ends a computation between two blocks of the model."""


class Engine:
    """The log of a session and the masks that follow it.

    Parameters
    ----------
    volume : Volume
    thread : ModelThread
    """

    def __init__(self, volume: Volume, thread: ModelThread) -> None:
        self.volume = volume
        self.thread = thread
        self.signals = Signals()
        # Held for moments only: never while the model works or a signal is emitted. Reentrant, for
        # a request may be answered before its future is watched.
        self._lock = threading.RLock()
        self._answered = threading.Condition(self._lock)
        self._history = History()
        self._numbers = count(1)
        self._newest: dict[int, int] = {}
        self._unsettled: dict[int, list[int]] = {}
        self._unanswered = 0
        self._freezing = 0
        self._newest_look: tuple[int, Point] | None = None
        self._cancelled = 0
        self._closed = False
        self._board = Board()
        self._resident = self._made_resident(thread)
        self.keeping = Keeping(self._tell_journalled)

    @property
    def history(self) -> History:
        """The log."""
        return self._history

    def shown(self, number: int) -> Step:
        """Return what the last finished mask of an object came from."""
        return self._board.of_object(number).step

    def own(self, each: ObjectState) -> Mask:
        """Return the locked mask of an object, or else the last finished one of its prompts."""
        return self._board.own(each)

    def do(self, make: Callable[[SessionState], Action]) -> Future[Result]:
        """Add to the log the action that `make` makes of the state, and ask for its mask."""
        return self._change(lambda log: log.do(make(log.state)), logged=True)

    def freeze(self, number: int, make: Callable[[int, PackedMask], Action]) -> Future[Result]:
        """Add the action that `make` makes of an object's shown mask, once that is finished.

        Where masks wait for the model, the log changes after them.
        """
        with self._lock:
            self._history.state.object(number)
            self._freezing += 1
        outcome: Future[Result] = Future()
        self._freeze(number, make, outcome)
        if outcome.done() and (error := outcome.exception()):
            raise error
        return outcome

    def take_over(self, number: int, index: Index) -> Future[Result]:
        """Take from the object that keeps a voxel what both claim around it; see `Session`."""
        with self._lock:
            state = self._history.state
            holder = holder_of(state, number, index, self.own)
            if holder is None:
                raise SessionError(
                    f"No other object keeps {index} from {state.object(number).name}.",
                    "Name a voxel that another object keeps.",
                )
            given = contested(self.own(state.object(number)), self.own(holder), index)
        packed, nothing = PackedMask.of(given), PackedMask.of(Mask.empty())
        future = self.do(
            lambda state: AddPrompt(holder.id, Edit(state.next_prompt, nothing, packed))
        )
        self.select(number)
        return future

    def undo(self) -> Future[Result]:
        """Take the last step back, and ask for the mask."""
        return self._change(History.undo)

    def redo(self) -> Future[Result]:
        """Do again what was taken back, and ask for the mask."""
        return self._change(History.redo)

    def select(self, number: int) -> Future[Result]:
        """Make an object the current one."""
        return self._change(lambda log: log.select(number))

    def warm_up(self) -> Future[None]:
        """Load the model ahead; `failed` is emitted if it can't be."""
        return self.thread.submit(self._run_warm_up)

    def look_ahead(self, click: Point) -> Future[bool]:
        """Encode the crop of a click yet to come, and answer it, if nothing more urgent waits."""
        with self._lock:
            self._check_open()
            look = self._newest_look = (next(self._numbers), click)
            return self.thread.submit(self._run_look_ahead, look, self._resident)

    def cancel(self) -> bool:
        """Take back the steps whose masks are still being made; gives whether there are any."""
        with self._lock:
            self._cancelled = next(self._numbers)
            return bool(self._unanswered)

    def use(self, thread: ModelThread) -> None:
        """Let another model make the masks from now on; what is shown stays until it changes."""
        with self._lock:
            self._check_open()
            old, self._resident = self._resident, self._made_resident(thread)
            self.thread = thread
            for number in self._board.behind(self._history.state):
                self._ask_model(Request(next(self._numbers), number, perf_counter()))
        old.forget()

    def outdated(self) -> list[int]:
        """Return the ids of the objects whose masks another model made of the same prompts."""
        predictor = self.thread.predictor
        if predictor is None:
            return []
        with self._lock:
            return [
                each.id
                for each in self._history.state.objects
                if each.locked is None
                and self._board.of_object(each.id).is_of_another(predictor.fingerprint)
            ]

    def tell_if_outdated(self) -> None:
        """Tell that masks were made with another model, where some were."""
        if self.outdated():
            self.note(_OUTDATED)

    def make_again(self, number: int) -> Future[Result]:
        """Ask the present model for the mask of an object, whoever made the one that is shown."""
        with self._lock:
            self._check_open()
            owner = self._history.state.object(number)
            if owner.locked is not None:
                raise SessionError(f"{owner.name} is locked.", "Unlock it first.")
            return self._ask_model(Request(next(self._numbers), number, perf_counter()))

    def wait(self) -> None:
        """Block until every mask asked for so far is there.

        Where an undo failed and could not be taken back, for the log had gone on, the mask is
        asked for once more.
        """
        if self.thread.is_current:
            raise SessionError("The model thread can't wait for itself.", "Use another thread.")
        self._wait_for_answers()
        if not self._closed:
            self._ask_again()
            self._wait_for_answers()
        self.keeping.wait()

    def behind(self) -> list[int]:
        """Return the ids of the objects whose mask doesn't follow their prompts, and won't.

        Empty as long as any mask is still being made.
        """
        with self._lock:
            return [] if self._unanswered else self._board.behind(self._history.state)

    def keep(self, recorder: Recorder, instead: Path | None = None) -> Future[Kept]:
        """Keep the log on disk from now on, with what was done so far; gives what was found."""
        with self._lock:
            self._check_open()
            found = self.keeping.begin(recorder, self._history, instead)
            for each in self._history.state.objects:
                shown = self._board.of_object(each.id)
                if shown.prompts:
                    self.keeping.keep_mask(each.id, shown)
            return found

    def take(self, kept: Kept) -> list[Future[Result]]:
        """Go on where a journal ends; masks that it lacks are asked of the model, and returned."""
        board, state = Board.of(kept), kept.history.state
        with self._lock:
            self._check_open()
            if self._history.entries:
                raise SessionError(
                    "Something was done in this session already.", "Undo isn't enough: begin anew."
                )
            self._history = kept.history
            self._board = board
            asked = [
                self._ask_model(Request(next(self._numbers), number, perf_counter()))
                for number in board.behind(state)
            ]
        self._tell(self.signals.changed, state)
        for each in state.objects:
            request = Request(next(self._numbers), each.id, perf_counter())
            self._tell(self.signals.predicted, request.result(board.own(each).box))
        self.tell_if_outdated()
        return asked

    def close(self, wait: bool = True) -> None:
        """Answer no more; what waits comes out stale. Waits for the journal alone, if asked to."""
        with self._lock:
            was_closed, self._closed = self._closed, True
            self._resident.forget()
        if not was_closed:
            self.keeping.close(wait)

    def _change(self, change: Callable[[History], History], logged: bool = False) -> Future[Result]:
        started = perf_counter()
        with self._lock:
            self._check_open()
            before, after = self._history, change(self._history)
            self._history = after
            request = Request(
                number=next(self._numbers),
                object=after.touched or 0,
                started=started,
                before=before,
                after=after,
                serial=after.entries[-1].serial if logged else None,
                written=self.keeping.written(after),
            )
            try:
                answer = self._ask(request, before.state, after.state)
            except SessionError:  # the model thread was closed
                self._history = before
                self.keeping.written(before)
                raise
        self._tell(self.signals.changed, after.state)
        if isinstance(answer, Future):
            return answer
        if not answer.box.is_empty:
            self._tell(self.signals.predicted, answer)
        return _answered(answer, request.written)

    def _freeze(
        self,
        number: int,
        make: Callable[[int, PackedMask], Action],
        outcome: Future[Result],
    ) -> None:
        def change(log: History) -> History:
            if self._board.behind_of(log.state, number):
                raise SessionError(
                    "The mask doesn't follow its prompts yet.", "Wait for it, then lock it."
                )
            mask = shown_mask(log.state, number, self.own)
            return log.do(make(number, PackedMask.of(mask)))

        try:
            with self._lock:
                waits = self._unanswered and self._board.behind_of(self._history.state, number)
            if waits:
                self.thread.submit(self._freeze, number, make, outcome)
                return
            done = self._change(change, logged=True)
        except Exception as error:
            if self._history.state.has(number):
                outcome.set_exception(error)
            else:
                # Undone or removed since: there is nothing left to freeze.
                request = Request(next(self._numbers), number, perf_counter())
                outcome.set_result(request.result(stale=True))
        else:
            done.add_done_callback(lambda answer: outcome.set_result(answer.result()))
        with self._answered:
            self._freezing -= 1
            self._answered.notify_all()

    def _ask(
        self, request: Request, before: SessionState, after: SessionState
    ) -> Result | Future[Result]:
        """Answer a request at once where no model is needed, else in the model thread."""
        number = request.object
        if before.has(number) and not after.has(number):
            return request.result(self._forget(request))
        prompts = after.object(number).prompts if after.has(number) else ()
        if prompts == (before.object(number).prompts if before.has(number) else ()):
            return request.result(relabelled_box(before, after, number, self.own))
        shown = self._board.of_object(number)
        if shown.answers(prompts):
            self._newest[number] = request.number
            self._unsettled.pop(number, None)
            return request.result(changed_box(after, shown.step.mask, shown.step.mask), shown.step)
        return self._ask_model(request)

    def _ask_model(self, request: Request) -> Future[Result]:
        future = self.thread.submit(self._run, request, self._resident)
        self._newest[request.object] = request.number
        self._unanswered += 1
        if request.serial is not None:
            self._unsettled.setdefault(request.object, []).append(request.serial)
        future.add_done_callback(self._count_answer)
        return future

    def _count_answer(self, _answer: Future[Result]) -> None:
        with self._answered:
            self._unanswered -= 1
            self._answered.notify_all()

    def _wait_for_answers(self) -> None:
        with self._answered:
            self._answered.wait_for(lambda: not (self._unanswered or self._freezing))

    def _ask_again(self) -> None:
        with self._lock:
            for number in () if self._unanswered else self._board.behind(self._history.state):
                self._ask_model(Request(next(self._numbers), number, perf_counter()))

    def _forget(self, request: Request) -> Box:
        """Drop the mask of an object that is gone; return where it was."""
        self._newest[request.object] = request.number
        self._unsettled.pop(request.object, None)
        return self._board.forget(request.object)

    def _run(self, request: Request, resident: Resident) -> Result:
        """Answer one request; in the model thread."""
        try:
            with self._lock:
                prompts = self._prompts_if_newest(request)
            if prompts is None or resident is not self._resident:
                return request.result(stale=True)
            return self._predict(request, prompts, resident)
        finally:
            self._let_go(resident)

    def _predict(self, request: Request, prompts: Prompts, resident: Resident) -> Result:
        try:
            step = resident.step(prompts, lambda: self._go_on_with(request, resident))
            old = self.shown(request.object).mask
            box = changed_box(self._history.state, old, step.mask)
            if request.written is not None:
                request.written.result()
        except _Interrupted:
            if request.number <= self._cancelled and self._take_back(request, all_of_it=True):
                self._tell(self.signals.changed, self._history.state)
            return request.result(stale=True)
        except Exception as error:
            if resident is not self._resident or not self._take_back(request):
                return request.result(stale=True)
            told = explained(error, "The step was taken back: try again")
            self._tell(self.signals.failed, told)
            self._tell(self.signals.changed, self._history.state)
            raise told from error
        predictor = resident.ready().predictor
        result = self._show(request, Shown(prompts, step, predictor.fingerprint), box)
        self._use(predictor)
        if not result.stale:
            self._tell(self.signals.predicted, result)
        return result

    def _use(self, predictor: Predictor) -> None:
        """Note with which model masks are made, and tell where those shown are of another."""
        if self.keeping.uses(predictor):
            self.tell_if_outdated()

    def _go_on_with(self, request: Request, resident: Resident) -> None:
        """End the computation of a request that nobody waits for any more."""
        with self._lock:
            prompts = self._prompts_if_newest(request)
            state = self._history.state
        if self._closed or resident is not self._resident or request.number <= self._cancelled:
            raise _Interrupted
        if prompts is not None:
            return
        # What is computed may be the beginning of what is wanted now.
        wanted = state.object(request.object).prompts if state.has(request.object) else ()
        if not resident.serves(wanted):
            raise _Interrupted

    def _show(self, request: Request, new: Shown, box: Box) -> Result:
        with self._lock:
            if self._prompts_if_newest(request) is None:
                return request.result(stale=True)
            state = self._history.state
            before = shown_mask(state, request.object, self.own)
            self._board.put(request.object, new)
            after = shown_mask(state, request.object, self.own)
            self._unsettled.pop(request.object, None)
            self.keeping.keep_mask(request.object, new)
            holder = holder_of_click(state, request.object, self.own)
        change = Change.between(before, after, self.volume)
        return request.result(box, new.step, change=change, holder=holder)

    def _prompts_if_newest(self, request: Request) -> Prompts | None:
        state = self._history.state
        overtaken = self._newest.get(request.object) != request.number
        if self._closed or overtaken or not state.has(request.object):
            return None
        return state.object(request.object).prompts

    def _take_back(self, request: Request, all_of_it: bool = False) -> bool:
        """Bring the log back to what the masks show.

        Parameters
        ----------
        request : Request
        all_of_it : bool
            Whether steps before it that never got their mask, since it overtook them, go as well.

        Returns
        -------
        bool
            False where a newer request is to decide that.
        """
        with self._lock:
            if self._prompts_if_newest(request) is None:
                return False
            unsettled = self._unsettled.get(request.object, [])
            if request.serial in unsettled:
                unsettled.remove(request.serial)
            if self._history is request.after and request.before is not None:
                self._history = request.before
            elif request.serial is not None:
                self._history = self._history.withdraw(request.serial)
            while all_of_it and unsettled:
                self._history = self._history.withdraw(unsettled.pop())
            self.keeping.written(self._history)
            self._settle(request.object)
        return True

    def _settle(self, number: int) -> None:
        """Ask again for what is left, when steps that were overtaken never got their mask."""
        left = self._unsettled.get(number)
        if left and number in self._board.behind(self._history.state):
            serial = left.pop()
            self._ask_model(Request(next(self._numbers), number, perf_counter(), serial=serial))

    def _run_warm_up(self) -> None:
        if self._closed:
            return
        try:
            self._use(self._resident.ready().predictor)
        except Exception as error:
            told = explained(error, "Try again")
            self._tell(self.signals.failed, told)
            raise told from error

    def _run_look_ahead(self, look: tuple[int, Point], resident: Resident) -> bool:
        done = False
        try:
            for job in (resident.look_ahead, resident.foresee):
                with self._lock:
                    state = self._history.state
                    if self._unanswered:
                        return done
                prompts = state.object(state.current).prompts if state.current is not None else ()
                done = job(prompts, look[1], lambda: self._go_on_looking(look, resident)) or done
        except _Interrupted:
            pass
        finally:
            self._let_go(resident)
        return done

    def _go_on_looking(self, look: tuple[int, Point], resident: Resident) -> None:
        """End what is done ahead as soon as something else is wanted that it doesn't serve."""
        with self._lock:
            state, waiting, newest = self._history.state, self._unanswered, self._newest_look
        if self._closed or resident is not self._resident:
            raise _Interrupted
        if not waiting and newest is look:
            return
        wanted = [state.object(each).prompts for each in self._board.behind(state)]
        if not waiting and newest is not None:
            current = state.object(state.current).prompts if state.current is not None else ()
            wanted = [(*current, newest[1])]
        if not any(map(resident.serves, wanted)):
            raise _Interrupted

    def _let_go(self, resident: Resident) -> None:
        """Drop what was remembered where it serves no more, also if a job has just made it anew."""
        if self._closed or resident is not self._resident:
            resident.forget()

    def _made_resident(self, thread: ModelThread) -> Resident:
        return Resident(self.volume, thread, self._tell_progress, self.note)

    def _check_open(self) -> None:
        if self._closed:
            raise SessionError("The session is closed.", "Make a new one.")

    def _tell_progress(self, what: str, done: int, of: int) -> None:
        self._tell(self.signals.progress, what, done, of)

    def note(self, sentence: str) -> None:
        """Tell what the user should know, by a signal and in the log of the program."""
        _log.warning("%s", sentence)
        self._tell(self.signals.noted, sentence)

    def _tell_journalled(self, status: JournalStatus) -> None:
        self._tell(self.signals.journalled, status)

    def _tell(self, signal: SignalInstance, *news: object) -> None:
        try:
            signal.emit(*news)
        except EmitLoopError:
            _log.exception("A listener to the session failed")


def _answered(result: Result, written: Future[None] | None) -> Future[Result]:
    """Return a future of a result that is known, done once the log is on disk."""
    future: Future[Result] = Future()
    if written is None:
        future.set_result(result)
    else:
        written.add_done_callback(lambda _: future.set_result(result))
    return future
