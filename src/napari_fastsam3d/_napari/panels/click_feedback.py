"""What the user must know of the last click, shown on the canvas with what can be done about it."""

from __future__ import annotations

from collections.abc import Sequence

from napari_fastsam3d._napari.commands.command import Command
from napari_fastsam3d._napari.commands.history import revert_change, show_change, undo
from napari_fastsam3d._napari.commands.objects import take_over, unlock_holder
from napari_fastsam3d._napari.descriptions import change_text
from napari_fastsam3d._napari.panels.notice import Notice, NoticeChoice
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d._napari.workspace import Workspace
from napari_fastsam3d.session import Change, Mask, ObjectState, Point, Result, Scribble

_LEAST = 0.2
"""Part of the object that must have changed out of sight for that to be shown on the canvas, from
the third prompt on. On training cases it is one click in five; the second mostly makes the mask
anew."""
_BEGINNING = 2


class ClickFeedback:
    """Shows what a click did out of sight, or did not do, on the canvas.

    Parameters
    ----------
    work : Workspace
    notice : Notice
    """

    def __init__(self, work: Workspace, notice: Notice) -> None:
        self._work, self._notice = work, notice
        self._dismissed: Point | Scribble | None = None
        notice.closed.connect(self._on_closed)
        work.finished.connect(self._show_result)
        work.note.connect(self._show_note)
        work.switched.connect(self._forget)

    def _show_result(self, result: Result) -> None:
        """Show what there is to know after a step, in place of what was shown before."""
        view, last = self._work.view, self._work.last_click
        if view is None or result.stale:
            return
        holder, far = last.holder, last.far_change
        if holder is not None and last.click != self._dismissed:
            self._show_holder(holder)
        elif result.in_air and not view.session.can_redo:
            self._show("That click lies in the air around the patient.", [self._choice(undo)])
        elif far is not None and _is_much(view, result.object, far):
            where = last.far_slices()
            between = ", " if where else ""
            self._show(
                f"Out of sight the mask changed by {change_text(far)}{between}{where}.",
                [self._choice(each) for each in (show_change, revert_change, undo)],
            )
        else:
            self._notice.withdraw()

    def _show_holder(self, holder: ObjectState) -> None:
        if holder.locked is not None:
            choice = self._choice(unlock_holder, f"Unlock {holder.name}")
            why = "is locked and keeps it"
        else:
            choice, why = self._choice(take_over), "keeps it"
        self._show(f"The voxel you clicked belongs to {holder.name}, which {why}.", [choice])

    def _show_note(self, sentence: str) -> None:
        """Show what a session noted, with what can be done about it."""
        view = self._work.view
        if view is None:
            return
        choices: list[NoticeChoice] = []
        if view.session.outdated:
            tooltip = "The present model makes them of the same prompts; locked objects stay."
            choices.append(NoticeChoice("Make them again", tooltip, view.make_masks_again))
        lost = view.session.overlapped_objects()
        if lost:
            name = view.session.state.object(lost[0].object).name
            choices += [
                NoticeChoice(f"Show {name}", "Turn to it.", lambda: _go_to(view, lost[0].object)),
                NoticeChoice(
                    "Newer objects win",
                    "Let objects take voxels from those begun before; locked ones keep theirs.",
                    lambda: view.run(lambda session: session.set_overlap("overwrite")),
                ),
            ]
        self._show(sentence, choices)

    def _show(self, sentence: str, choices: Sequence[NoticeChoice]) -> None:
        self._notice.show_message(sentence, choices)

    def _choice(self, command: Command, text: str = "") -> NoticeChoice:
        return NoticeChoice(text or command.text, command.hint, lambda: command.run(self._work))

    def _forget(self, _view: object = None) -> None:
        self._dismissed = None
        self._notice.withdraw()

    def _on_closed(self) -> None:
        """Don't show again what the user has read of a click and put away."""
        self._dismissed = self._work.last_click.click


def _go_to(view: SessionView, number: int) -> None:
    if view.session.state.has(number):
        view.navigation.go_to_prompt(view.session.state.object(number).prompts[-1])
        view.run(lambda session: session.select_object(number))


def _is_much(view: SessionView, number: int, far: Change) -> bool:
    """Whether a change is worth a sentence on the canvas."""
    prompts = view.session.state.object(number).prompts
    now = _millilitres(view.session.region(number), far)
    much = sum(far.millilitres) > _LEAST * max(now, far.millilitres[1])
    return len(prompts) > _BEGINNING and much


def _millilitres(mask: Mask, change: Change) -> float:
    return sum(Change(mask, Mask.empty(), change.spacing).millilitres)
