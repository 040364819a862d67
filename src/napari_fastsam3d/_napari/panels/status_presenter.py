"""What the status line says."""

from __future__ import annotations

from napari_fastsam3d._napari.commands.command import NO_SCAN
from napari_fastsam3d._napari.commands.table import KEYS
from napari_fastsam3d._napari.commands.tool_selection import SLICES_ONLY
from napari_fastsam3d._napari.descriptions import change_text
from napari_fastsam3d._napari.main_thread import single_shot
from napari_fastsam3d._napari.panels.banners import VisibilityBanner
from napari_fastsam3d._napari.panels.status import StatusPanel
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d._napari.workspace import Workspace
from napari_fastsam3d.session import JournalStatus, Result

_LOADING = "Loading the model; you can click already."
_FIRST = "Click inside the structure you want ({include}), or drag a box round it ({box})."
_NEXT = {
    "include": "Click what the mask lacks. {exclude} takes away, {next_object} begins another.",
    "exclude": "Click what the mask has too much of. {include} adds, {next_object} begins another.",
    "box": "Drag a rectangle round the structure in this slice.",
    "scribble": "Draw a line through the structure; with Shift held along what is not of it.",
    "lasso": "Draw a line round the structure in this slice; with Shift held round what is not.",
    "freeze": "Drag a rectangle round what is right: later clicks change nothing in it.",
    "adjust": "Drag a point or a side of a box to move it; Delete removes what is selected.",
    "brush": "Drag to paint what the mask lacks; [ and ] change the size of the brush.",
    "ruler": "Drag a line: its length is written on it. {pan} puts the ruler away.",
    "erase": "Drag to rub out what the mask has too much of; [ and ] change the size.",
    None: "No tool in hand: dragging moves the picture. {include} takes Include.",
}
_EXCLUDE_FIRST = "Click what does not belong to the structure. Include ({include}) says what does."
_LOCKED = (
    "{name} is locked: a click changes nothing. {lock_object} unlocks it, {next_object} begins "
    "another."
)
_ON_MASK = "3D view: click on a mask. Leave it (Ctrl+Y) to click anywhere else."


_SAFETY = {"saving": "saving...", "saved": "work saved", "failed": "WORK NOT SAVED"}


def hint(last: Result | None, tool: str | None, prompted: bool, flat: bool = True) -> str:
    """Return what to know about the last mask, or else what a click does now.

    Parameters
    ----------
    last : Result or None
        The last mask of the current object.
    tool : str or None
        Which tool is active.
    prompted : bool
        Whether the current object has prompts.
    flat : bool
        Whether a slice is shown, and not the 3D view.
    """
    if last is not None and last.notes:
        return " ".join(last.notes)
    if not flat and tool in ("include", "exclude"):
        return _ON_MASK
    if not flat and tool not in ("adjust", None):
        return SLICES_ONLY
    if not prompted and tool == "include":
        return _FIRST.format(**KEYS)
    text = _EXCLUDE_FIRST if not prompted and tool == "exclude" else _NEXT[tool]
    return text.format(**KEYS)


def locked_hint(name: str) -> str:
    """Return why a click changes nothing: the current object is locked."""
    return _LOCKED.format(name=name, **KEYS)


def facts(
    model: str,
    last: Result | None,
    journal: JournalStatus | None = None,
    far: str = "",
    network: float | None = None,
) -> str:
    """Return what runs, what the last click cost and changed, and whether the work is safe.

    `network` is what of it the way to a server and back took, milliseconds.
    """
    parts = [model] if model else []
    if last is not None and model:
        there = "" if network is None else f" ({network:.0f} network)"
        parts.append(f"{last.milliseconds:.0f} ms{there}")
        if last.change is not None:
            parts.append(change_text(last.change))
        parts += [far] if far else []
    if journal is not None and journal.state != "off":
        parts.append(_SAFETY[journal.state])
    return " · ".join(parts)


class StatusPresenter:
    """Keeps the status panel up to date.

    Parameters
    ----------
    work : Workspace
    panel : StatusPanel
    visibility : VisibilityBanner
    """

    def __init__(self, work: Workspace, panel: StatusPanel, visibility: VisibilityBanner) -> None:
        self._work, self._panel, self._visibility = work, panel, visibility
        self._progress = ""
        # A way over many steps of the log has thousands of results: they are shown together.
        self._timer = single_shot(panel, 0, self.refresh)
        for signal in (
            work.loader.changed,
            work.state_changed,
            work.failed,
            work.switched,
            work.status_changed,
            work.tasks.finished,
        ):
            signal.connect(self.refresh)
        for signal in (
            work.finished,
            work.journal_changed,
            work.events.dims_changed,
        ):
            signal.connect(self._refresh_soon)
        # A layer that is added takes the tool for a moment, which is no news: a message stays.
        self._tool = work.toolbox.tool
        self._tool_timer = single_shot(panel, 0, self._on_tool)
        work.toolbox.changed.connect(self._on_tool_soon)
        work.progress.connect(self._on_progress)
        work.message.connect(self._on_message)
        work.tasks.started.connect(panel.show_busy)
        work.tasks.failed.connect(panel.show_idle)

    def refresh(self, _change: object = None) -> None:
        """Show what is being done, or else what a click does now."""
        work, view = self._work, self._work.view
        self._tool = work.toolbox.tool
        journal = None if view is None else view.session.journal_status
        last = work.last_click.result
        self._panel.show_facts(
            facts(work.loader.facts, last, journal, self._far_change(), work.loader.network)
        )
        trouble = None if view is None else view.journal.trouble
        self._panel.show_warning("" if trouble is None else f"Work is not saved. {trouble}")
        if work.loader.loading:
            self._panel.show_busy(_LOADING)
        elif view is not None and view.pending:
            self._panel.show_busy(f"{self._progress or 'Working'}...", can_be_cancelled=True)
        elif work.loader.trouble is not None:
            self._panel.show_idle(str(work.loader.trouble))
        else:
            self._panel.show_idle(NO_SCAN if view is None else self._advice(view))

    def _advice(self, view: SessionView) -> str:
        """Return what a click does now."""
        own, tool = view.current, self._work.toolbox.tool
        if not self._work.visibility.now.clear:
            return self._visibility.warning()
        if own is not None and own.locked is not None and tool is not None:
            return locked_hint(own.name)
        flat = self._work.viewer.dims.ndisplay == 2
        return hint(self._work.last_click.result, tool, bool(view.prompts), flat)

    def _far_change(self) -> str:
        """Return what the last click changed out of sight, in a few words."""
        far = self._work.last_click.far_change
        if far is None or far.is_empty:
            return ""
        where = self._work.last_click.far_slices()
        between = ", " if where else ""
        return f"{change_text(far)} of it out of sight{between}{where} ({KEYS['show_change']})"

    def _on_tool_soon(self) -> None:
        self._tool_timer.start()

    def _on_tool(self) -> None:
        if self._work.toolbox.tool != self._tool:
            self.refresh()

    def _refresh_soon(self, _change: object = None) -> None:
        self._timer.start()

    def _on_progress(self, what: str, done: int, total: int) -> None:
        count = f", {done + 1} of {total}" if total > 1 else ""
        self._progress = f"{what}{count}" if done < total else ""
        self.refresh()

    def _on_message(self, message: str) -> None:
        if message:
            self._panel.show_idle(message)
        else:
            self.refresh()
