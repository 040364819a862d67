# pyright: basic
"""What the status line says."""

from __future__ import annotations

from napari_fastsam3d._napari.actions import ACTIONS
from napari_fastsam3d.errors import JournalError
from napari_fastsam3d.session import Change, JournalStatus, Result

_KEYS = {entry.key: entry.shortcuts[0] for entry in ACTIONS if entry.shortcuts}

NO_SCAN = "Open a scan, or choose an image layer above."
LOADING = "Loading the model; you can click already."
FIRST = "Click inside the structure you want ({include}), or drag a box round it ({box}).".format(
    **_KEYS
)
NEXT = (
    "Click where the mask is wrong: {include} adds, {exclude} takes away. "
    "{next_object} begins another object."
).format(**_KEYS)


_SAFETY = {"saving": "saving...", "saved": "work saved", "failed": "WORK NOT SAVED"}


def hint(last: Result | None, prompted: bool) -> str:
    """Say what to know about the last mask, or else what can be done next."""
    if last is not None and last.notes:
        return " ".join(last.notes)
    return NEXT if prompted else FIRST


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


def facts(model: str, last: Result | None, journal: JournalStatus | None = None) -> str:
    """Say what runs, what the last click cost and came to, and whether the work is safe."""
    parts = [model] if model else []
    if last is not None and model:
        parts.append(f"{last.milliseconds:.0f} ms")
        if last.change is not None:
            parts.append(changed(last.change))
    if journal is not None and journal.state != "off":
        parts.append(_SAFETY[journal.state])
    return " · ".join(parts)
