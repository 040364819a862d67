"""The last finished mask of each object, and which of them follow their prompts."""

from functools import lru_cache

from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.step import Step
from napari_fastsam3d.session.journal.store import Kept
from napari_fastsam3d.session.label_map import holders
from napari_fastsam3d.session.request import Shown, prompts_digest
from napari_fastsam3d.session.state import ObjectState, SessionState

_LOCKED_KEPT = 64
_NOTHING = Shown()


class Board:
    """What is shown now; each method is one step that no other thread can come between."""

    def __init__(self) -> None:
        self._shown: dict[int, Shown] = {}
        self._unpacked = lru_cache(maxsize=_LOCKED_KEPT)(PackedMask.unpack)

    @classmethod
    def of(cls, kept: Kept) -> "Board":
        """Return the masks of a journal; one of other prompts is shown until its own is there."""
        board = cls()
        for each in kept.history.state.objects:
            found = kept.masks.get(each.id)
            if found is not None and each.prompts:
                answers = found.prompts == prompts_digest(each.prompts)
                step = Step(found.mask.unpack())
                prompts = each.prompts if answers else ()
                board._shown[each.id] = Shown(prompts, step, found.model)
        return board

    def of_object(self, number: int) -> Shown:
        """Return the last finished mask of an object, and its prompts."""
        return self._shown.get(number, _NOTHING)

    def own(self, each: ObjectState) -> Mask:
        """Return the locked mask of an object, or else the last finished one of its prompts."""
        if each.locked is not None:
            return self._unpacked(each.locked)
        return self.of_object(each.id).step.mask

    def put(self, number: int, shown: Shown) -> None:
        """Show another mask of an object."""
        self._shown[number] = shown

    def forget(self, number: int) -> Box:
        """Drop the mask of an object that is gone; return where it was."""
        return self._shown.pop(number, _NOTHING).step.mask.box

    def behind(self, state: SessionState) -> list[int]:
        """Return the ids of the objects whose mask doesn't follow their prompts."""
        return [o.id for o in state.objects if not self.of_object(o.id).answers(o.prompts)]

    def behind_of(self, state: SessionState, number: int) -> list[int]:
        """Return those of them that matter to how one object is shown."""
        if not state.has(number):
            return []
        concerned = {number, *(each.id for each in holders(state, number))}
        return [each for each in self.behind(state) if each in concerned]
