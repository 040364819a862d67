"""Which structures of a case make a larger one together, told by their names."""

import re

_SIDE = re.compile(r"(left|right)", re.IGNORECASE)
_PLACE = re.compile(
    r"\b(anterior|posterior|upper|middle|lower|lobe|[CTLS]\d{1,2})\b", re.IGNORECASE
)


def family(name: str, sides: bool) -> str:
    """Give what a structure is part of: its name without the words that tell parts apart.

    Parameters
    ----------
    name : str
        Such as "lung_upper_lobe_left", "vertebrae T12", "RightParotid", "hippocampus anterior".
    sides : bool
        Whether left and right belong together as well.

    Returns
    -------
    str
        Equal for the structures that belong together: one lung, or with `sides` both; the spine.
    """
    text = _PLACE.sub(" ", name.replace("_", " "))
    if sides:
        text = _SIDE.sub(" ", text)
    return " ".join(text.lower().split())


def group_members(value: int, names: dict[int, str], sides: bool) -> tuple[int, ...]:
    """Give the values, other than one, of the structures of its family; none where it has no name.

    Parameters
    ----------
    value : int
        A value in the label file.
    names : dict of int to str
        What the values of the file are called.
    sides : bool
        As in `family`.
    """
    if value not in names:
        return ()
    wanted = family(names[value], sides)
    return tuple(v for v, name in names.items() if v != value and family(name, sides) == wanted)
