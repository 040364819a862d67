"""Speculative prediction: the click under a pointer at rest is answered before it comes."""

from concurrent.futures import Future

from napari_fastsam3d.inference.prompt import Point
from napari_fastsam3d.session.model_thread import Interrupted, ModelRunner
from napari_fastsam3d.session.scheduler import Scheduler


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

    def _run(self, click: Point, runner: ModelRunner) -> bool:
        scheduler, done = self._scheduler, False
        try:
            for job in (runner.encode_speculatively, runner.predict_speculatively):
                with scheduler.lock:
                    state = scheduler.history.state
                    if scheduler.unanswered:
                        return done
                prompts = scheduler.told_next(state)
                done = job(prompts, click, lambda: self._check_wanted(click, runner)) or done
        except Interrupted:
            pass
        finally:
            scheduler.release(runner)
        return done

    def _check_wanted(self, click: Point, runner: ModelRunner) -> None:
        """End what is done ahead as soon as something else is wanted that it doesn't serve."""
        scheduler = self._scheduler
        with scheduler.lock:
            state, waiting, newest = scheduler.history.state, scheduler.unanswered, self._newest
        if scheduler.closed or runner is not scheduler.runner:
            raise Interrupted
        if not waiting and newest is click:
            return
        wanted = [state.object(each).told for each in scheduler.masks.behind(state)]
        if not waiting and newest is not None:
            wanted = [(*scheduler.told_next(state), newest)]
        if not any(map(runner.serves, wanted)):
            raise Interrupted
