"""What a session keeps of its masks for later ones, and what it was told of earlier ones."""

from napari_fastsam3d.inference.accepted import refusal
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.memory.question import RecalledCase, Way
from napari_fastsam3d.session.model_commands import ModelCommands
from napari_fastsam3d.session.request import Result


class MemoryCommands(ModelCommands):
    """The commands of a session about its memory."""

    @property
    def memory(self) -> MemoryBank | None:
        """The bank that cases are recalled from."""
        return self._scheduler.memory

    @property
    def recall(self) -> Way | None:
        """How cases are recalled for objects begun from now on; see `set_recall`."""
        return self._scheduler.recall

    @recall.setter
    def recall(self, way: Way | None) -> None:
        self._scheduler.recall = None if self._scheduler.memory is None else way

    def accept_object(self, number: int | None = None) -> Result:
        """Lock an object and call it finished, by default the current one.

        A session that has a memory and waits for this remembers the mask for other scans, unless
        it has no name, the model is not sure of it, or it took many prompts: `noted` says why, and
        `Session.remember` does it anyway. Undo doesn't forget it again. MemoryBankError or
        SaveError says where it couldn't be written; it is accepted all the same.
        """
        self.thread.check_may_wait()
        result = self.futures.accept_object(number).result()
        if self._scheduler.memory is not None and not result.stale:
            why = self.reason_not_to_remember(result.object)
            if why is None:
                self.futures.remember(result.object).result()
            else:
                name = self.state.object(result.object).name
                self._scheduler.signals.note(f"{name} was not remembered. {why}")
        return result

    def reason_not_to_remember(self, number: int | None = None) -> str | None:
        """Return why an accepted object is not remembered by itself, a sentence; None if it is.

        Parameters
        ----------
        number : int, optional
            Id of the object; by default the current one.
        """
        each = self.state.chosen(number)
        if not each.is_named:
            return "It has no name, by which it could be recalled."
        predicted = self._scheduler.masks.of_object(each.id).step.predicted_iou
        return refusal(predicted, len(each.prompts))

    def recalled(self, number: int | None = None) -> tuple[RecalledCase, ...]:
        """Return the cases that were recalled for an object's mask, the likest first.

        Parameters
        ----------
        number : int, optional
            Id of the object; by default the current one, if there is one.
        """
        chosen = self._object(number)
        if chosen is None:
            return ()
        prompts = self._scheduler.masks.of_object(chosen.id).prompts
        return self._scheduler.recollections.of(prompts).cases

    def is_recall_refuted(self, number: int | None = None) -> bool:
        """Whether clicks contradict what was recalled so often that it no longer counts.

        Parameters
        ----------
        number : int, optional
            Id of the object; by default the current one, if there is one.
        """
        chosen = self._object(number)
        if chosen is None or not self.recalled(chosen.id):
            return False
        step = self._scheduler.masks.of_object(chosen.id).step
        return step.predicted_iou is not None and not step.recalled
