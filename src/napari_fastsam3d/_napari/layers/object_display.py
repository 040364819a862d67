"""Which objects are shown, and how strongly: display, not a step of the log."""

from __future__ import annotations

from napari_fastsam3d._napari.layers.masks import MaskLayer
from napari_fastsam3d.session import ObjectState, Session


class ObjectDisplay:
    """Shows or hides the masks of single objects, and fades them.

    Parameters
    ----------
    session : Session
    mask : MaskLayer
    """

    def __init__(self, session: Session, mask: MaskLayer) -> None:
        self._session, self._mask = session, mask
        self._strengths: dict[int, float] = {}
        self.unticked: frozenset[int] = frozenset()
        """Ids of the objects that the user hid one by one."""
        self.alone = False
        """Whether the current object is shown alone."""

    @property
    def hidden(self) -> frozenset[int]:
        """Ids of the objects that are not shown."""
        state = self._session.state
        if not self.alone or state.current is None:
            return self.unticked
        return frozenset(each.id for each in state.objects if each.id != state.current)

    def set_visible(self, number: int, visible: bool) -> None:
        """Show the mask of an object, or hide it."""
        self.unticked = self.unticked - {number} if visible else self.unticked | {number}
        self.draw()

    def show_alone(self, alone: bool) -> None:
        """Show the current object alone, whichever it is, or all that are ticked."""
        self.alone = alone
        self.draw()

    def strength_of(self, number: int) -> float:
        """Return how opaque an object is beside the layer's own opacity, 0 to 1."""
        return self._strengths.get(number, 1.0)

    def fade(self, number: int, strength: float) -> None:
        """Show an object less or more opaque, 0 to 1."""
        self._strengths[number] = strength
        self.draw()

    def draw(self) -> None:
        """Give every label the colour of its object."""
        self._mask.show(self._session.state.objects, self.hidden, self._strengths)


def sorted_objects(session: Session, order: str) -> list[ObjectState]:
    """Return the objects of a session by name, by size (the largest first), or as begun."""
    objects = list(session.state.objects)
    if order == "name":
        return sorted(objects, key=lambda each: each.name.casefold())
    if order == "size":
        return sorted(objects, key=lambda each: -int(session.region(each.id).voxels.sum()))
    return objects
