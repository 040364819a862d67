"""What a user can do with the memory of a session: recall, find a structure, remember an object."""

from concurrent.futures import Future
from dataclasses import replace

from napari_fastsam3d.errors import MemoryBankError, SessionError
from napari_fastsam3d.inference.accepted import accepted_case, keep
from napari_fastsam3d.inference.crop_policy import CropPolicy
from napari_fastsam3d.inference.recall_prompts import FindPrompt
from napari_fastsam3d.inference.scan_part import kept_scan
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.memory.case import Entry, structure_of
from napari_fastsam3d.memory.question import WAYS, Way
from napari_fastsam3d.memory.remember import has_features
from napari_fastsam3d.memory.search import of_structure
from napari_fastsam3d.session.label_map import shown_mask
from napari_fastsam3d.session.object_actions import SetRecall
from napari_fastsam3d.session.object_commands import ObjectCommands
from napari_fastsam3d.session.prompt_actions import FindStructure
from napari_fastsam3d.session.request import Result, answered
from napari_fastsam3d.session.scheduler import Scheduler
from napari_fastsam3d.session.state import SessionState, recall_for


class RecallCommands(ObjectCommands):
    """The commands about the memory; see `Commands`."""

    def set_recall(self, way: Way | None, number: int | None = None) -> Future[Result]:
        """Choose how earlier cases are recalled for objects begun from now on, and for one at once.

        For the one it is a step of undo, and its mask is made again, of what is remembered of its
        present name. Where it is locked, or has no prompts, nothing of it changes.

        Parameters
        ----------
        way : "reader", "prior", "published" or None
            None turns the memory off.
        number : int, optional
            Id of the object; by default the current one, if there is one.
        """
        if way is not None:
            bank_of(self._scheduler)
            if way not in WAYS:
                raise SessionError(f"There is no way {way!r}.", f"Choose one of {', '.join(WAYS)}.")
        scheduler = self._scheduler
        scheduler.recall = way
        state = scheduler.history.state
        number = state.current if number is None else number
        each = None if number is None else state.object(number)
        if each is None or not each.prompts or each.locked is not None:
            return answered(scheduler.pending.new(number or 0).result(), None)
        return scheduler.do(
            lambda state: SetRecall(each.id, recall_for(state.object(each.id), way))
        )

    def leave_out(self, case: str, number: int | None = None) -> Future[Result]:
        """Make an object's mask again without a case that was recalled for it; one step of undo.

        Parameters
        ----------
        case : str
            Its id.
        number : int, optional
            Id of the object; by default the current one.

        Raises
        ------
        SessionError
            If nothing is recalled for it, or it is locked.
        """

        def without(state: SessionState) -> SetRecall:
            each = state.chosen(number)
            if each.recall is None:
                raise SessionError(f"Nothing is recalled for {each.name}.", "Turn the memory on.")
            left_out = (*each.recall.without, case)
            return SetRecall(each.id, replace(each.recall, without=left_out))

        return self._scheduler.do(without)

    def find(self, structure: str) -> Future[Result]:
        """Begin an object with a proposal for a remembered structure, without a click.

        The whole scan is searched, which takes as long as a first click for each part of it that
        the model looks at. It is one step of undo, to be accepted or corrected by clicks.

        Parameters
        ----------
        structure : str
            As it is called in the memory; capitals don't matter.

        Raises
        ------
        SessionError
            Without a memory.
        MemoryBankError
            Where no case of that is remembered.
        """
        cases = _remembered(self._scheduler, structure)
        return self._scheduler.do(
            lambda state: FindStructure(
                state.next_object, FindPrompt(state.next_prompt, cases[-1].name, len(cases))
            )
        )

    def remember(self, number: int | None = None) -> Future[Entry]:
        """Keep an object's mask in the memory for later scans, by default the current one's.

        It is the mask that is shown once the model has done what it was asked before.

        Returns
        -------
        Entry
            What the bank says of it.

        Raises
        ------
        SessionError
            Without a memory, or a name of the object; for an empty mask; and where the model has no
            features to remember.
        MemoryBankError, SaveError
            If it can't be written.
        """
        scheduler = self._scheduler
        bank, each = bank_of(scheduler), scheduler.history.state.chosen(number)
        if not each.is_named:
            raise SessionError(
                f"{each.name} has no name yet, by which it could be recalled.", "Give it one."
            )
        return scheduler.thread.submit(_remember, scheduler, bank, each.id)


def bank_of(scheduler: Scheduler) -> MemoryBank:
    """Return the memory of a session; SessionError if it has none."""
    if scheduler.memory is None:
        raise SessionError("This session has no memory.", "Give it one: memory=MemoryBank().")
    return scheduler.memory


def _remembered(scheduler: Scheduler, structure: str) -> tuple[Entry, ...]:
    """Return the remembered cases of a structure, for the model of the session if it is loaded."""
    entries = bank_of(scheduler).index().entries
    predictor = scheduler.thread.predictor
    usable = entries
    if predictor is not None and has_features(predictor):
        usable = [each for each in entries if each.model == predictor.encoder_fingerprint]
    models = {e.model for e in entries if structure_of(e.name) == structure_of(structure)}
    if models and models.isdisjoint(e.model for e in usable):
        raise MemoryBankError(
            f"{structure} was remembered with another model only.", "Choose that model."
        )
    return of_structure(structure, usable)


def _remember(scheduler: Scheduler, bank: MemoryBank, number: int) -> Entry:
    """Look at an object's mask once more and keep it; in the model thread."""
    with scheduler.lock:
        state = scheduler.history.state
        each, mask = state.object(number), shown_mask(state, number, scheduler.masks.own)
        predicted = scheduler.masks.of_object(number).step.predicted_iou
    if mask.is_empty:
        raise SessionError(f"{each.name} is empty.", "Segment it first.")
    predictor = scheduler.thread.obtain(scheduler.signals.report_progress)
    if not has_features(predictor):
        raise SessionError(
            f"{predictor.name} has no features that could be remembered.",
            "Choose the default model or a published one.",
        )
    case = accepted_case(
        predictor,
        scheduler.volume,
        mask,
        each.name,
        predicted_iou=predicted,
        clicks=len(each.prompts),
    )
    policy = CropPolicy.of(scheduler.volume, predictor)
    keep(bank, case, scheduler.volume, lambda: kept_scan(scheduler.volume, mask, policy))
    return case.entry
