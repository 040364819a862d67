"""Which remembered cases are used for an object, and how: one interface for all ways."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.errors import MemoryBankError
from napari_fastsam3d.geometry.crop import Crop
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.memory.case import Case, Floats
from napari_fastsam3d.memory.prior import Prior, foreground_prior
from napari_fastsam3d.memory.remember import Encoder, descriptor
from napari_fastsam3d.memory.search import Neighbour, nearest

Way = Literal["prior", "published"]
"""How recalled cases are used.

"prior": nearest-neighbour attention from the features of a crop to remembered ones gives where the
structure is expected, which the decoder is given as its mask prompt. Nothing is trained for it.
"published": memory attention in one block of the image encoder, as in Memorizing SAM.
"""

COUNTS: dict[Way, int] = {"prior": 5, "published": 3}
"""Cases that are recalled for an object, at the most."""

LIKE_ENOUGH = 0.7
"""Cosine of descriptors under which a case is too unlike to be used."""


FEWEST = 2
"""Cases that must be found for the prior: one alone misleads.

Dice of a click on the brainstem fell by 0.05 to 0.21 on the three training cases that had one.
"""


@dataclass(frozen=True, eq=False)
class Found:
    """A case that is to be used, read from the bank."""

    neighbour: Neighbour
    case: Case


@dataclass(frozen=True, eq=False)
class Recalled:
    """What was recalled for an object.

    Attributes
    ----------
    neighbours : tuple of Neighbour
        The likest first; empty where nothing was like enough.
    prior : Prior or None
        Where they lead one to expect it; None where nothing was recalled.
    """

    neighbours: tuple[Neighbour, ...] = ()
    prior: Prior | None = None


class Recall:
    """What a bank has for one volume and one model, as it is now.

    Cases that are added later are not seen, so that the same prompts give the same mask until the
    session ends. To be called from one thread.

    Parameters
    ----------
    bank : MemoryBank
    predictor : Encoder
    volume : Volume
        Whose own cases are not recalled.
    way : "prior" or "published"
    count : int, optional
        Cases at the most; by default as in `COUNTS`.
    least : float
        See `LIKE_ENOUGH`.
    fewest : int
        See `FEWEST`.

    Raises
    ------
    MemoryBankError
        If the bank can't be read, or the model has no layer for the published way.
    """

    def __init__(
        self,
        bank: MemoryBank,
        predictor: Encoder,
        volume: Volume,
        way: Way = "prior",
        count: int | None = None,
        least: float = LIKE_ENOUGH,
        fewest: int = FEWEST,
    ) -> None:
        if way == "published" and predictor.memory_layer is None:
            raise MemoryBankError(
                f"{predictor.name} has no layer that memory attention can work in here.",
                'Recall by way="prior".',
            )
        self.way: Way = way
        self._bank = bank
        self._index = bank.index()
        self._predictor = predictor
        self._volume = volume
        self._count = COUNTS[way] if count is None else count
        self._least = least
        self._fewest = fewest
        self._cases: dict[str, Case | None] = {}

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing of this model to recall."""
        return self._predictor.encoder_fingerprint not in self._index.of_model

    def encode(self, image: Any) -> Any:
        """Encode a crop; by the published way with what is recalled for it."""
        if self.way != "published" or self.is_empty:
            return self._predictor.encode(image)
        from napari_fastsam3d.memory.attention import recalling

        with recalling(self._predictor.memory_layer, self._recollections()):
            return self._predictor.encode(image)

    def cases(
        self, encoded: Any, point: NDArray[np.float64], name: str | None = None
    ) -> tuple[Found, ...]:
        """Return the cases to be used for the first click on an object, the likest first.

        All were remembered at one spacing, that of the most of them by weight.

        Parameters
        ----------
        encoded
            What the model made of the crop that a first click looks at.
        point : ndarray, shape (3,)
            The click, crop index.
        name : str, optional
            What the object is called; see `MemoryBank.recall`.
        """
        if self.way != "prior" or self.is_empty:
            return ()
        found_by = descriptor(self._predictor.features(encoded), point)
        whole = [
            Found(each, case)
            for each in self._nearest(found_by, name)
            if (case := self._case(each.entry.id)) is not None
        ]
        shares: Counter[float] = Counter()
        for each in whole:
            shares[each.case.entry.spacing] += each.neighbour.weight  # pyright: ignore[reportArgumentType]
        common = max(shares, key=lambda spacing: shares[spacing], default=0.0)
        found = tuple(each for each in whole if each.case.entry.spacing == common)
        return found if len(found) >= self._fewest else ()

    def prior(
        self,
        cases: tuple[Found, ...],
        encoded: Any,
        crop: Crop,
        point: NDArray[np.float64],
    ) -> Recalled:
        """Return where cases lead one to expect an object.

        Parameters
        ----------
        cases : tuple of Found
            What `cases` gave, not empty.
        encoded
            What the model made of the crop.
        crop : Crop
            Of the spacing that they were remembered at.
        point : ndarray, shape (3,)
            The click, crop index.
        """
        self._bank.note_recalled(each.neighbour.entry.id for each in cases)
        total = sum(each.neighbour.weight for each in cases)
        weights = [each.neighbour.weight / total for each in cases]
        prior = foreground_prior(
            self._predictor.features(encoded), crop, point, [e.case for e in cases], weights
        )
        used = tuple(
            replace(each.neighbour, weight=weight)
            for each, weight in zip(cases, weights, strict=True)
        )
        return Recalled(used, prior)

    def _nearest(self, found_by: Floats, name: str | None) -> tuple[Neighbour, ...]:
        return nearest(
            self._index,
            found_by,
            self._predictor.encoder_fingerprint,
            name=name,
            volume=self._volume.content_hash,
            count=self._count,
            least=self._least if self.way == "prior" else -1.0,
            by_scene=self.way == "published",
        )

    def _case(self, identity: str) -> Case | None:
        """Return a case, read once; None where it is damaged or was forgotten meanwhile."""
        if identity not in self._cases:
            try:
                self._cases[identity] = self._bank.get(identity)
            except MemoryBankError:
                self._cases[identity] = None
        return self._cases[identity]

    def _recollections(self) -> Any:
        import torch

        from napari_fastsam3d.memory.attention import Recollection

        def choose(scene: Floats) -> list[Recollection]:
            found = self._nearest(scene, None)
            cases = [(each, self._case(each.entry.id)) for each in found]
            whole = [(each, case) for each, case in cases if case and case.keys is not None]
            total = sum(each.weight for each, _ in whole)
            self._bank.note_recalled(each.entry.id for each, _ in whole)
            return [
                Recollection(
                    torch.from_numpy(case.keys),
                    torch.from_numpy(case.values),
                    each.weight / total,
                )
                for each, case in whole
            ]

        return choose
