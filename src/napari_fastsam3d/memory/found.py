"""Remembered cases that are to be used, read from the bank."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from napari_fastsam3d.memory.case import Case
from napari_fastsam3d.memory.search import Neighbour


@dataclass(frozen=True, eq=False)
class Found:
    """A case that is to be used, read from the bank."""

    neighbour: Neighbour
    case: Case


def nearly_of_one_spacing(found: Sequence[Found], most: float) -> tuple[Found, ...]:
    """Return the cases of the spacing that most of them have by weight, or nearly so.

    Those at that spacing come first; the weights sum to one.

    Parameters
    ----------
    found : sequence of Found
    most : float
        How many times finer or coarser they may be.
    """
    shares: Counter[float] = Counter()
    for each in found:
        shares[each.case.entry.spacing] += each.neighbour.weight  # pyright: ignore[reportArgumentType]
    common = max(shares, key=lambda spacing: shares[spacing], default=0.0)
    return shared_out(
        each
        for each in sorted(found, key=lambda each: each.case.entry.spacing != common)
        if common / most <= each.case.entry.spacing <= common * most
    )


def shared_out(found: Iterable[Found]) -> tuple[Found, ...]:
    """Return cases with weights that sum to one."""
    kept = tuple(found)
    total = sum(each.neighbour.weight for each in kept)
    return tuple(
        replace(each, neighbour=replace(each.neighbour, weight=each.neighbour.weight / total))
        for each in kept
    )
