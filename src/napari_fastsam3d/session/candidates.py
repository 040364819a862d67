"""What the newest click or box of an object may mean, to choose from."""

from concurrent.futures import Future
from dataclasses import dataclass

from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.prompt import Prompt
from napari_fastsam3d.session.mask_cache import prompts_of
from napari_fastsam3d.session.model_runner import Interrupted, Runner
from napari_fastsam3d.session.scheduler import Scheduler


@dataclass(frozen=True, eq=False)
class Candidate:
    """One of the masks that the newest click or box may mean.

    Parameters
    ----------
    rank : int
        By size, 0 for the smallest; what `Session.choose` takes.
    mask : Mask
        Source index; click constraints enforced.
    shown : bool
        Whether it is the object's mask now.
    """

    rank: int
    mask: Mask
    shown: bool


def ask_candidates(scheduler: Scheduler, number: int) -> Future[tuple[Candidate, ...]]:
    """Let the model thread find the candidates of an object, once nothing more urgent waits.

    They come out empty where a newer command is waited for, or there are none.
    """
    with scheduler.lock:
        scheduler.check_open()
        prompts = scheduler.history.state.object(number).told
        return scheduler.thread.submit(_find, scheduler, scheduler.runner, number, prompts)


def _find(
    scheduler: Scheduler, runner: Runner, number: int, prompts: tuple[Prompt, ...]
) -> tuple[Candidate, ...]:
    def check_wanted() -> None:
        with scheduler.lock:
            changed = prompts_of(scheduler.history.state, number) != prompts
            waited_for = scheduler.pending.unanswered
        if changed or waited_for or scheduler.closed or runner is not scheduler.runner:
            raise Interrupted

    try:
        check_wanted()
        found = runner.candidates(prompts, check_wanted)
        shown = runner.step(prompts, check_wanted).mask
        check_wanted()
    except Interrupted:
        return ()
    finally:
        scheduler.release(runner)
    return tuple(
        Candidate(rank, step.mask, step.mask.equals(shown)) for rank, step in enumerate(found)
    )
