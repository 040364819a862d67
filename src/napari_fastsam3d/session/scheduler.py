"""Keeps the log and the masks in step: the log changes at once, the masks in the model thread."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from time import perf_counter

from napari_fastsam3d.errors import SessionError, explained
from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.inference.prompt import Prompt
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.memory.question import Way
from napari_fastsam3d.model.predictor import ModelIdentity
from napari_fastsam3d.session.adapters import SessionAdapters
from napari_fastsam3d.session.change import Change
from napari_fastsam3d.session.events import Signals, emit
from napari_fastsam3d.session.history import History
from napari_fastsam3d.session.journal.autosave import Autosave
from napari_fastsam3d.session.label_map import changed_box, holder_of_click, shown_mask
from napari_fastsam3d.session.mask_cache import FinishedMask, MaskCache, prompts_of
from napari_fastsam3d.session.model_runner import Interrupted, Runner
from napari_fastsam3d.session.model_thread import ModelThread
from napari_fastsam3d.session.pending import PendingRequests
from napari_fastsam3d.session.prompt_actions import AddPrompt
from napari_fastsam3d.session.recollections import Recollections
from napari_fastsam3d.session.request import Request, Result, answered, joined, others_of
from napari_fastsam3d.session.state import Action, SessionState

_OUTDATED = (
    "The masks were made with another model. They stay as they are until their prompts change or "
    "they are made again; then they will differ."
)


class Scheduler:
    """The log of a session and the masks that follow it.

    Commands change the log by `do` and `change`. Where that needs the model, a request waits in the
    model thread; of those for one object only the newest is answered.

    Parameters
    ----------
    volume : Volume
    thread : ModelThread

    Attributes
    ----------
    lock : RLock
        Of the log and the masks. Held for moments only: never while the model works or a signal is
        emitted. Reentrant, for a request may be answered before its future is watched.
    history : History
    masks : MaskCache
    memory : MemoryBank or None
    recall : "reader", "prior", "published" or None
        How earlier cases are recalled for objects that are begun from now on.
    recollections : Recollections
        What the memory said.
    adapters : SessionAdapters
        What answers for objects that are called like an adapted structure.
    pending : PendingRequests
    """

    def __init__(
        self, volume: Volume, thread: ModelThread, memory: MemoryBank | None = None
    ) -> None:
        self.volume = volume
        self.thread = thread
        self.memory = memory
        self.adapters = SessionAdapters()
        self.recall: Way | None = None
        self.recollections = Recollections()
        self.signals = Signals()
        self.lock = threading.RLock()
        self.pending = PendingRequests(self.lock)
        self.history = History()
        self.masks = MaskCache()
        self.autosave = Autosave(lambda status: emit(self.signals.journalled, status))
        self.closed = False
        self.runner = self.runner_in(thread)

    def do(self, make: Callable[[SessionState], Action]) -> Future[Result]:
        """Add to the log the action that `make` makes of the state, and ask for its mask."""
        return self.change(lambda log: log.do(make(log.state)), logged=True)

    def prompt(self, make: Callable[[SessionState], AddPrompt]) -> Future[Result]:
        """Add a prompt to the log; an object that it begins recalls as it is set now."""
        adapter_of = partial(self.adapters.of_object, self.thread.predictor)
        return self.do(lambda state: make(state).recalling(state, self.recall, adapter_of))

    def change(self, change: Callable[[History], History], logged: bool = False) -> Future[Result]:
        """Change the log, and ask for the mask; `logged` where that adds an entry."""
        started = perf_counter()
        with self.lock:
            self.check_open()
            before, after = self.history, change(self.history)
            self.history = after
            request = Request(
                number=self.pending.next_number(),
                object=after.touched or 0,
                started=started,
                before=before,
                after=after,
                serial=after.entries[-1].serial if logged else None,
                written=self.autosave.written(after),
            )
            others = [
                replace(request, number=self.pending.next_number(), object=each)
                for each in others_of(request)
            ]
            try:
                answers = [self._ask(each, before, after) for each in (request, *others)]
            except SessionError:  # the model thread was closed
                self.history = before
                self.autosave.written(before)
                raise
        emit(self.signals.changed, after.state)
        return joined([self._pass_on(answer, request) for answer in answers])

    def _pass_on(self, answer: Result | Future[Result], request: Request) -> Future[Result]:
        if isinstance(answer, Future):
            return answer
        if not answer.box.is_empty:
            emit(self.signals.predicted, answer)
        return answered(answer, request.written)

    def ask_model(self, request: Request) -> Future[Result]:
        """Let the model thread answer a request, after those before it."""
        future = self.thread.submit(self._run, request, self.runner)
        self.pending.add(request)
        future.add_done_callback(self.pending.answered)
        return future

    def outdated(self) -> list[int]:
        """Return the ids of the objects whose masks another model made of the same prompts."""
        with self.lock:
            predictor, state = self.thread.predictor, self.history.state
            return self.masks.of_another_model(state, predictor.fingerprint) if predictor else []

    def note_if_outdated(self) -> None:
        """Say that masks were made with another model, where some were."""
        if self.outdated():
            self.signals.note(_OUTDATED)

    def note_model(self, predictor: ModelIdentity) -> None:
        """Note with which model masks are made, and say where those shown are of another."""
        if self.autosave.uses(predictor):
            self.note_if_outdated()

    def wait(self) -> None:
        """Block until every mask asked for so far is there.

        Where an undo failed and the log had gone on, the mask is asked for once more.
        """
        self.thread.check_may_wait()
        self.pending.wait()
        if not self.closed:
            with self.lock:
                for number in self.behind():
                    self.ask_model(self.pending.new(number))
            self.pending.wait()
        self.autosave.wait()

    def behind(self) -> list[int]:
        """Return the ids of objects whose masks won't follow their prompts; none while some may."""
        with self.lock:
            return [] if self.pending.unanswered else self.masks.behind(self.history.state)

    def close(self, wait: bool = True) -> None:
        """Answer no more; what waits comes out stale. Waits for the journal alone, if asked to."""
        with self.lock:
            was_closed, self.closed = self.closed, True
            self.runner.forget()
        if not was_closed:
            self.autosave.close(wait)

    def runner_in(self, thread: ModelThread) -> Runner:
        """Return what makes the masks of this session in a model thread."""
        tell, note = self.signals.report_progress, self.signals.note
        answers = self.recollections.answers
        return self.adapters.served(thread.runner(self.volume, tell, note, self.memory, answers))

    def note_if_forgotten(self) -> None:
        """Say so where masks can't be made again as they were, for cases that were forgotten."""
        message = self.recollections.missing(self.memory)
        if message is not None:
            self.signals.note(message)

    def check_open(self) -> None:
        """Raise SessionError where the session is closed."""
        if self.closed:
            raise SessionError("The session is closed.", "Make a new one.")

    def release(self, runner: Runner) -> None:
        """Drop what was remembered where it serves no more, also if a job has just made it anew."""
        if self.closed or runner is not self.runner:
            runner.forget()

    def _ask(self, request: Request, before: History, after: History) -> Result | Future[Result]:
        """Answer a request at once where no model is needed, else in the model thread."""
        answer = self.masks.answer(request, before.state, after.state)
        if answer is None:
            return self.ask_model(request)
        if prompts_of(before.state, request.object) != prompts_of(after.state, request.object):
            self.pending.overtake(request)
        return answer

    def _run(self, request: Request, runner: Runner) -> Result:
        """Answer one request; in the model thread."""
        try:
            with self.lock:
                prompts = self._prompts_if_newest(request)
            if prompts is None or runner is not self.runner:
                return request.result(stale=True)
            return self._predict(request, prompts, runner)
        finally:
            self.release(runner)

    def _predict(self, request: Request, prompts: tuple[Prompt, ...], runner: Runner) -> Result:
        try:
            step = runner.step(prompts, lambda: self._check_wanted(request, runner))
            old = self.masks.of_object(request.object).step.mask
            box = changed_box(self.history.state, old, step.mask)
            if request.written is not None:
                request.written.result()
        except Interrupted:
            if self.pending.is_cancelled(request) and self._take_back(request, all_of_it=True):
                emit(self.signals.changed, self.history.state)
            return request.result(stale=True)
        except Exception as error:
            if runner is not self.runner or not self._take_back(request):
                return request.result(stale=True)
            failure = explained(error, "The step was taken back: try again")
            emit(self.signals.failed, failure)
            emit(self.signals.changed, self.history.state)
            raise failure from error
        predictor = runner.predictor()
        result = self._show(request, FinishedMask(prompts, step, predictor.fingerprint), box)
        self.note_model(predictor)
        if not result.stale:
            emit(self.signals.predicted, result)
        return result

    def _check_wanted(self, request: Request, runner: Runner) -> None:
        """End the computation of a request that nobody waits for any more."""
        with self.lock:
            prompts = self._prompts_if_newest(request)
            state = self.history.state
        if self.closed or runner is not self.runner or self.pending.is_cancelled(request):
            raise Interrupted
        # What is computed may be the beginning of what is wanted now.
        if prompts is None and not runner.serves(prompts_of(state, request.object) or ()):
            raise Interrupted

    def _show(self, request: Request, new: FinishedMask, box: Box) -> Result:
        with self.lock:
            if self._prompts_if_newest(request) is None:
                return request.result(stale=True)
            state = self.history.state
            before = shown_mask(state, request.object, self.masks.own)
            self.masks.put(request.object, new)
            after = shown_mask(state, request.object, self.masks.own)
            self.pending.settle(request)
            self.autosave.keep_mask(request.object, new)
            if self.recollections.use(new.prompts):
                self.autosave.keep_recollections(self.recollections)
            holder = holder_of_click(state, request.object, self.masks.own)
        change = Change.between(before, after, self.volume)
        return request.result(box, new.step, change=change, holder=holder)

    def _prompts_if_newest(self, request: Request) -> tuple[Prompt, ...] | None:
        if self.closed or not self.pending.is_newest(request):
            return None
        return prompts_of(self.history.state, request.object)

    def _take_back(self, request: Request, all_of_it: bool = False) -> bool:
        """Bring the log back to what the masks show; False where a newer request is to decide that.

        With `all_of_it`, steps before it that never got their mask, for it overtook them, go too.
        """
        with self.lock:
            if self._prompts_if_newest(request) is None:
                return False
            unsettled = self.pending.unsettled(request)
            if request.serial in unsettled:
                unsettled.remove(request.serial)
            if self.history is request.after and request.before is not None:
                self.history = request.before
            elif request.serial is not None:
                self.history = self.history.withdraw(request.serial)
            while all_of_it and unsettled:
                self.history = self.history.withdraw(unsettled.pop())
            self.autosave.written(self.history)
            # Steps that were overtaken may never have got their mask: it is asked for again.
            if unsettled and request.object in self.masks.behind(self.history.state):
                self.ask_model(self.pending.new(request.object, unsettled.pop()))
        return True
