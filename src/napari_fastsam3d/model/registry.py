"""Every model that is on this machine or can be fetched, with what a user should know of it."""

from dataclasses import dataclass

import torch

from napari_fastsam3d.model.bundled import is_bundled
from napari_fastsam3d.model.device import choose_device, choose_precision
from napari_fastsam3d.model.store import ModelStore, Record


@dataclass(frozen=True)
class ModelCard:
    """What a user should know of a model before choosing it, or downloading it.

    Attributes
    ----------
    name : str
        What `load_model` and `--model` take.
    summary : str
        One sentence.
    licence : str
        Of the weights.
    origin : str
        Who offers them.
    architecture : str or None
        A name of `ARCHITECTURES`; None for a model that is part of the package.
    url : str or None
        Where the file is; None for a model that is part of the package.
    megabytes : int or None
        About how much is downloaded, if known; the server tells before it begins.
    sha256 : str or None
        Of that file. None where it isn't known to this version: it is then recorded at the first
        download, and a later one is compared with that.
    rest_from : str or None
        The model whose prompt encoder and mask decoder are taken if the file holds an image
        encoder alone.
    """

    name: str
    summary: str
    licence: str
    origin: str = "part of napari-fastsam3d"
    architecture: str | None = None
    url: str | None = None
    megabytes: int | None = None
    sha256: str | None = None
    rest_from: str | None = None


MODELS = {
    card.name: card
    for card in (
        ModelCard(
            "default",
            "Small and quick, for CT and MR; points and boxes; part of the package.",
            "Apache-2.0",
        ),
        ModelCard(
            "lite",
            "The default model with an image encoder that takes less than half the time, for "
            "processors without bfloat16 instructions; three to seven points of Dice less; part "
            "of the package.",
            "Apache-2.0",
        ),
        ModelCard(
            "fastsam3d",
            "FastSAM3D (Shen et al. 2024), distilled from SAM-Med3D: points, 1.5 mm crops.",
            "Apache-2.0",
            "https://huggingface.co/techlove/FastSAM3D",
            "fastsam3d",
            "https://huggingface.co/techlove/FastSAM3D/resolve/main/FastSAM3D.pth",
            638,
            rest_from="sam-med3d",
        ),
        ModelCard(
            "sam-med3d",
            "SAM-Med3D-turbo (Wang et al. 2023), the teacher: points, 1.5 mm crops, slower.",
            "Apache-2.0",
            "https://huggingface.co/blueyo0/SAM-Med3D",
            "sam-med3d",
            "https://huggingface.co/blueyo0/SAM-Med3D/resolve/main/sam_med3d_turbo.pth",
        ),
    )
    if card.url is not None or is_bundled(card.name)
}
"""The models by name: what is part of the package, and what can be fetched."""


BUNDLED = tuple(name for name, card in MODELS.items() if card.url is None)
"""The models that are part of the package."""


def available_models(store: ModelStore | None = None) -> tuple[str, ...]:
    """Name the models that can be loaded now: the package's own, and those fetched or imported."""
    return (*BUNDLED, *(store or ModelStore()).names())


def faster_here() -> str | None:
    """Say which model of the package is the faster one on this machine; None where all are fast.

    That is where there is no GPU and the processor has no bfloat16 instructions.
    """
    device = choose_device("auto")
    if not is_bundled("lite") or choose_precision("auto", device) != torch.float32:
        return None
    return (
        "This processor has no bfloat16 instructions: the model lite looks at a part of a scan in "
        "less than half of the time that the default model takes."
    )


@dataclass(frozen=True)
class ModelEntry:
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


def catalogue(store: ModelStore | None = None) -> list[ModelEntry]:
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
    return [ModelEntry(name, MODELS.get(name), records.get(name)) for name in names]


def megabytes(size: int | None) -> str:
    """Write a number of bytes for people."""
    return "size unknown" if size is None else f"{size / 1e6:.0f} MB"
