# pyright: basic
"""Which prompts are selected: the same ones in the list, in the points and in the boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_fastsam3d.session import Point

if TYPE_CHECKING:
    from napari_fastsam3d._napari.session_view import SessionView


class PromptSelection:
    """The selected prompts of the current object, and what is done to them.

    Parameters
    ----------
    view : SessionView
        Its layers show what is selected and tell what the user selects in them.
    """

    changed = Signal(tuple)

    def __init__(self, view: SessionView) -> None:
        self._view = view
        self._points, self._boxes = view.points, view.boxes
        self.ids: tuple[int, ...] = ()
        self._points.chose.connect(self._select)
        self._boxes.chose.connect(self._select)

    def choose(self, ids: Sequence[int], fly_to: int | None = None) -> None:
        """Select exactly these prompts, and turn the slices to one of them."""
        self._select(tuple(prompt.id for prompt in self._view.prompts if prompt.id in ids))
        for prompt in self._view.prompts:
            if prompt.id == fly_to:
                self._view.turn_to(prompt)

    def step(self, by: int) -> None:
        """Select the prompt after the selected one, or before it, and turn to it; round again."""
        known = [prompt.id for prompt in self._view.prompts]
        if not known:
            return
        last = known.index(self.ids[-1]) if self.ids else (-1 if by > 0 else 0)
        number = known[(last + by) % len(known)]
        self.choose([number], fly_to=number)

    def flip(self) -> None:
        """Flip the selected points; where nothing is selected, the last one."""
        points = [prompt.id for prompt in self._view.prompts if isinstance(prompt, Point)]
        chosen = [number for number in points if number in self.ids]
        self._each("flip_prompt", chosen if self.ids else points[-1:])

    def delete(self) -> None:
        """Take the selected prompts away, whichever they are."""
        self._each("delete_prompt", self.ids)

    def follow(self) -> None:
        """Forget prompts that are gone, and select the others in layers that were redrawn."""
        kept = {prompt.id for prompt in self._view.prompts}
        self._select(tuple(number for number in self.ids if number in kept))

    def _each(self, verb: str, ids: Sequence[int]) -> None:
        for number in ids:
            if self._view.run(verb, number) is None:
                return  # what is refused once, as of a locked object, would be told again

    def _select(self, ids: tuple[int, ...]) -> None:
        news, self.ids = ids != self.ids, ids
        self._points.choose(ids)
        self._boxes.choose(ids)
        if news:
            self.changed.emit(ids)
