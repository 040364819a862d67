"""What a journal holds of a session."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from napari_fastsam3d.geometry.io.json_text import parse_json
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.session.history import History
from napari_fastsam3d.session.recollections import Said, said_from_json


@dataclass(frozen=True)
class SavedMask:
    """A finished mask of an object, so that opening a journal needs no model.

    Parameters
    ----------
    prompts : str
        Digest of the prompts that it answers.
    mask : PackedMask
        Source index; not yet laid over other objects.
    model : str
        Fingerprint of the model that made it.
    """

    prompts: str
    mask: PackedMask
    model: str


@dataclass(frozen=True, eq=False)
class SavedSession:
    """What a journal holds.

    Parameters
    ----------
    history : History
        The log, with what can be redone.
    masks : mapping of int to SavedMask
        By the ids of their objects.
    facts : mapping of str to str
        What was noted beside the log: versions, names, the view.
    damage : str or None
        What was found damaged, or was written by a newer version, a sentence or two; None where
        all is whole.
    saved : datetime or None
        When it was written last, local time.
    """

    history: History
    masks: Mapping[int, SavedMask]
    facts: Mapping[str, str]
    damage: str | None = None
    saved: datetime | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever done."""
        return not self.history.entries

    @property
    def fingerprint(self) -> str | None:
        """Fingerprint of the model that was used last."""
        return self.facts.get("fingerprint")

    @property
    def recalled(self) -> list[Said]:
        """What a memory said, as far as it can be read."""
        try:
            return said_from_json(parse_json(self.facts.get("recalled", "[]")))
        except (ValueError, KeyError, TypeError):
            return []

    @property
    def view(self) -> object:
        """What the window wanted to find again; None where it said nothing."""
        try:
            return parse_json(self.facts.get("view", "null"))
        except ValueError:
            return None
