"""The layers of one session in one viewer: prompts go out to the session, masks come in."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari.layers import Image, Layer
from psygnal import Signal

from napari_fastsam3d._napari.frame import Frame
from napari_fastsam3d._napari.layers.brush import Brush
from napari_fastsam3d._napari.layers.navigation import Navigation
from napari_fastsam3d._napari.layers.object_display import ObjectDisplay
from napari_fastsam3d._napari.layers.prompt_input import PromptInput, SessionCommand
from napari_fastsam3d._napari.layers.prompt_selection import PromptSelection
from napari_fastsam3d._napari.layers.session_layers import SessionLayers
from napari_fastsam3d._napari.main_thread import Dispatcher, notify, show_message
from napari_fastsam3d._napari.session_journal import SessionJournal, picture_of
from napari_fastsam3d.errors import FastSAM3DError
from napari_fastsam3d.geometry import Box
from napari_fastsam3d.inference.prompt import has_candidates
from napari_fastsam3d.session import ObjectState, Point, Prompt, Result, Session, SessionState
from napari_fastsam3d.session.commands import Commands

if TYPE_CHECKING:
    from napari.viewer import Viewer

_STRIDE = 50  # steps of undo or redo that are taken at a time


class SessionView:
    """One scan being segmented, as napari shows it.

    A prompt made in a layer becomes a command of the session, from whose state all is drawn.

    Parameters
    ----------
    viewer : napari viewer, possibly behind its public proxy
    image : napari.layers.Image
        The scan; it is never written to.
    frame : Frame
    session : Session
    opacity : float
        Of the mask, in [0, 1].
    """

    state_changed = Signal(SessionState)
    finished = Signal(Result)
    failed = Signal(Exception)
    message = Signal(str)
    note = Signal(str)
    progress = Signal(str, int, int)
    moved = Signal()  # its layers, to another place

    def __init__(
        self, viewer: Viewer, image: Image, frame: Frame, session: Session, opacity: float = 0.5
    ) -> None:
        self.viewer, self.image, self.frame, self.session = viewer, image, frame, session
        self.dispatcher = Dispatcher()
        self.pending = 0
        self.overlay: Image | None = None  # a second scan that lies over this one
        layers = self._layers = SessionLayers(viewer, frame, opacity, self._crop_box)
        self.mask, self.boxes, self.points = layers.mask, layers.boxes, layers.points
        self.crop, self.rulers, self.scribbles = layers.crop, layers.rulers, layers.scribbles
        self.rulers.measured.connect(self._say)
        self.display = ObjectDisplay(session, self.mask)
        self.brush = Brush(self.mask, session, self.dispatcher, self.run, self.message.emit)
        self.navigation = Navigation(viewer, frame, self.mask.layer)
        self.journal = SessionJournal(
            session, self.dispatcher, self.navigation, self._picture, self.draw
        )
        self.selection = PromptSelection(
            self._layers, lambda: self.prompts, self.run, self.navigation.go_to_prompt
        )
        self._input = PromptInput(self, self.points, self.boxes, self.draw, self.scribbles)
        self.closers: tuple[Callable[[], None], ...] = (self.dispatcher.close, session.close)
        self._held = False
        self._target: int | None = None
        self._listen_to_session()
        self.attach()

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers of this session, the lowest first."""
        return self._layers.all

    @property
    def current(self) -> ObjectState | None:
        """The object that the next prompt belongs to."""
        state = self.session.state
        return None if state.current is None else state.object(state.current)

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """The prompts of the current object."""
        return () if self.current is None else self.current.prompts

    @property
    def begun(self) -> bool:
        """Whether anything was done in this session yet."""
        return bool(self.session.history.entries)

    def attach(self) -> None:
        """Add to the viewer whatever of these layers it lacks."""
        self._layers.attach()
        self.follow_plane()
        self.draw()

    def show(self, visible: bool) -> None:
        """Show or hide every layer of this session, as when another scan is chosen."""
        self._layers.show(visible)

    def move(self, frame: Frame) -> None:
        """Put every layer of this session in another place: a frame of the same volume."""
        self.frame = self.navigation.frame = frame
        self._layers.move(frame)
        self.moved.emit()

    def show_crop(self, shown: bool) -> None:
        """Outline the crop that the model was given, or stop it."""
        self._layers.show_crop(shown)

    def show_rulers(self) -> None:
        """Show the layer of the rulers, which is added when it is first asked for."""
        self._layers.show_rulers()

    def go_to_object(self, number: int) -> None:
        """Show the newest prompt of an object, unless its mask is in the shown slice already."""
        prompts = self.session.state.object(number).prompts
        if prompts:
            self.navigation.go_to_object(self.session.region(number).box, prompts[-1])

    def go_to_step(self, step: int) -> None:
        """Undo or redo, a few steps at a time, until so many are done or the user does more."""
        self._target = step
        self._take_steps()

    def _take_steps(self) -> None:
        if self._target is None:
            return
        target = self._target
        way = target - self.session.history.cursor
        with self._drawn_once():
            for _ in range(min(abs(way), _STRIDE)):
                if self.run(Commands.redo if way > 0 else Commands.undo) is None:
                    way = 0
                    break
        self._target = target if abs(way) > _STRIDE else None
        if self._target is not None:
            self.dispatcher.defer(self._take_steps)

    def run(self, command: SessionCommand) -> Future[Result] | None:
        """Run a command of the session without waiting; what it refuses is shown as an error.

        Parameters
        ----------
        command : callable
            Given the commands of the session that do not wait; returns the future of its result.

        Returns
        -------
        Future of Result, or None
            None where the session refused.
        """
        if not self._held:
            self._target = None
        with self._drawn_once():
            try:
                future = command(self.session.futures)
            except FastSAM3DError as error:
                notify(error)
                return None
            self.expect([future])
        return future

    def expect(self, answers: Sequence[Future[Result]]) -> None:
        """Show the results of futures when they come, and until then that some are pending."""
        self.pending += len(answers)
        for future in answers:
            self.dispatcher.watch(future, self._on_result, self._on_failure)

    def make_masks_again(self) -> None:
        """Let the present model make the masks that another one made; locked ones stay."""
        for number in self.session.outdated:
            self.run(lambda session, number=number: session.make_mask_again(number))

    def draw(self) -> None:
        """Draw prompts, colours and crop from the session's state."""
        self._layers.draw(self.prompts)
        self.display.draw()
        self.selection.follow()
        self.brush.follow()

    def follow_plane(self) -> None:
        """Cut boxes and crop by the plane that the viewer shows now."""
        self._layers.show_plane(self.navigation.plane())
        self.brush.follow_view(flat=self.viewer.dims.ndisplay == 2)
        self.selection.follow()

    def predict_ahead(self, world: tuple[float, ...]) -> None:
        """Compute the answer to a click at a world position, while the user still aims."""
        if self.pending or (self.current is not None and self.current.locked is not None):
            return
        index = self.navigation.source_index(world)
        clicked = {prompt.index for prompt in self.prompts if isinstance(prompt, Point)}
        if index not in clicked and self.navigation.contains(world):
            self.session.prefetch(index, self.points.positive)

    def find_candidates_ahead(self) -> None:
        """Find what the first click or box of an object may mean: a key turns to it at once then.

        After later ones candidates are found when they are asked for: which structure is meant is
        hardly open any more.
        """
        own = self.current
        if own is None or own.locked is not None or self.pending:
            return
        if len(own.prompts) == 1 and has_candidates(own.prompts):
            self.session.futures.candidates()

    def close(self) -> None:
        """Stop the session; its mask stays in the viewer as an ordinary layer.

        Nothing is waited for: the journal is written to its end in its own thread.
        """
        self.journal.keep_picture()
        self.brush.close()
        for signal, slot in self._connected:
            signal.disconnect(slot, missing_ok=True)
        for close in self.closers:
            close()

    def remove_layers(self, keep_mask: bool = True) -> None:
        """Remove the layers of this session from the viewer, by default not a mask with objects."""
        self._layers.remove(keep_mask and bool(self.session.state.objects))

    def _say(self, sentence: str) -> None:
        self.message.emit(sentence)

    def _picture(self) -> bytes:
        region = self.frame.box_to_layer(self.session.region().box)
        objects, plane = self.session.state.objects, self.navigation.plane()
        return picture_of(self.image, self.mask.layer, self.frame, objects, plane, region)

    def _listen_to_session(self) -> None:
        # A session holds its listeners weakly, so these live as long as the view. When two threads
        # emit at once psygnal may keep the signal that one of them emitted, and its listeners.
        self._connected = (
            (self.session.changed, self.dispatcher.to_main(self._on_changed)),
            (self.session.predicted, self.dispatcher.to_main(self._on_predicted)),
            (self.session.progress, self.dispatcher.to_main(self.progress.emit)),
            (self.session.noted, self.dispatcher.to_main(self._on_noted)),
        )
        for signal, slot in self._connected:
            signal.connect(slot)

    def _on_noted(self, sentence: str) -> None:
        show_message(sentence)
        self.note.emit(sentence)

    def _on_changed(self, _state: SessionState) -> None:
        with self._drawn_once():
            pass

    @contextmanager
    def _drawn_once(self) -> Generator[None]:
        """Draw once at the end, however often the state changes meanwhile."""
        outermost, self._held = not self._held, True
        try:
            yield
        finally:
            if outermost:
                self._held = False
                self.draw()
                self.state_changed.emit(self.session.state)

    def _on_predicted(self, result: Result) -> None:
        if not result.stale:
            self.brush.redraw(result.box)
            self.crop.show()

    def _on_result(self, result: Result) -> None:
        self.pending -= 1
        self.brush.settle()
        self.finished.emit(result)

    def _on_failure(self, error: BaseException) -> None:
        self.pending -= 1
        notify(error)
        self.brush.settle()
        self.draw()
        self.failed.emit(error)

    def _crop_box(self) -> Box | None:
        crop = self.session.crop()
        return None if crop is None else crop.box
