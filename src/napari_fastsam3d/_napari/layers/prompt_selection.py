"""Which prompts are selected: the same ones in the list and in the layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from psygnal import Signal

from napari_fastsam3d._napari.layers.prompt_input import CommandRunner, SessionCommand
from napari_fastsam3d._napari.layers.session_layers import SessionLayers
from napari_fastsam3d.session import Point, Prompt, Scribble


class PromptSelection:
    """The selected prompts of the current object, and the commands on them.

    Parameters
    ----------
    layers : SessionLayers
        Show what is selected, and signal what the user selects in them.
    prompts : callable
        Returns the prompts of the current object.
    run : CommandRunner
    show : callable
        Moves the slices to a prompt.
    """

    changed = Signal(tuple)

    def __init__(
        self,
        layers: SessionLayers,
        prompts: Callable[[], tuple[Prompt, ...]],
        run: CommandRunner,
        show: Callable[[Prompt], None],
    ) -> None:
        self._layers = layers
        self._prompts, self._run, self._show = prompts, run, show
        self.ids: tuple[int, ...] = ()
        layers.points.selected.connect(self._select)
        layers.boxes.selected.connect(self._select)

    def select(self, ids: Sequence[int], show: int | None = None) -> None:
        """Select exactly these prompts, and move the slices to one of them."""
        self._select(tuple(prompt.id for prompt in self._prompts() if prompt.id in ids))
        for prompt in self._prompts():
            if prompt.id == show:
                self._show(prompt)

    def step(self, by: int) -> None:
        """Select the prompt after the selected one, or before it, cyclically, and go to it."""
        known = [prompt.id for prompt in self._prompts()]
        if not known:
            return
        last = known.index(self.ids[-1]) if self.ids else (-1 if by > 0 else 0)
        number = known[(last + by) % len(known)]
        self.select([number], show=number)

    def flip(self) -> None:
        """Flip the selected points and scribbles; where nothing is selected, the last one."""
        signed = [prompt.id for prompt in self._prompts() if isinstance(prompt, Point | Scribble)]
        chosen = [number for number in signed if number in self.ids]
        flipped = chosen if self.ids else signed[-1:]
        self._each([lambda session, n=n: session.flip_prompt(n) for n in flipped])

    def delete(self) -> None:
        """Delete the selected prompts, of any kind."""
        self._each([lambda session, n=n: session.delete_prompt(n) for n in self.ids])

    def follow(self) -> None:
        """Forget prompts that are gone, and select the others in layers that were redrawn."""
        kept = {prompt.id for prompt in self._prompts()}
        self._select(tuple(number for number in self.ids if number in kept))

    def _each(self, commands: Sequence[SessionCommand]) -> None:
        for command in commands:
            if self._run(command) is None:
                return  # the others would be refused for the same reason, such as a locked object

    def _select(self, ids: tuple[int, ...]) -> None:
        changed, self.ids = ids != self.ids, ids
        self._layers.points.select(ids)
        self._layers.boxes.select(ids)
        self._layers.scribbles.select(ids)
        if changed:
            self.changed.emit(ids)
