"""Which remembered cases are like something, and which of those may be used."""

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from napari_fastsam3d.errors import MemoryBankError
from napari_fastsam3d.memory.case import Entry, Floats, structure_of

_CLOSEST = 1e-3
_NAMED = 8


@dataclass(frozen=True, eq=False)
class Searchable:
    """The entries of one model, with what they are found by.

    Attributes
    ----------
    entries : tuple of Entry
        The oldest first.
    structures : ndarray of str, shape (N,)
        Their names as names are compared.
    descriptors, scenes : ndarray of float32, shapes (N, D) and (N, E)
        `Case.descriptor` and `Case.scene`.
    """

    entries: tuple[Entry, ...]
    structures: NDArray[np.str_]
    descriptors: Floats
    scenes: Floats


@dataclass(frozen=True, eq=False)
class Index:
    """All entries, the oldest first, and the same by the fingerprint of their model."""

    entries: tuple[Entry, ...]
    of_model: Mapping[str, Searchable]


@dataclass(frozen=True)
class Neighbour:
    """A case that was recalled.

    Attributes
    ----------
    entry : Entry
    similarity : float
        Cosine of the descriptors.
    weight : float
        Its share among those recalled together, which sum to one.
    """

    entry: Entry
    similarity: float
    weight: float


def nearest(
    index: Index,
    descriptor: Floats,
    model: str,
    *,
    name: str | None,
    volume: str | None,
    count: int,
    least: float,
    by_scene: bool = False,
    without: Container[str] = (),
) -> tuple[Neighbour, ...]:
    """Return the cases of one structure that are most like a descriptor; see `MemoryBank.recall`.

    Of an object without a name the structure is the one that most of the likest cases are of, by
    weight, so that a part and the whole that it belongs to are not mixed.
    """
    part = index.of_model.get(model)
    if part is None or count < 1 or (by_scene and not part.scenes.size):
        return ()
    vectors = part.scenes if by_scene else part.descriptors
    similar = vectors @ descriptor
    order = np.argsort(-similar, kind="stable")
    order = order[vectors[order].any(axis=1)]
    named = part.structures[order] == structure_of(name or "")
    if named.any():
        order = order[named]
    order = order[similar[order] >= least]

    def may_be_used(entry: Entry) -> bool:
        return entry.id not in without and (volume is None or not entry.is_of(volume))

    def likest(places: NDArray[np.intp]) -> list[int]:
        return [*islice((int(n) for n in places if may_be_used(part.entries[n])), count)]

    chosen = likest(order)
    if not chosen:
        return ()
    votes: Counter[str] = Counter()
    for place, weight in zip(chosen, inverse_distances(similar[chosen]), strict=True):
        votes[str(part.structures[place])] += weight  # pyright: ignore[reportArgumentType]
    winner = max(votes, key=lambda structure: votes[structure])
    kept = likest(order[part.structures[order] == winner])
    weights = inverse_distances(similar[kept])
    return tuple(
        Neighbour(part.entries[place], float(similar[place]), weight)
        for place, weight in zip(kept, weights, strict=True)
    )


def inverse_distances(similarities: Floats) -> list[float]:
    """Return weights (1 / d) / sum(1 / d) for the distances d of unit vectors of these cosines."""
    distances = np.sqrt(np.maximum(2 - 2 * similarities.astype(np.float64), _CLOSEST**2))
    weights = 1 / distances
    return [float(weight) for weight in weights / weights.sum()]


def of_structure(name: str, entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Return the entries of a structure, in their order; MemoryBankError if there is none."""
    found = tuple(e for e in entries if structure_of(e.name) == structure_of(name))
    if found:
        return found
    names = sorted({each.name for each in entries}, key=str.casefold)
    listed = ", ".join(names[:_NAMED]) + (" and others" if len(names) > _NAMED else "")
    raise MemoryBankError(
        f"{name} is not remembered.",
        f"Remembered are: {listed}." if names else "Accept some first: nothing is remembered yet.",
    )
