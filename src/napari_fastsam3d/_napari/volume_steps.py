"""From one volume of a scan to the next, a time point or channel, with the masks as prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_fastsam3d._napari.dialogs.scan_parts import Part, parts_of, read_part
from napari_fastsam3d._napari.host import Host
from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.session import carry_objects

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_fastsam3d._napari.session_view import SessionView
    from napari_fastsam3d.session import SavedSession

_ONE = "This scan holds one volume: there is no other time point or channel in its file."
_END = "There is no volume {where} this one."
_BEGUN = "{name} was begun before, so nothing is carried on: its own objects are there."
_CARRIED = "{many} carried on to {name}: look at each, a click corrects it."


@dataclass(frozen=True, eq=False)
class _Step:
    """The way from one volume to another."""

    start: SessionView
    image: Image | None
    """The layer that is shown then, where it is open already."""
    volume: Volume | None
    """The volume that is opened for it."""

    def ends_at(self, view: SessionView) -> bool:
        """Whether a session is the one of the other volume."""
        if view is self.start:
            return False
        return view.image is self.image or view.frame.volume is self.volume


class VolumeSteps:
    """Opens the next volume of a scan and begins each object there with its mask.

    Parameters
    ----------
    host : Host
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._step: _Step | None = None
        host.switched.connect(self._on_switched)

    def go(self, view: SessionView, by: int) -> None:
        """Go to the next volume, or to the one before, with what was segmented in this one."""
        if view.image.ndim > 3:
            self._slide(view, by)
            return
        path = view.frame.volume.source.path
        if path is None:
            self._host.tell(_ONE)
            return
        self._host.tasks.run(
            "Looking for the other volumes...",
            lambda: parts_of(path),
            lambda parts: self._choose(view, parts, by),
            "The volumes of the scan could not be listed.",
        )

    def _slide(self, view: SessionView, by: int) -> None:
        """Move napari's slider of a layer with more than three axes."""
        dims = self._host.viewer.dims
        axis = dims.ndim - 4
        step = dims.current_step[axis] + by
        if not 0 <= step < view.image.data.shape[-4]:
            self._host.tell(_END.format(where="after" if by > 0 else "before"))
            return
        self._step = _Step(view, view.image, None)
        dims.set_current_step(axis, step)

    def _choose(self, view: SessionView, parts: list[Part], by: int) -> None:
        source = view.frame.volume.source
        places = [
            place
            for place, part in enumerate(parts)
            if (part.frame or 0, part.series) == (source.frame or 0, source.series)
        ]
        wanted = places[0] + by if places else 0
        if len(parts) < 2 or not 0 <= wanted < len(parts):
            where = "after" if by > 0 else "before"
            self._host.tell(_ONE if len(parts) < 2 else _END.format(where=where))
            return
        part, path = parts[wanted], source.path
        there = self._shown(part, view)
        if there is not None:
            self._step = _Step(view, there, None)
            self._host.choose(there)
        elif path is not None:
            self._host.tasks.run(
                f"Reading {part.label}...",
                lambda: read_part(path, part),
                lambda volume: self._open(view, volume),
                "The volume could not be opened.",
            )

    def _shown(self, part: Part, view: SessionView) -> Image | None:
        """Return the layer of a volume of the same file, if it is open."""
        wanted = (view.frame.volume.source.path, part.frame or 0, part.series)
        for each in self._host.views.all:
            source = each.frame.volume.source
            if (source.path, source.frame or 0, source.series) == wanted:
                return each.image
        return None

    def _open(self, view: SessionView, volume: Volume) -> None:
        self._step = _Step(view, None, volume)
        self._host.add_scan(volume)

    def _on_switched(self, _view: SessionView | None) -> None:
        self._host.dispatcher.defer(self._arrive)

    def _arrive(self) -> None:
        view, step = self._host.view, self._step
        if view is None or step is None or not step.ends_at(view):
            return
        self._step = None
        if view.journal.searched is None:
            self._carry(step.start, view)
        else:
            self._host.dispatcher.watch(
                view.journal.searched,
                lambda kept: self._unless_begun(step.start, view, kept),
                lambda _error: self._carry(step.start, view),
            )

    def _unless_begun(self, start: SessionView, view: SessionView, kept: SavedSession) -> None:
        if view.journal.offer is not None or (view.begun and view.session.state.objects):
            self._host.tell(_BEGUN.format(name=_name(view)))
        else:
            self._carry(start, view)

    def _carry(self, start: SessionView, view: SessionView) -> None:
        objects = start.session.state.objects
        if view.begun or not objects:
            return
        self._host.tasks.run(
            "Carrying the masks on...",
            lambda: carry_objects(start.session, view.session),
            lambda names: self._tell(view, names),
            "Not all was carried on.",
        )

    def _tell(self, view: SessionView, names: list[str]) -> None:
        many = "1 object" if len(names) == 1 else f"{len(names)} objects"
        self._host.tell(_CARRIED.format(many=many, name=_name(view)))


def _name(view: SessionView) -> str:
    frame = view.frame.volume.source.frame
    return view.image.name if frame is None else f"volume {frame + 1} of {view.image.name}"
