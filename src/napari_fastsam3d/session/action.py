"""What a user can do to a session, one frozen record for each, to and from JSON."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from napari_fastsam3d.errors import SessionError
from napari_fastsam3d.geometry.box import Box, Index
from napari_fastsam3d.session.prompt import BoxPrompt, Point, Prompt


@dataclass(frozen=True)
class AddPrompt:
    """Give object `object` one more prompt; where it is the session's next object, begin it."""

    object: int
    prompt: Prompt


@dataclass(frozen=True)
class MovePrompt:
    """Put a prompt elsewhere: a point to a source index, a box to another box.

    It keeps its place in the order of the prompts.
    """

    object: int
    prompt: int
    to: Index | Box


@dataclass(frozen=True)
class FlipPrompt:
    """Make a positive point negative, or a negative one positive."""

    object: int
    prompt: int


@dataclass(frozen=True)
class DeletePrompt:
    """Take one prompt away, whichever it is."""

    object: int
    prompt: int


@dataclass(frozen=True)
class NewObject:
    """Begin an object and make it the current one; without a name it gets a default one."""

    object: int
    name: str | None = None


@dataclass(frozen=True)
class SelectObject:
    """Make an object the current one: the one that the next prompt belongs to."""

    object: int


@dataclass(frozen=True)
class RenameObject:
    """Give an object another name."""

    object: int
    name: str


@dataclass(frozen=True)
class RemoveObject:
    """Take an object away, with its prompts and its mask."""

    object: int


@dataclass(frozen=True)
class ResetObject:
    """Take all prompts of an object away; it keeps its name, value and colour."""

    object: int


Action = (
    AddPrompt
    | MovePrompt
    | FlipPrompt
    | DeletePrompt
    | NewObject
    | SelectObject
    | RenameObject
    | RemoveObject
    | ResetObject
)


def action_to_json(action: Action) -> dict[str, Any]:
    """Return an action as what `json.dumps` takes; `action_from_json` undoes it exactly."""
    values = {field.name: _plain(getattr(action, field.name)) for field in fields(action)}
    return {"do": _NAMES[type(action)], **values}


def action_from_json(data: Mapping[str, Any]) -> Action:
    """Return the action that `action_to_json` wrote.

    Raises
    ------
    SessionError
        If the data are no action, as in a damaged file.
    """
    try:
        kind, readers = _KINDS[data["do"]]
        return kind(**{name: read(data[name]) for name, read in readers.items()})
    except (KeyError, TypeError, ValueError):
        raise SessionError(
            f"{dict(data)!r} is no action of a session.", "Use a file that this program wrote."
        ) from None


def prompt_to_json(prompt: Prompt) -> dict[str, Any]:
    """Return a prompt as what `json.dumps` takes; indices are source indices."""
    if isinstance(prompt, Point):
        return {"id": prompt.id, "point": list(prompt.index), "positive": prompt.positive}
    return {"id": prompt.id, "box": _box_to_json(prompt.box)}


def prompt_from_json(data: Mapping[str, Any]) -> Prompt:
    """Return the prompt that `prompt_to_json` wrote; KeyError, TypeError or ValueError if none."""
    number = _whole(data["id"])
    if "box" in data:
        return BoxPrompt(number, _box(data["box"]))
    return Point(number, _index(data["point"]), _truth(data["positive"]))


def _plain(value: Any) -> Any:
    if isinstance(value, Point | BoxPrompt):
        return prompt_to_json(value)
    if isinstance(value, Box):
        return _box_to_json(value)
    return list(value) if isinstance(value, tuple) else value


def _box_to_json(box: Box) -> list[list[int]]:
    return [list(box.start), list(box.stop)]


def _place(value: Any) -> Index | Box:
    return _box(value) if len(value) == 2 else _index(value)


def _box(value: Any) -> Box:
    start, stop = value
    return Box(_index(start), _index(stop))


def _index(value: Any) -> Index:
    i, j, k = map(_whole, value)
    return (i, j, k)


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError
    return value


def _truth(value: Any) -> bool:
    if type(value) is not bool:
        raise TypeError
    return value


def _words(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _words_or_none(value: Any) -> str | None:
    return None if value is None else _words(value)


_Readers = dict[str, Callable[[Any], Any]]
_PROMPT: _Readers = {"object": _whole, "prompt": _whole}

_KINDS: dict[str, tuple[type[Action], _Readers]] = {
    "add_prompt": (AddPrompt, {"object": _whole, "prompt": prompt_from_json}),
    "move_prompt": (MovePrompt, {**_PROMPT, "to": _place}),
    "flip_prompt": (FlipPrompt, _PROMPT),
    "delete_prompt": (DeletePrompt, _PROMPT),
    "new_object": (NewObject, {"object": _whole, "name": _words_or_none}),
    "select_object": (SelectObject, {"object": _whole}),
    "rename_object": (RenameObject, {"object": _whole, "name": _words}),
    "remove_object": (RemoveObject, {"object": _whole}),
    "reset_object": (ResetObject, {"object": _whole}),
}
_NAMES = {kind: name for name, (kind, _) in _KINDS.items()}
