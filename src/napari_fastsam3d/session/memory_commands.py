"""What a session keeps of its masks for later ones."""

from napari_fastsam3d.errors import SessionError
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.accepted import accepted_case, refusal
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.memory.case import Case, Entry
from napari_fastsam3d.memory.remember import has_features
from napari_fastsam3d.session.model_commands import ModelCommands
from napari_fastsam3d.session.request import Result
from napari_fastsam3d.session.state import ObjectState


class MemoryCommands(ModelCommands):
    """The commands of a session about its memory."""

    def accept_object(self, number: int | None = None) -> Result:
        """Lock an object and call it finished, by default the current one.

        A session that has a memory and waits for this remembers the mask for other scans, unless
        the model is not sure of it or it took many prompts: `noted` says why, and
        `Session.remember` does it anyway. Undo doesn't forget it again. MemoryBankError or
        SaveError says where it couldn't be written; it is accepted all the same.
        """
        self.thread.check_may_wait()
        result = self.futures.accept_object(number).result()
        if self._scheduler.memory is not None and not result.stale:
            each = self.state.object(result.object)
            why = refusal(self._predicted_iou(each), len(each.prompts))
            if why is None:
                self.remember(each.id)
            else:
                self._scheduler.signals.note(f"{each.name} was not remembered. {why}")
        return result

    def remember(self, number: int | None = None) -> Entry:
        """Keep an object's mask in the memory for later scans, by default the current one's.

        Returns
        -------
        Entry
            What the bank says of it.

        Raises
        ------
        SessionError
            Without a memory, for an empty mask, and where the model has no features to remember.
        MemoryBankError, SaveError
            If it can't be written.
        """
        self.wait()
        each = self.state.chosen(number)
        bank, mask = self._scheduler.memory, self.region(each.id)
        if bank is None:
            raise SessionError("This session has no memory.", "Give it one: memory=MemoryBank().")
        if mask.is_empty:
            raise SessionError(f"{each.name} is empty.", "Segment it first.")
        return self.thread.submit(self._remember, each, mask, bank).result()

    def _remember(self, each: ObjectState, mask: Mask, bank: MemoryBank) -> Entry:
        case = self._case(each, mask)
        bank.add(case)
        return case.entry

    def _case(self, each: ObjectState, mask: Mask) -> Case:
        predictor = self.thread.obtain(self._scheduler.signals.report_progress)
        if not has_features(predictor):
            raise SessionError(
                f"{predictor.name} has no features that could be remembered.",
                "Choose the default model or a published one.",
            )
        predicted_iou, prompts = self._predicted_iou(each), len(each.prompts)
        return accepted_case(
            predictor, self.volume, mask, each.name, predicted_iou=predicted_iou, clicks=prompts
        )

    def _predicted_iou(self, each: ObjectState) -> float | None:
        return self._scheduler.masks.of_object(each.id).step.predicted_iou
