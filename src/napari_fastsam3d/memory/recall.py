"""Which remembered cases are used for an object, and how: one interface for all ways."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.errors import MemoryBankError
from napari_fastsam3d.geometry.box import Index
from napari_fastsam3d.geometry.crop import Crop
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.memory.case import Case, Floats, structure_of
from napari_fastsam3d.memory.prior import Prior, foreground_prior
from napari_fastsam3d.memory.question import Answer, Question, RecalledCase, Way
from napari_fastsam3d.memory.remember import Encoder, descriptor
from napari_fastsam3d.memory.search import Neighbour, nearest

COUNTS: dict[Way, int] = {"prior": 5, "published": 3}
"""Cases that are recalled for an object, at the most."""

LIKE_ENOUGH = 0.7
"""Cosine of descriptors under which a case is too unlike to be used."""

FEWEST = 2
"""Cases that must be found for the prior: one alone misleads.

Dice of a click on the brainstem fell by 0.05 to 0.21 on the three training cases that had one.
"""


# Cases by whose surroundings a structure is looked for.
_SURROUNDINGS = 12


@dataclass(frozen=True, eq=False)
class Found:
    """A case that is to be used, read from the bank."""

    neighbour: Neighbour
    case: Case


class Recall:
    """What a bank has for one volume and one model.

    What it said to a question is kept and said again, whatever is remembered since, so that the
    same prompts give the same mask. To be called from one thread.

    Parameters
    ----------
    bank : MemoryBank
    predictor : Encoder
    volume : Volume
        Whose own cases are not recalled.
    count : int, optional
        Cases at the most; by default as in `COUNTS`.
    least : float
        See `LIKE_ENOUGH`.
    fewest : int
        See `FEWEST`.
    answers : dict of Question to Answer, optional
        What was said before; grows with each question.

    Attributes
    ----------
    answers : dict of Question to Answer
    """

    def __init__(
        self,
        bank: MemoryBank,
        predictor: Encoder,
        volume: Volume,
        *,
        count: int | None = None,
        least: float = LIKE_ENOUGH,
        fewest: int = FEWEST,
        answers: dict[Question, Answer] | None = None,
    ) -> None:
        self.answers: dict[Question, Answer] = {} if answers is None else answers
        self._bank = bank
        self._predictor = predictor
        self._volume = volume
        self._count = count
        self._least = least
        self._fewest = fewest
        self._cases: dict[str, Case] = {}

    @property
    def model(self) -> str:
        """Fingerprint of the image encoder whose cases can be used."""
        return self._predictor.encoder_fingerprint

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing of this model to recall."""
        return self.model not in self._bank.index().of_model

    def known(self, question: Question) -> tuple[Found, ...] | None:
        """Return the cases that were recalled when this was asked before; None if it never was.

        Those that were forgotten since, or are damaged, are left out.
        """
        answer = self.answers.get(question)
        return None if answer is None else self._read(answer)

    def descriptors(self, structure: str) -> Floats:
        """Return what the remembered cases of a structure are found by, (N, D); not this scan's."""
        part = self._bank.index().of_model.get(self.model)
        if part is None:
            return np.zeros((0, 0), np.float32)
        same = np.flatnonzero(part.structures == structure_of(structure))
        scan = self._volume.content_hash
        return part.descriptors[[n for n in same if not part.entries[n].is_of(scan)]]

    def surroundings(self, structure: str) -> Floats | None:
        """Return what lies around a structure, a mean over the newest cases; None if unknown.

        This scan's own cases are left out. See `likeness_of_surroundings`.
        """
        part = self._bank.index().of_model.get(self.model)
        if part is None:
            return None
        scan, name = self._volume.content_hash, structure_of(structure)
        same = (each for n, each in enumerate(part.entries) if part.structures[n] == name)
        others = [each.id for each in same if not each.is_of(scan)][-_SURROUNDINGS:]
        cases = [case for each in others if (case := self._case(each)) is not None]
        known = [case.surroundings for case in cases if case.surroundings is not None]
        return np.stack(known).astype(np.float32).mean(axis=0) if known else None

    def features(self, encoded: Any) -> tuple[Floats, Floats]:
        """Return the features of a crop by which it is compared with what is remembered."""
        return self._predictor.features(encoded)

    def asked(
        self, question: Question, encoded: Any, point: NDArray[np.float64]
    ) -> tuple[Found, ...]:
        """Return the cases to be used for a click or a place that was found, the likest first.

        All were remembered at one spacing, that of the most of them by weight.

        Parameters
        ----------
        question : Question
        encoded
            What the model made of the crop that a first click there looks at.
        point : ndarray, shape (3,)
            The place, crop index.
        """
        found_by = descriptor(self._predictor.features(encoded), point)
        whole = [*self._whole(self._nearest(found_by, question))]
        shares: Counter[float] = Counter()
        for each in whole:
            shares[each.case.entry.spacing] += each.neighbour.weight  # pyright: ignore[reportArgumentType]
        common = max(shares, key=lambda spacing: shares[spacing], default=0.0)
        found = _shared_out(each for each in whole if each.case.entry.spacing == common)
        fewest = 1 if question.click is None else self._fewest
        return found if len(found) >= fewest else ()

    def keep(self, question: Question, found: Sequence[Found], place: Index | None = None) -> None:
        """Keep what was said to a question, and count the cases as recalled."""
        cases = tuple(
            RecalledCase(
                each.neighbour.entry.id,
                each.neighbour.entry.name,
                each.neighbour.similarity,
                each.neighbour.weight,
            )
            for each in found
        )
        self.answers[question] = Answer(cases, place)
        self._bank.note_recalled(case.id for case in cases)

    def prior(
        self, cases: Sequence[Found], encoded: Any, crop: Crop, point: NDArray[np.float64]
    ) -> Prior:
        """Return where cases lead one to expect an object.

        Parameters
        ----------
        cases : sequence of Found
            Not empty.
        encoded
            What the model made of the crop.
        crop : Crop
            Of the spacing that they were remembered at.
        point : ndarray, shape (3,)
            The click, crop index.
        """
        weights = [each.neighbour.weight for each in cases]
        features = self._predictor.features(encoded)
        return foreground_prior(features, crop, point, [each.case for each in cases], weights)

    def encode(self, image: Any, question: Question | None = None) -> Any:
        """Encode a crop; to a question of the published way with what is recalled for it.

        MemoryBankError where the model has no layer for that.
        """
        if question is None or (self.is_empty and question not in self.answers):
            return self._predictor.encode(image)
        if self._predictor.memory_layer is None:
            raise MemoryBankError(
                f"{self._predictor.name} has no layer that memory attention can work in here.",
                'Recall by "prior".',
            )
        from napari_fastsam3d.memory.attention import recalling

        with recalling(self._predictor.memory_layer, self._recollections(question)):
            return self._predictor.encode(image)

    def _nearest(self, found_by: Floats, question: Question) -> tuple[Neighbour, ...]:
        published = question.way == "published"
        return nearest(
            self._bank.index(),
            found_by,
            question.model,
            name=question.structure,
            volume=self._volume.content_hash,
            count=COUNTS[question.way] if self._count is None else self._count,
            least=-1.0 if published or question.click is None else self._least,
            by_scene=published,
            without=question.without,
        )

    def _read(self, answer: Answer) -> tuple[Found, ...]:
        found = tuple(
            Found(Neighbour(case.entry, said.similarity, said.weight), case)
            for said in answer.cases
            if (case := self._case(said.id)) is not None
        )
        # Weights that are all there stay as they were, to the last bit.
        return found if len(found) == len(answer.cases) else _shared_out(found)

    def _whole(self, neighbours: Iterable[Neighbour]) -> Iterator[Found]:
        for each in neighbours:
            case = self._case(each.entry.id)
            if case is not None:
                yield Found(each, case)

    def _case(self, identity: str) -> Case | None:
        """Return a case, read once; None where it is damaged or was forgotten."""
        if identity not in self._cases:
            try:
                self._cases[identity] = self._bank.get(identity)
            except MemoryBankError:
                return None
        return self._cases[identity]

    def _recollections(self, question: Question) -> Any:
        import torch

        from napari_fastsam3d.memory.attention import Recollection

        def choose(scene: Floats) -> list[Recollection]:
            found = self.known(question)
            if found is None:
                found = _shared_out(self._whole(self._nearest(scene, question)))
                self.keep(question, found)
            return [
                Recollection(
                    torch.from_numpy(each.case.keys),
                    torch.from_numpy(each.case.values),
                    each.neighbour.weight,
                )
                for each in found
                if each.case.keys is not None
            ]

        return choose


def _shared_out(found: Iterable[Found]) -> tuple[Found, ...]:
    """Return cases with weights that sum to one."""
    kept = tuple(found)
    total = sum(each.neighbour.weight for each in kept)
    return tuple(
        replace(each, neighbour=replace(each.neighbour, weight=each.neighbour.weight / total))
        for each in kept
    )
