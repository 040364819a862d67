"""Every model that is on this machine or can be fetched, with what a user should know of it."""

from dataclasses import dataclass

from napari_fastsam3d.model.registry import MODELS, ModelCard
from napari_fastsam3d.model.store import ModelStore, Record


@dataclass(frozen=True)
class Entry:
    """One model: its card, its record in the store, or both.

    Parameters
    ----------
    name : str
        What `load_model` takes.
    card : ModelCard or None
        None for a model that the user imported.
    record : Record or None
        None for a model that is not in the store.
    """

    name: str
    card: ModelCard | None = None
    record: Record | None = None

    @property
    def state(self) -> str:
        """Where it is, in words."""
        if self.record is not None:
            return "on this machine"
        return "can be fetched" if self.can_be_fetched else "part of the package"

    @property
    def can_be_fetched(self) -> bool:
        """Whether it can be downloaded, and is not here yet."""
        return self.record is None and self.card is not None and self.card.url is not None

    @property
    def size(self) -> int | None:
        """Bytes on this machine, or else about as many as a download has, if known."""
        if self.record is not None:
            return self.record.size
        megabytes = self.card.megabytes if self.card else None
        return None if megabytes is None else megabytes * 1_000_000

    @property
    def licence(self) -> str:
        """Of the weights."""
        return self.record.licence if self.record else self.card.licence if self.card else ""

    @property
    def origin(self) -> str:
        """Where the weights come from."""
        return self.record.origin if self.record else self.card.origin if self.card else ""

    @property
    def summary(self) -> str:
        """One sentence; empty for an imported model."""
        return self.card.summary if self.card else ""


def catalogue(store: ModelStore | None = None) -> list[Entry]:
    """List the models: first those that have a card, then those that the user imported.

    Parameters
    ----------
    store : ModelStore, optional
        The user's by default.

    Raises
    ------
    CheckpointError
        When the record of a model in the store is damaged.
    """
    store = store or ModelStore()
    records = {name: store.record(name) for name in store.names()}
    names = dict.fromkeys([*MODELS, *records])
    return [Entry(name, MODELS.get(name), records.get(name)) for name in names]


def megabytes(size: int | None) -> str:
    """Write a number of bytes for people."""
    return "size unknown" if size is None else f"{size / 1e6:.0f} MB"
