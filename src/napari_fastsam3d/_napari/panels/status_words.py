# pyright: basic
"""What the status line says."""

from __future__ import annotations

from napari_fastsam3d._napari.actions import ACTIONS
from napari_fastsam3d.errors import JournalError
from napari_fastsam3d.session import Change, JournalStatus, Result

_KEYS = {entry.key: entry.shortcuts[0] for entry in ACTIONS if entry.shortcuts}

OUTDATED = "The masks are those of the model before. They stay until their prompts change."
NO_SCAN = "Open a scan, or choose an image layer above."
COVERED = "You see {seen}, but a click segments {name}."
HIDDEN = "{name} is hidden, and a click would still segment it."
OUTSIDE = "This slice lies outside {name}: there is nothing to click."
FOLLOWED = "{name} is segmented now, the scan that is seen."
LOADING = "Loading the model; you can click already."
FIRST = "Click inside the structure you want ({include}), or drag a box round it ({box}).".format(
    **_KEYS
)
_NEXT = {
    "include": "Click what the mask lacks. {exclude} takes away, {next_object} begins another.",
    "exclude": "Click what the mask has too much of. {include} adds, {next_object} begins another.",
    "box": "Drag a rectangle round the structure in this slice.",
    "freeze": "Drag a rectangle round what is right: later clicks change nothing in it.",
    "adjust": "Drag a point or a side of a box to move it; Delete removes what is selected.",
    "brush": "Drag to paint what the mask lacks; [ and ] change the size of the brush.",
    "erase": "Drag to rub out what the mask has too much of; [ and ] change the size.",
    None: "No tool in hand: dragging moves the picture. {include} takes Include.",
}
_EXCLUDE_FIRST = "Click what does not belong to the structure. Include ({include}) says what does."
_LOCKED = (
    "{name} is locked: a click changes nothing. {lock_object} unlocks it, {next_object} begins "
    "another."
)
SLICES_ONLY = "This tool works in a slice: leave the 3D view (Ctrl+Y) to use it."
_ON_MASK = "3D view: click on a mask. Leave it (Ctrl+Y) to click anywhere else."


_SAFETY = {"saving": "saving...", "saved": "work saved", "failed": "WORK NOT SAVED"}


def hint(last: Result | None, tool: str | None, prompted: bool, flat: bool = True) -> str:
    """Say what to know about the last mask, or else what a click does now.

    Parameters
    ----------
    last : Result or None
        The last mask of the current object.
    tool : str or None
        Which tool is in hand.
    prompted : bool
        Whether the current object has prompts.
    flat : bool
        Whether a slice is looked at, and not the 3D view.
    """
    if last is not None and last.notes:
        return " ".join(last.notes)
    if not flat and tool in ("include", "exclude"):
        return _ON_MASK
    if not prompted and tool == "include":
        return FIRST
    words = _EXCLUDE_FIRST if not prompted and tool == "exclude" else _NEXT[tool]
    return words.format(**_KEYS)


def locked_hint(name: str) -> str:
    """Say why a click changes nothing: the current object is locked."""
    return _LOCKED.format(name=name, **_KEYS)


def unsafe(error: JournalError | None) -> str:
    """Say why the work isn't safe on disk; nothing where it is."""
    return "" if error is None else f"Work is not saved. {error}"


def changed(change: Change) -> str:
    """Say how much an object won and lost, in millilitres."""
    added, removed = change.millilitres
    parts = [f"{sign}{_amount(much)}" for sign, much in (("+", added), ("−", removed)) if much]
    return f"{' '.join(parts)} ml" if parts else "nothing changed"


def _amount(millilitres: float) -> str:
    return f"{millilitres:.3g}" if millilitres < 10 else f"{millilitres:,.0f}"


def facts(
    model: str, last: Result | None, journal: JournalStatus | None = None, aside: str = ""
) -> str:
    """Say what runs, what the last click cost and came to, and whether the work is safe."""
    parts = [model] if model else []
    if last is not None and model:
        parts.append(f"{last.milliseconds:.0f} ms")
        if last.change is not None:
            parts.append(changed(last.change))
        parts += [aside] if aside else []
    if journal is not None and journal.state != "off":
        parts.append(_SAFETY[journal.state])
    return " · ".join(parts)
