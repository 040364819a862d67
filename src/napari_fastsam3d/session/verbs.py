"""The verbs of a session that wait for the mask."""

from napari_fastsam3d.errors import SessionError
from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.session.colour import Colour
from napari_fastsam3d.session.engine import Engine
from napari_fastsam3d.session.futures import Futures, Voxel
from napari_fastsam3d.session.result import Result
from napari_fastsam3d.session.state import OverlapRule
from napari_fastsam3d.session.views import Views


class Verbs(Views):
    """What a user can do to a session; each verb waits for its mask and returns a `Result`.

    Parameters
    ----------
    engine : Engine

    Attributes
    ----------
    futures : Futures
        The verbs without waiting.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.futures = Futures(engine)

    def add_point(self, index: Voxel, positive: bool = True) -> Result:
        """Click on a voxel: it belongs to the current object, or, negative, doesn't.

        Without a current object, one is begun; both are one step of undo.

        Parameters
        ----------
        index : sequence of three integers
            Source index of a voxel of the volume.
        positive : bool
            Whether the voxel belongs to the object.
        """
        return self._waiting().add_point(index, positive).result()

    def add_box(self, start: Voxel, stop: Voxel, guessed_axis: int | None = None) -> Result:
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
        return self._waiting().add_box(start, stop, guessed_axis).result()

    def freeze_region(self, start: Voxel, stop: Voxel) -> Result:
        """Keep the current object as it is in a region, whatever later prompts change elsewhere.

        It is one more of the object's prompts: it can be undone, moved and deleted. A later edit
        in the region counts, and so does the very voxel of a later click.

        Parameters
        ----------
        start, stop : sequence of three integers
            Opposite corners, as for `add_box`.
        """
        return self._waiting().freeze_region(start, stop).result()

    def move_prompt(self, prompt: int, to: Voxel | Box) -> Result:
        """Put a point, a box or a frozen region elsewhere; it keeps its place in the order.

        Parameters
        ----------
        prompt : int
            Its id.
        to : sequence of three integers, or Box
            The voxel that a point is to be at, or the half-open box, both source index.
        """
        return self._waiting().move_prompt(prompt, to).result()

    def flip_prompt(self, prompt: int) -> Result:
        """Make the positive point of that id negative, or a negative one positive."""
        return self._waiting().flip_prompt(prompt).result()

    def delete_prompt(self, prompt: int) -> Result:
        """Take the prompt of that id away, whichever it is."""
        return self._waiting().delete_prompt(prompt).result()

    def take_over(self, index: Voxel, number: int | None = None) -> Result:
        """Give an object what another one keeps from it around a voxel.

        The other loses the connected part of what both claim that holds the voxel, by an edit of
        its own: one step of undo. A locked object must be unlocked first.

        Parameters
        ----------
        index : sequence of three integers
            Source index, such as that of a click that `Result.holder` tells of.
        number : int, optional
            Id of the object that wins; by default the current one, which it stays.

        Returns
        -------
        Result
            Of the object that lost.
        """
        return self._waiting().take_over(index, number).result()

    def undo(self) -> Result:
        """Take the last step back, in whichever object it was; that becomes the current one."""
        return self._waiting().undo().result()

    def redo(self) -> Result:
        """Do again what `undo` took back last."""
        return self._waiting().redo().result()

    def reset_object(self, number: int | None = None) -> Result:
        """Take all prompts of an object away, by default of the current one."""
        return self._waiting().reset_object(number).result()

    def edit_mask(
        self, added: Mask | None = None, removed: Mask | None = None, number: int | None = None
    ) -> Result:
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
        return self._waiting().edit_mask(added, removed, number).result()

    def add_mask(self, mask: Mask, name: str | None = None, value: int | None = None) -> Result:
        """Begin an object with a mask, to be refined by clicks; it becomes the current one.

        Parameters
        ----------
        mask : Mask
            Source index, such as `Mask.of_volume` of an array.
        name, value : optional
            See `new_object`.
        """
        return self._waiting().add_mask(mask, name, value).result()

    def new_object(self, name: str | None = None, value: int | None = None) -> Result:
        """Begin another object and make it the current one; `Result.object` is its id.

        Parameters
        ----------
        name : str, optional
            By default "object" and its number. No two objects have one name; capitals don't tell
            names apart.
        value : int, optional
            Its value in label maps, 1 to 65535, which no other object has; `organs` knows those
            of common organs. By default the next one never used by an object before it.
        """
        return self._waiting().new_object(name, value).result()

    def select_object(self, number: int) -> Result:
        """Make an object the current one; no step of undo, for nothing is changed by it."""
        return self._waiting().select_object(number).result()

    def rename_object(self, number: int, name: str) -> Result:
        """Give the object of that id another name, which no other object has."""
        return self._waiting().rename_object(number, name).result()

    def remove_object(self, number: int | None = None) -> Result:
        """Take an object away, by default the current one; the others keep their values."""
        return self._waiting().remove_object(number).result()

    def recolour_object(self, number: int, colour: Colour) -> Result:
        """Give the object of that id another colour: red, green and blue in [0, 1]."""
        return self._waiting().recolour_object(number, colour).result()

    def revalue_object(self, number: int, value: int) -> Result:
        """Give the object of that id another value in label maps, which no other object has."""
        return self._waiting().revalue_object(number, value).result()

    def lock_object(self, number: int | None = None) -> Result:
        """Keep an object's mask as it is shown now, by default the current one's.

        Its prompts can't be changed until it is unlocked, and no other object gets its voxels,
        unless objects share theirs (`set_overlap`). Name, colour and value can be changed.
        """
        return self._waiting().lock_object(number).result()

    def accept_object(self, number: int | None = None) -> Result:
        """Lock an object and call it finished, by default the current one."""
        return self._waiting().accept_object(number).result()

    def unlock_object(self, number: int | None = None) -> Result:
        """Let an object's mask follow its prompts again, by default the current one's."""
        return self._waiting().unlock_object(number).result()

    def set_overlap(self, rule: OverlapRule) -> Result:
        """Choose whose a voxel is that several objects claim; one step of undo.

        Parameters
        ----------
        rule : {"keep", "overwrite", "share"}
            Locked objects keep their voxels. Of the others, "keep" gives it to the one that was
            begun first, "overwrite" to the one with the newest prompt; "share" lets all hold it,
            also voxels of locked ones, and only where one value must do, as in a label map, the
            first by "keep" is named.
        """
        return self._waiting().set_overlap(rule).result()

    def _waiting(self) -> Futures:
        if self.thread.is_current:
            raise SessionError(
                "A verb that waits was called in the model thread, which would wait for itself.",
                "Call it in another thread, or use the verbs of session.futures.",
            )
        return self.futures
