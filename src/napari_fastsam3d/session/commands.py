"""What a user can do to a session, each command once: it returns at once, its mask follows."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import SupportsIndex

from napari_fastsam3d.errors import PromptError, SessionError
from napari_fastsam3d.geometry.box import Box, Index
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import (
    BoxPrompt,
    Choice,
    Edit,
    Freeze,
    Point,
    has_candidates,
)
from napari_fastsam3d.inference.prompt_check import box_between, point_index, positivity
from napari_fastsam3d.session.automatic_commands import AutomaticCommands
from napari_fastsam3d.session.candidates import Candidate, ask_candidates
from napari_fastsam3d.session.clean_up_commands import CleanUpCommands
from napari_fastsam3d.session.history import History
from napari_fastsam3d.session.label_map import contested, holder_of
from napari_fastsam3d.session.prompt_actions import (
    AddPrompt,
    DeletePrompt,
    FlipPrompt,
    MovePrompt,
    ResetObject,
)
from napari_fastsam3d.session.recall_commands import RecallCommands
from napari_fastsam3d.session.request import Result
from napari_fastsam3d.session.scribble_commands import ScribbleCommands
from napari_fastsam3d.session.state import SessionState

Voxel = Sequence[SupportsIndex]


class Commands(CleanUpCommands, ScribbleCommands, RecallCommands, AutomaticCommands):
    """The commands of a session, each returning at once; `Session` has the same ones that wait.

    The log has changed, and `changed` was emitted, when a command returns; bad arguments raise
    there. The mask follows in the model thread: the future gets its `Result`. A newer request
    for the same object overtakes one that waits, which then comes out with `stale` set. Where
    the model fails, the future gets the error and the log is as before the command.

    Parameters
    ----------
    scheduler : Scheduler
    """

    def add_point(self, index: Voxel, positive: bool = True) -> Future[Result]:
        """Click on a voxel: it belongs to the current object, or, negative, doesn't.

        Without a current object, one is begun; both are one step of undo.

        Parameters
        ----------
        index : sequence of three integers
            Source index of a voxel of the volume.
        positive : bool
            Whether the voxel belongs to the object.
        """
        voxel = point_index(index, self._scheduler.volume.shape)
        inside = positivity(positive)
        return self._scheduler.prompt(
            lambda state: AddPrompt(state.target, Point(state.next_prompt, voxel, inside))
        )

    def add_box(self, start: Voxel, stop: Voxel, guessed_axis: int | None = None) -> Future[Result]:
        """Draw a box around the current object, or around a new one if there is none.

        Parameters
        ----------
        start, stop : sequence of three integers
            Opposite corners, half-open source box, in any order; what lies outside the volume
            is cut off.
        guessed_axis : int, optional
            Source axis along which the extent of the box is a guess, as of a rectangle drawn in
            one slice: the box is taken to reach as far there as what it holds of the object.
        """
        box = box_between(start, stop, self._scheduler.volume.shape)
        if guessed_axis not in (None, 0, 1, 2):
            raise PromptError(f"{guessed_axis!r} is no axis.", "Give 0, 1, 2 or None.")
        return self._scheduler.prompt(
            lambda state: AddPrompt(state.target, BoxPrompt(state.next_prompt, box, guessed_axis))
        )

    def candidates(self, number: int | None = None) -> Future[tuple[Candidate, ...]]:
        """Find what the newest click or box of an object may mean: a part, the whole, a group.

        Parameters
        ----------
        number : int, optional
            Id of the object; by default the current one.

        Returns
        -------
        tuple of Candidate
            At most three, the smallest first; what is shown is among them, where the newest prompt
            is a click or a box. Empty otherwise, and where a newer command came in between.
        """
        scheduler = self._scheduler
        return ask_candidates(scheduler, scheduler.history.state.chosen(number).id)

    def choose(self, rank: int, number: int | None = None) -> Future[Result]:
        """Take another of the candidates; one step of undo.

        Parameters
        ----------
        rank : int
            Which, by size: 0 for the smallest. Past the largest it is that.
        number : int, optional
            Id of the object; by default the current one.
        """
        if isinstance(rank, bool) or not isinstance(rank, int) or rank < 0:
            raise PromptError(f"{rank!r} is no candidate.", "Count them from 0, by size.")

        def chosen(state: SessionState) -> AddPrompt:
            own = state.chosen(number)
            if not has_candidates(own.prompts):
                raise PromptError(
                    "There is nothing to choose from.", "Click or draw a box, then choose."
                )
            return AddPrompt(own.id, Choice(state.next_prompt, rank))

        return self._scheduler.do(chosen)

    def freeze_region(self, start: Voxel, stop: Voxel) -> Future[Result]:
        """Keep the current object as it is in a region, whatever later prompts change elsewhere.

        It is one more of the object's prompts: it can be undone, moved and deleted. A later edit
        in the region counts, and so does the very voxel of a later click.

        Parameters
        ----------
        start, stop : sequence of three integers
            Opposite corners, as for `add_box`.
        """
        box = box_between(start, stop, self._scheduler.volume.shape)
        return self._scheduler.prompt(
            lambda state: AddPrompt(state.target, Freeze(state.next_prompt, box))
        )

    def move_prompt(self, prompt: int, to: Voxel | Box) -> Future[Result]:
        """Put a point, a box or a frozen region elsewhere; it keeps its place in the order.

        Parameters
        ----------
        prompt : int
            Its id.
        to : sequence of three integers, or Box
            The voxel that a point is to be at, or the half-open box, both source index.
        """
        place = _place(to, self._scheduler.volume.shape)
        return self._scheduler.do(lambda state: MovePrompt(state.owner(prompt).id, prompt, place))

    def flip_prompt(self, prompt: int) -> Future[Result]:
        """Make the positive point or scribble of that id negative, or a negative one positive."""
        return self._scheduler.do(lambda state: FlipPrompt(state.owner(prompt).id, prompt))

    def delete_prompt(self, prompt: int) -> Future[Result]:
        """Take the prompt of that id away, whichever it is."""
        return self._scheduler.do(lambda state: DeletePrompt(state.owner(prompt).id, prompt))

    def take_over(self, index: Voxel, number: int | None = None) -> Future[Result]:
        """Give an object what another one keeps from it around a voxel.

        The other loses the connected part of what both claim that holds the voxel, by an edit of
        its own: one step of undo. A locked object must be unlocked first.

        Parameters
        ----------
        index : sequence of three integers
            Source index, such as that of a click for which `Result.holder` names another.
        number : int, optional
            Id of the object that wins; by default the current one, which it stays.

        Returns
        -------
        Result
            Of the object that lost.
        """
        voxel = point_index(index, self._scheduler.volume.shape)
        scheduler = self._scheduler
        with scheduler.lock:
            state, own = scheduler.history.state, scheduler.masks.own
            winner = state.chosen(number)
            holder = holder_of(state, winner.id, voxel, own)
            if holder is None:
                raise SessionError(
                    f"No other object keeps {voxel} from {winner.name}.",
                    "Name a voxel that another object keeps.",
                )
            lost = PackedMask.of(contested(own(winner), own(holder), voxel))
        future = scheduler.do(
            lambda state: AddPrompt(holder.id, Edit(state.next_prompt, PackedMask(), lost))
        )
        self.select_object(winner.id)
        return future

    def undo(self) -> Future[Result]:
        """Take the last step back, in whichever object it was; that becomes the current one."""
        return self._scheduler.change(History.undo)

    def redo(self) -> Future[Result]:
        """Do again what `undo` took back last."""
        return self._scheduler.change(History.redo)

    def reset_object(self, number: int | None = None) -> Future[Result]:
        """Take all prompts of an object away, by default of the current one."""
        return self._scheduler.do(lambda state: ResetObject(state.chosen(number).id))

    def edit_mask(
        self, added: Mask | None = None, removed: Mask | None = None, number: int | None = None
    ) -> Future[Result]:
        """Add voxels to an object, and take others away, by hand.

        An edit is one more of the object's prompts: it can be undone and deleted, and the model
        is given the edited mask at the next click. What was painted stays painted, and what was
        erased stays erased, until a newer edit, or a newer click on the very voxel, says
        otherwise.

        Parameters
        ----------
        added, removed : Mask, optional
            Source index, as by `Mask.of_indices`; a voxel in both is removed. What lies outside
            the volume is cut off.
        number : int, optional
            Id of the object; by default the current one, or a new one if there is none.
        """
        plus, minus = self._packed(added), self._packed(removed)
        if plus.is_empty and minus.is_empty:
            raise PromptError("The edit holds no voxel of the volume.", "Paint inside it.")
        return self._scheduler.prompt(
            lambda state: AddPrompt(
                state.target if number is None else number, Edit(state.next_prompt, plus, minus)
            )
        )

    def make_mask_again(self, number: int) -> Future[Result]:
        """Let the present model make the mask of an object again; no step of undo."""
        scheduler = self._scheduler
        with scheduler.lock:
            scheduler.check_open()
            owner = scheduler.history.state.object(number)
            if owner.locked is not None:
                raise SessionError(f"{owner.name} is locked.", "Unlock it first.")
            return scheduler.ask_model(scheduler.pending.new(number))


def _place(to: Voxel | Box, shape: Index) -> Index | Box:
    return box_between(to.start, to.stop, shape) if isinstance(to, Box) else point_index(to, shape)
