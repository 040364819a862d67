"""Actions and prompts as JSON, for the journal and for files of prompts.

What is stored of an action follows from the types of its fields, so that another action needs
nothing here, unless it has a field of a type that is new to `_READERS`. Everything is read
strictly: a damaged file must not pass.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from functools import cache
from typing import Any, get_args, get_type_hints

from napari_fastsam3d.errors import PromptError, SessionError
from napari_fastsam3d.geometry.box import Box, Index
from napari_fastsam3d.geometry.clean_up import CleanUp
from napari_fastsam3d.inference import json_values
from napari_fastsam3d.inference.json_values import box_to_json, whole
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import (
    BoxPrompt,
    Choice,
    Edit,
    Freeze,
    MaskPrompt,
    Point,
    Prompt,
    Scribble,
)
from napari_fastsam3d.inference.recall_prompts import FindPrompt, FromMemory, WithAdapter
from napari_fastsam3d.memory.question import WAYS
from napari_fastsam3d.session.colour import Colour, parse_colour
from napari_fastsam3d.session.state import Action, OverlapRule, OwnPrompt


def action_to_json(action: Action) -> dict[str, Any]:
    """Return an action as what `json.dumps` takes; `action_from_json` undoes it exactly."""
    values = {name: _plain(getattr(action, name)) for name in _readers(type(action))}
    values = {k: v for k, v in values.items() if v is not None or k not in _later(type(action))}
    return {"do": action.kind, **values}


def action_from_json(data: Mapping[str, Any]) -> Action:
    """Return the action that `action_to_json` wrote.

    Raises
    ------
    SessionError
        If the data are no action, as in a damaged file.
    """
    try:
        kind = Action.kinds[data["do"]]
        told = [name for name in _readers(kind) if name in data or name not in _later(kind)]
        return kind(**{name: _readers(kind)[name](data[name]) for name in told})
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
            by = {} if prompt.by is None else {"by": asdict(prompt.by)}
            return {"id": prompt.id, "added": added, "removed": removed, **by}
        case Freeze():
            return {"id": prompt.id, "freeze": box_to_json(prompt.box)}
        case Choice():
            return {"id": prompt.id, "choice": prompt.rank}
        case Scribble():
            drawn = prompt.voxels.to_json()
            return {"id": prompt.id, prompt.noun: drawn, "positive": prompt.positive}
        case FindPrompt():
            return {"id": prompt.id, "find": prompt.structure, "known": prompt.known}
        case FromMemory():
            return recall_to_json(prompt)
        case WithAdapter():
            return adapter_to_json(prompt)


def prompt_from_json(data: Mapping[str, Any]) -> Prompt:
    """Return the prompt that `prompt_to_json` wrote; KeyError, TypeError or ValueError if none."""
    number = whole(data["id"])
    if "box" in data:
        return BoxPrompt(number, json_values.box(data["box"]), _axis_or_none(data.get("guessed")))
    if "mask" in data:
        return MaskPrompt(number, PackedMask.from_json(data["mask"]))
    if "added" in data:
        added, removed = (PackedMask.from_json(data[name]) for name in ("added", "removed"))
        return Edit(number, added, removed, _clean_up(data.get("by")))
    if "freeze" in data:
        return Freeze(number, json_values.box(data["freeze"]))
    if "choice" in data:
        return Choice(number, _rank(data["choice"]))
    for noun in ("scribble", "lasso"):
        if noun in data:
            drawn = _not_empty(PackedMask.from_json(data[noun]))
            return Scribble(number, drawn, _of(bool)(data["positive"]), noun == "lasso")
    if "find" in data:
        return FindPrompt(number, _of(str)(data["find"]), whole(data["known"]))
    return Point(number, json_values.index(data["point"]), _of(bool)(data["positive"]))


def recall_to_json(recall: FromMemory) -> dict[str, Any]:
    """Return how cases are recalled as what `json.dumps` takes."""
    without = {"without": list(recall.without)} if recall.without else {}
    return {"way": recall.way, "structure": recall.structure, **without}


def recall_from_json(data: Mapping[str, Any]) -> FromMemory:
    """Return what `recall_to_json` wrote; KeyError, TypeError or ValueError if it is none."""
    if data["way"] not in WAYS:
        raise ValueError
    structure, without = _or_none(_of(str))(data["structure"]), data.get("without", ())
    return FromMemory(data["way"], structure, tuple(map(_of(str), without)))


def adapter_to_json(adapter: WithAdapter) -> dict[str, Any]:
    """Return which adapter answers as what `json.dumps` takes."""
    return {"structure": adapter.structure, "adapter": adapter.identity}


def adapter_from_json(data: Mapping[str, Any]) -> WithAdapter:
    """Return what `adapter_to_json` wrote; KeyError or TypeError if it is none."""
    return WithAdapter(_of(str)(data["structure"]), _of(str)(data["adapter"]))


def prompts_digest(prompts: tuple[Prompt, ...]) -> str:
    """Return what tells these prompts, in this order, from others: SHA-256 in hexadecimal."""
    unnumbered = [{**prompt_to_json(prompt), "id": 0} for prompt in prompts]
    return hashlib.sha256(json.dumps(unnumbered).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Prompt):
        return prompt_to_json(value)
    if isinstance(value, PackedMask):
        return value.to_json()
    if isinstance(value, OwnPrompt):
        return {"object": value.object, "prompt": prompt_to_json(value.prompt)}
    if isinstance(value, Box):
        return box_to_json(value)
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


@cache
def _readers(kind: type[Action]) -> dict[str, Callable[[Any], Any]]:
    """Return what reads each field that is stored of an action."""
    types = get_type_hints(kind)
    return {each.name: _READERS[types[each.name]] for each in fields(kind) if each.init}


@cache
def _later(kind: type[Action]) -> frozenset[str]:
    """Return the fields that actions of earlier versions lack."""
    return frozenset(each.name for each in fields(kind) if each.metadata.get("later"))


def _of(kind: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError
        return value

    return read


def _or_none(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


def _place(value: Any) -> Index | Box:
    return json_values.box(value) if len(value) == 2 else json_values.index(value)


def _clean_up(value: Any) -> CleanUp | None:
    if value is None:
        return None
    try:
        return CleanUp(value["kind"], value["amount"])
    except PromptError as error:
        raise ValueError(str(error)) from None


def _axis_or_none(value: Any) -> int | None:
    if value not in (None, 0, 1, 2):
        raise ValueError
    return _or_none(whole)(value)


def _rank(value: Any) -> int:
    if whole(value) < 0:
        raise ValueError
    return value


def _not_empty(mask: PackedMask) -> PackedMask:
    if mask.is_empty:
        raise ValueError
    return mask


def _mask_prompt(value: Any) -> MaskPrompt:
    prompt = prompt_from_json(value)
    if not isinstance(prompt, MaskPrompt):
        raise TypeError
    return prompt


def _own_prompts(value: Any) -> tuple[OwnPrompt, ...]:
    return tuple(
        OwnPrompt(whole(each["object"]), prompt_from_json(each["prompt"])) for each in value
    )


def _find_prompt(value: Any) -> FindPrompt:
    prompt = prompt_from_json(value)
    if not isinstance(prompt, FindPrompt):
        raise TypeError
    return prompt


def _rule(value: Any) -> OverlapRule:
    if value not in get_args(OverlapRule):
        raise ValueError
    return value


_READERS: dict[Any, Callable[[Any], Any]] = {
    int: whole,
    int | None: _or_none(whole),
    str: _of(str),
    str | None: _or_none(_of(str)),
    Index | Box: _place,
    Colour: parse_colour,
    Colour | None: _or_none(parse_colour),
    OverlapRule: _rule,
    PackedMask: PackedMask.from_json,
    Prompt: prompt_from_json,
    MaskPrompt: _mask_prompt,
    MaskPrompt | None: _or_none(_mask_prompt),
    tuple[OwnPrompt, ...]: _own_prompts,
    FindPrompt: _find_prompt,
    FromMemory | None: _or_none(recall_from_json),
    WithAdapter: adapter_from_json,
    WithAdapter | None: _or_none(adapter_from_json),
}
