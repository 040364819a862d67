"""Tables of JSON and TOML as fields of dataclasses, each value of the type that it should have."""

import math
from collections.abc import Mapping
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints


def checked(kind: type, table: Mapping[str, Any]) -> dict[str, Any]:
    """Return some fields of a dataclass as a table of JSON or TOML has them; lists become tuples.

    Raises
    ------
    TypeError
        When a key is not a field, or its value is of another type.
    """
    hints = get_type_hints(kind)
    found = {key: tuple(v) if isinstance(v, list) else v for key, v in table.items()}
    for key, value in found.items():
        if key not in hints:
            raise TypeError(f"there is no {key}")
        if not _fits(value, hints[key]):
            raise TypeError(f"{key} can't be {value!r}")
    return found


def _fits(value: object, hint: Any) -> bool:
    parts = get_args(hint)
    match get_origin(hint):
        case None:
            if isinstance(value, bool) and hint is not bool:
                return False
            if isinstance(value, float) and not math.isfinite(value):
                return False
            return isinstance(value, (int, float) if hint is float else hint)
        case origin if origin is Literal:
            return value in parts
        case origin if origin is UnionType:
            return any(_fits(value, part) for part in parts)
        case origin if origin is dict:
            return isinstance(value, dict) and all(_fits(v, parts[1]) for v in value.values())
        case _:
            if not isinstance(value, tuple):
                return False
            kinds = parts[:1] * len(value) if ... in parts else parts
            return len(value) == len(kinds) and all(map(_fits, value, kinds))
