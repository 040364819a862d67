"""What a memory is asked about an object, and what it says: kept, so that replay is exact."""

from dataclasses import dataclass
from typing import Literal, get_args

from napari_fastsam3d.geometry.box import Index

Way = Literal["reader", "prior", "published"]
"""How recalled cases are used.

"reader": a small trained network reads the crop and the remembered cases, tells whether these are
what was clicked, and where it is; the mask is drawn with that. For the default model's encoder.
"prior": nearest-neighbour attention from the features of a crop to remembered ones gives where the
structure is expected, which the decoder is given as its mask prompt. Nothing is trained for it.
"published": memory attention in one block of the image encoder, as in Memorizing SAM.
"""

WAYS: tuple[Way, ...] = get_args(Way)

DEFAULT_WAY: Way = "reader"
"""The one that was best on training cases."""


COUNTS: dict[Way, int] = {"reader": 5, "prior": 5, "published": 3}
"""Cases that are recalled for an object, at the most."""

FEWEST: dict[Way, int] = {"reader": 1, "prior": 2, "published": 1}
"""Cases that must be found; for the prior one alone misleads.

Dice of a click on the brainstem fell by 0.05 to 0.21 on the three training cases that had one.
"""


@dataclass(frozen=True)
class Question:
    """What a memory is asked about an object.

    Attributes
    ----------
    way : "reader", "prior" or "published"
    structure : str or None
        What is recalled where it is remembered; None for an object without a name.
    model : str
        Fingerprint of its image encoder.
    click : tuple of int or None
        The first click on the object, source index; None where the structure is to be found.
    known : int
        How many cases of it were remembered when it was to be found; 0 for a click.
    without : tuple of str
        Ids of cases that are not to be used.
    """

    way: Way
    structure: str | None
    model: str
    click: Index | None
    known: int = 0
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class RecalledCase:
    """A case that was recalled.

    Attributes
    ----------
    id, name : str
        See `Entry`.
    similarity, weight : float
        See `Neighbour`.
    """

    id: str
    name: str
    similarity: float
    weight: float


@dataclass(frozen=True)
class Answer:
    """What a memory said.

    Attributes
    ----------
    cases : tuple of RecalledCase
        The likest first; empty where nothing was like enough.
    place : tuple of int or None
        Where a structure was found, source index; None where it wasn't, or was clicked.
    """

    cases: tuple[RecalledCase, ...] = ()
    place: Index | None = None
