"""Actions and prompts as JSON, for the journal and for files of prompts."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, get_args

from napari_fastsam3d.errors import SessionError
from napari_fastsam3d.geometry.box import Box, Index
from napari_fastsam3d.inference import json_values
from napari_fastsam3d.inference.json_values import box_to_json, whole
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import BoxPrompt, Edit, Freeze, MaskPrompt, Point, Prompt
from napari_fastsam3d.session.actions import (
    AcceptObject,
    Action,
    AddPrompt,
    DeletePrompt,
    FlipPrompt,
    LockObject,
    MovePrompt,
    NewObject,
    OverlapRule,
    RecolourObject,
    RemoveObject,
    RenameObject,
    ResetObject,
    RevalueObject,
    SelectObject,
    SetOverlap,
    UnlockObject,
)
from napari_fastsam3d.session.colour import parse_colour


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
    match prompt:
        case Point():
            return {"id": prompt.id, "point": list(prompt.index), "positive": prompt.positive}
        case BoxPrompt():
            guessed = {} if prompt.guessed is None else {"guessed": prompt.guessed}
            return {"id": prompt.id, "box": box_to_json(prompt.box), **guessed}
        case MaskPrompt():
            return {"id": prompt.id, "mask": prompt.mask.to_json()}
        case Edit():
            added, removed = prompt.added.to_json(), prompt.removed.to_json()
            return {"id": prompt.id, "added": added, "removed": removed}
        case Freeze():
            return {"id": prompt.id, "freeze": box_to_json(prompt.box)}


def prompt_from_json(data: Mapping[str, Any]) -> Prompt:
    """Return the prompt that `prompt_to_json` wrote; KeyError, TypeError or ValueError if none."""
    number = whole(data["id"])
    if "box" in data:
        return BoxPrompt(number, json_values.box(data["box"]), _axis_or_none(data.get("guessed")))
    if "mask" in data:
        return MaskPrompt(number, PackedMask.from_json(data["mask"]))
    if "added" in data:
        added = PackedMask.from_json(data["added"])
        return Edit(number, added, PackedMask.from_json(data["removed"]))
    if "freeze" in data:
        return Freeze(number, json_values.box(data["freeze"]))
    return Point(number, json_values.index(data["point"]), _truth(data["positive"]))


def _plain(value: Any) -> Any:
    if isinstance(value, Point | BoxPrompt | MaskPrompt | Edit | Freeze):
        return prompt_to_json(value)
    if isinstance(value, PackedMask):
        return value.to_json()
    if isinstance(value, Box):
        return box_to_json(value)
    return list(value) if isinstance(value, tuple) else value


def _place(value: Any) -> Index | Box:
    return json_values.box(value) if len(value) == 2 else json_values.index(value)


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


def _whole_or_none(value: Any) -> int | None:
    return None if value is None else whole(value)


def _axis_or_none(value: Any) -> int | None:
    if value not in (None, 0, 1, 2):
        raise ValueError
    return _whole_or_none(value)


def _mask_or_none(value: Any) -> MaskPrompt | None:
    prompt = None if value is None else prompt_from_json(value)
    if not isinstance(prompt, MaskPrompt | None):
        raise TypeError
    return prompt


def _rule(value: Any) -> OverlapRule:
    if value not in get_args(OverlapRule):
        raise ValueError
    return value


_Readers = dict[str, Callable[[Any], Any]]
_PROMPT: _Readers = {"object": whole, "prompt": whole}
_FROZEN: _Readers = {"object": whole, "mask": PackedMask.from_json}

_KINDS: dict[str, tuple[type[Action], _Readers]] = {
    "add_prompt": (AddPrompt, {"object": whole, "prompt": prompt_from_json}),
    "move_prompt": (MovePrompt, {**_PROMPT, "to": _place}),
    "flip_prompt": (FlipPrompt, _PROMPT),
    "delete_prompt": (DeletePrompt, _PROMPT),
    "new_object": (
        NewObject,
        {
            "object": whole,
            "name": _words_or_none,
            "value": _whole_or_none,
            "mask": _mask_or_none,
        },
    ),
    "select_object": (SelectObject, {"object": whole}),
    "rename_object": (RenameObject, {"object": whole, "name": _words}),
    "remove_object": (RemoveObject, {"object": whole}),
    "reset_object": (ResetObject, {"object": whole}),
    "recolour_object": (RecolourObject, {"object": whole, "colour": parse_colour}),
    "revalue_object": (RevalueObject, {"object": whole, "value": whole}),
    "lock_object": (LockObject, _FROZEN),
    "accept_object": (AcceptObject, _FROZEN),
    "unlock_object": (UnlockObject, {"object": whole}),
    "set_overlap": (SetOverlap, {"rule": _rule}),
}
_NAMES = {kind: name for name, (kind, _) in _KINDS.items()}
