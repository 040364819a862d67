"""Which remembered cases are used for an object, and how: one interface for all ways."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.errors import MemoryBankError
from napari_fastsam3d.geometry.box import Index
from napari_fastsam3d.geometry.crop import Crop
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.memory.case import Case, Floats, structure_of
from napari_fastsam3d.memory.found import Found, nearly_of_one_spacing, shared_out
from napari_fastsam3d.memory.prior import Prior, foreground_prior
from napari_fastsam3d.memory.question import (
    COUNTS,
    FEWEST,
    Answer,
    Question,
    RecalledCase,
    Way,
)
from napari_fastsam3d.memory.remember import Encoder, descriptor
from napari_fastsam3d.memory.search import Neighbour, nearest

if TYPE_CHECKING:
    from napari_fastsam3d.memory.reader import Reader

LIKE_ENOUGH = 0.7
"""Cosine of descriptors under which a case is too unlike to be used."""

# Cases by whose surroundings a structure is looked for.
_SURROUNDINGS = 12
# How many times finer or coarser than most of them a case may have been remembered that is read.
_NEARLY = 1.5


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
    least : float
        See `LIKE_ENOUGH`.
    fewest : int, optional
        Cases that must be found; by default as in `FEWEST`.
    answers : dict of Question to Answer, optional
        What was said before; grows with each question.
    reader : Reader, optional
        What reads cases; by default that of the package, for the encoder that it was trained with.
        With another encoder "reader" does what "prior" does.

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
        least: float = LIKE_ENOUGH,
        fewest: int | None = None,
        answers: dict[Question, Answer] | None = None,
        reader: "Reader | None" = None,
    ) -> None:
        self.answers: dict[Question, Answer] = {} if answers is None else answers
        self._bank = bank
        self._predictor = predictor
        self._volume = volume
        self._least = least
        self._fewest = fewest
        self._cases: dict[str, Case] = {}
        self._given = reader

    @property
    def model(self) -> str:
        """Fingerprint of the image encoder whose cases can be used."""
        return self._predictor.encoder_fingerprint

    @cached_property
    def reader(self) -> "Reader | None":
        """What reads cases; None where there is none for the model's encoder."""
        from napari_fastsam3d.memory.reading import shipped_reader

        return self._given or shipped_reader(self.model)

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

        All were remembered at one spacing, that of the most of them by weight, or nearly so where
        they are read; then those at that spacing come first.

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
        reads = self._reads(question.way)
        found = nearly_of_one_spacing(whole, _NEARLY if reads else 1.0)
        fewest = FEWEST["reader" if reads else "prior"] if self._fewest is None else self._fewest
        if question.click is None:
            fewest = 1
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
        self,
        way: Way,
        cases: Sequence[Found],
        encoded: Any,
        crop: Crop,
        point: NDArray[np.float64],
    ) -> Prior | None:
        """Return where cases lead one to expect an object; None if it seems to be another.

        Parameters
        ----------
        way : "reader" or "prior"
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
        found = [each.case for each in cases]
        if way == "reader" and self.reader is not None:
            from napari_fastsam3d.memory.reading import read_prior

            return read_prior(self.reader, features, crop, point, found, weights)
        return foreground_prior(features, crop, point, found, weights)

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
        # The reader itself tells whether cases of that name are what was clicked.
        trusted = published or (
            self._reads(question.way) and len(self.descriptors(question.structure or "")) > 0
        )
        return nearest(
            self._bank.index(),
            found_by,
            question.model,
            name=question.structure,
            volume=self._volume.content_hash,
            count=COUNTS[question.way],
            least=-1.0 if trusted or question.click is None else self._least,
            by_scene=published,
            without=question.without,
        )

    def _reads(self, way: Way) -> bool:
        return way == "reader" and self.reader is not None

    def _read(self, answer: Answer) -> tuple[Found, ...]:
        found = tuple(
            Found(Neighbour(case.entry, said.similarity, said.weight), case)
            for said in answer.cases
            if (case := self._case(said.id)) is not None
        )
        # Weights that are all there stay as they were, to the last bit.
        return found if len(found) == len(answer.cases) else shared_out(found)

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
        from napari_fastsam3d.memory.attention import Recollection

        def choose(scene: Floats) -> list[Recollection]:
            found = self.known(question)
            if found is None:
                found = shared_out(self._whole(self._nearest(scene, question)))
                self.keep(question, found)
            each = (Recollection.of(f.case, f.neighbour.weight) for f in found)
            return [one for one in each if one is not None]

        return choose
