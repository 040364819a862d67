"""The case of a worklist that is worked on, and the file of its mask."""

from dataclasses import dataclass

from napari_fastsam3d.errors import SaveError
from napari_fastsam3d.session.journal.saved_session import SavedSession
from napari_fastsam3d.session.session import Session
from napari_fastsam3d.session.state import SessionState
from napari_fastsam3d.session.worklist import Case, Worklist

_KEPT = (
    "{path} was there before this worklist and is none of its masks, so it was kept.",
    "Save this mask under another name, or move that file away.",
)


@dataclass(eq=False)
class OpenCase:
    """A case that is worked on.

    Parameters
    ----------
    worklist : Worklist
    case : Case
    session : Session
    saved : SessionState or None
        What of the session is in the file of its mask.
    """

    worklist: Worklist
    case: Case
    session: Session
    saved: SessionState | None = None

    def holds(self, kept: SavedSession) -> bool:
        """Whether the file of the mask was written by this worklist after a journal was."""
        target = self.worklist.target(self.case)
        if kept.saved is None or not target.exists() or not self.worklist.may_write(self.case):
            return False
        return target.stat().st_mtime >= kept.saved.timestamp()

    def save(self) -> None:
        """Write the mask, if there is one that isn't written yet, and the progress.

        Raises
        ------
        SaveError
            If it can't be written, or a file that is no mask of the worklist is in its place.
        SessionError
            If it isn't what its prompts would make of it.
        """
        session, state = self.session, self.session.state
        drawn = any(not session.region(each.id).is_empty for each in state.objects)
        if state != self.saved and drawn:
            target = self.worklist.target(self.case)
            if not self.worklist.may_write(self.case):
                raise SaveError(_KEPT[0].format(path=target), _KEPT[1])
            target.parent.mkdir(parents=True, exist_ok=True)
            session.save(target)
            self.saved = state
            self.worklist.note_written(self.case)
        self.worklist.save()
