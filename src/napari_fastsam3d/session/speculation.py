"""Speculative prediction: the click under a pointer at rest is answered before it comes."""

from concurrent.futures import Future

from napari_fastsam3d.inference.prompt import Point, Prompt
from napari_fastsam3d.session.model_runner import Interrupted, Runner
from napari_fastsam3d.session.scheduler import Scheduler
from napari_fastsam3d.session.state import SessionState, recall_for


class Speculation:
    """Predicts ahead of clicks, and gives way to whatever else the model is asked.

    Parameters
    ----------
    scheduler : Scheduler
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._newest: Point | None = None

    def predict(self, click: Point) -> Future[bool]:
        """Encode the crop of a click yet to come, and answer it, if nothing more urgent waits."""
        with self._scheduler.lock:
            self._scheduler.check_open()
            self._newest = click
            return self._scheduler.thread.submit(self._run, click, self._scheduler.runner)

    def _run(self, click: Point, runner: Runner) -> bool:
        scheduler, done = self._scheduler, False
        try:
            for job in (runner.encode_speculatively, runner.predict_speculatively):
                with scheduler.lock:
                    state = scheduler.history.state
                    if scheduler.pending.unanswered:
                        return done
                prompts = _told_next(scheduler, state)
                done = job(prompts, click, lambda: self._check_wanted(click, runner)) or done
        except Interrupted:
            pass
        finally:
            scheduler.release(runner)
        return done

    def _check_wanted(self, click: Point, runner: Runner) -> None:
        """End what is done ahead as soon as something else is wanted that it doesn't serve."""
        scheduler = self._scheduler
        with scheduler.lock:
            state, waiting, newest = (
                scheduler.history.state,
                scheduler.pending.unanswered,
                self._newest,
            )
        if scheduler.closed or runner is not scheduler.runner:
            raise Interrupted
        if not waiting and newest is click:
            return
        wanted = [state.object(each).told for each in scheduler.masks.behind(state)]
        if not waiting and newest is not None:
            wanted = [(*_told_next(scheduler, state), newest)]
        if not any(map(runner.serves, wanted)):
            raise Interrupted


def _told_next(scheduler: Scheduler, state: SessionState) -> tuple[Prompt, ...]:
    """Return what comes before the next prompt of the current object, or of a new one."""
    current = None if state.current is None else state.object(state.current)
    if current is not None and current.prompts:
        return current.told
    adapter = scheduler.adapters.of_object(scheduler.thread.predictor, current)
    context = (recall_for(current, scheduler.recall), adapter)
    return tuple(each for each in context if each is not None)
