"""A session as a file of prompts: what was clicked where, to be read, checked and replayed."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_fastsam3d import __version__
from napari_fastsam3d.errors import FastSAM3DError, SaveError, SessionError
from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.io.atomic_write import replacing
from napari_fastsam3d.geometry.io.json_text import parse_json
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.inference.json_values import whole
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import (
    BoxPrompt,
    Edit,
    Freeze,
    MaskPrompt,
    Point,
    Prompt,
    Scribble,
)
from napari_fastsam3d.model.predictor import ModelIdentity
from napari_fastsam3d.session.codec import (
    action_from_json,
    adapter_from_json,
    adapter_to_json,
    prompt_from_json,
    prompt_to_json,
    recall_from_json,
    recall_to_json,
)
from napari_fastsam3d.session.colour import parse_colour
from napari_fastsam3d.session.history import replay
from napari_fastsam3d.session.object_actions import (
    AcceptObject,
    LockObject,
    NewObject,
    RecolourObject,
    SetOverlap,
)
from napari_fastsam3d.session.prompt_actions import AddPrompt
from napari_fastsam3d.session.recollections import (
    Recollections,
    Said,
    said_from_json,
    said_to_json,
)
from napari_fastsam3d.session.state import Action, ObjectState, SessionState

_FORMAT = "napari-fastsam3d prompts"
_VERSION = 1


@dataclass(frozen=True)
class PromptFile:
    """What a file of prompts says.

    Parameters
    ----------
    path : Path
    actions : tuple of Action
        What makes its objects in an untouched session.
    scan : str
        Name of the scan.
    scan_hash : str
        SHA-256 of the scan, `Volume.content_hash`.
    model : str or None
        Name of the model that was used, where one was.
    fingerprint : str or None
        What tells its weights from others.
    recalled : tuple of (Question, Answer)
        What a memory said of the objects.
    """

    path: Path
    actions: tuple[Action, ...]
    scan: str
    scan_hash: str
    model: str | None
    fingerprint: str | None
    recalled: tuple[Said, ...] = ()

    def check_scan(self, volume: Volume) -> None:
        """Raise SessionError unless the prompts were made on this volume, and lie in it."""
        if volume.content_hash != self.scan_hash:
            raise SessionError(
                f"{self.path.name} was made on another scan, {self.scan}: voxels or geometry of "
                f"{volume.name} differ from it.",
                "Open the scan that it was made on.",
            )
        if not all(_lies_in(action, Box.whole(volume.shape)) for action in self.actions):
            raise SessionError(
                f"A prompt or a mask of {self.path.name} lies outside the scan.",
                "Use a file as this program wrote it.",
            )


def save_prompts(
    path: str | os.PathLike[str],
    state: SessionState,
    volume: Volume,
    predictor: ModelIdentity | None,
    recollections: Recollections,
) -> Path:
    """Write a file of prompts, whole or not at all; see `Session.save_prompts`."""
    target = Path(path).expanduser().absolute()
    if target.suffix.lower() != ".json":
        raise SaveError(
            f"Prompts cannot be written as {target.name}.", "Use a name ending in .json."
        )
    data = {
        "format": _FORMAT,
        "version": _VERSION,
        "program": f"napari-fastsam3d {__version__}",
        "model": None if predictor is None else _model(predictor),
        "scan": {
            "name": volume.name,
            "shape": volume.shape,
            "affine": volume.affine.tolist(),
            "sha256": volume.content_hash,
        },
        "overlap": state.overlap,
        "labels": {str(each.value): each.name for each in state.objects},
        "objects": [_object_to_json(each, volume) for each in state.objects],
    }
    said = recollections.used(state)
    if said:
        data["recalled"] = said_to_json(said)
    with replacing(target, ".json") as temporary:
        temporary.write_text(json.dumps(data, indent=1), encoding="utf-8")
    return target


class _NewerError(SessionError):
    """A file of prompts that a newer version of this program wrote."""


def read_prompts(path: str | os.PathLike[str]) -> PromptFile:
    """Read a file of prompts.

    Raises
    ------
    SessionError
        If it can't be read, is damaged, or isn't such a file.
    """
    source = Path(path).expanduser()
    try:
        data = parse_json(source.read_text(encoding="utf-8"))
        if data["format"] != _FORMAT:
            raise KeyError("format")
        if data["version"] > _VERSION:
            raise _NewerError(
                f"{source.name} was written by a newer version of this program.",
                "Update this one to open it.",
            )
        actions = tuple(_actions(data))
        replay(actions)
        model = data["model"] or {}
        scan = data["scan"]
        return PromptFile(
            source,
            actions,
            scan["name"],
            scan["sha256"],
            model.get("name"),
            model.get("fingerprint"),
            tuple(said_from_json(data.get("recalled", ()))),
        )
    except OSError as error:
        raise SessionError(
            f"{source} cannot be read: {error.strerror or error}.", "Check the path."
        ) from error
    except _NewerError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, FastSAM3DError) as error:
        raise SessionError(
            f"{source.name} is no whole file of prompts.",
            "Use a file that this program wrote, and this version or an older one.",
        ) from error


def _lies_in(action: Action, scan: Box) -> bool:
    """Whether all voxels that an action names belong to a scan, given as the box of all its own."""
    match action:
        case AddPrompt(prompt=Point(index=index)):
            return scan.contains(index)
        case AddPrompt(prompt=BoxPrompt(box=box) | Freeze(box=box)):
            return not box.is_empty and scan.intersection(box) == box
        case AddPrompt(prompt=Edit(added=added, removed=removed)):
            masks = [added, removed]
        case AddPrompt(prompt=MaskPrompt(mask=mask) | Scribble(voxels=mask)):
            masks = [mask]
        case LockObject(mask=mask) | AcceptObject(mask=mask):
            masks = [mask]
        case _:
            masks = []
    return all(scan.intersection(mask.box) == mask.box for mask in masks)


def _model(predictor: ModelIdentity) -> dict[str, str]:
    return {
        "name": predictor.name,
        "fingerprint": predictor.fingerprint,
        "device": str(predictor.device),
    }


def _object_to_json(each: ObjectState, volume: Volume) -> dict[str, Any]:
    recall = {} if each.recall is None or not each.prompts else recall_to_json(each.recall)
    adapter = {} if each.adapter is None or not each.prompts else adapter_to_json(each.adapter)
    return {
        "id": each.id,
        "name": each.name,
        "value": each.value,
        "colour": each.colour,
        **({"recall": recall} if recall else {}),
        **({"adapter": adapter} if adapter else {}),
        "prompts": [{**prompt_to_json(p), **_world(p, volume)} for p in each.prompts],
        "locked": None if each.locked is None else each.locked.to_json(),
        "accepted": each.accepted,
    }


def _world(prompt: Prompt, volume: Volume) -> dict[str, Any]:
    """Return where a point, or the outer corners of a box, lie in RAS mm; for other readers."""
    if isinstance(prompt, Point):
        return {"world": volume.to_world(prompt.index).tolist()}
    if isinstance(prompt, BoxPrompt | Freeze):
        corners = np.array([prompt.box.start, prompt.box.stop]) - 0.5
        return {"world": volume.to_world(corners).tolist()}
    return {}


def _actions(data: Mapping[str, Any]) -> Iterator[Action]:
    objects = data["objects"]
    for each in objects:
        yield NewObject(whole(each["id"]), str(each["name"]), whole(each["value"]))
        yield RecolourObject(each["id"], parse_colour(each["colour"]))
    prompts = [(prompt_from_json(p), each["id"]) for each in objects for p in each["prompts"]]
    recalls = {each["id"]: recall_from_json(each["recall"]) for each in objects if "recall" in each}
    adapters = {e["id"]: adapter_from_json(e["adapter"]) for e in objects if "adapter" in e}
    for prompt, number in sorted(prompts, key=lambda pair: pair[0].id):
        yield AddPrompt(number, prompt, recalls.pop(number, None), adapters.pop(number, None))
    yield from _rule(data["overlap"])
    for each in objects:
        if each["locked"] is not None:
            kind = AcceptObject if each["accepted"] else LockObject
            yield kind(each["id"], PackedMask.from_json(each["locked"]))


def _rule(name: str) -> Iterator[Action]:
    chosen = action_from_json({"do": "set_overlap", "rule": name})
    if chosen != SetOverlap("keep"):
        yield chosen
