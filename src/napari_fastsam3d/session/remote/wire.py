"""What client and server say to each other of logs and masks: JSON, exact to the bit."""

import hashlib
import json
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

import numpy as np

from napari_fastsam3d.geometry.crop import Crop
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.inference import json_values
from napari_fastsam3d.inference.json_values import box_to_json
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import Prompt
from napari_fastsam3d.inference.recall_prompts import FromMemory
from napari_fastsam3d.inference.step import Step
from napari_fastsam3d.session.codec import prompt_from_json, prompt_to_json, recall_from_json

PROTOCOL = 1
"""Version of what is said; a server refuses others, and names its own."""

NO_PROMPTS = hashlib.sha256(b"").hexdigest()
"""Digest of a log without prompts."""

SESSION_HEADER = "X-Session-Id"
MODEL_HEADER = "serve_multiplexed_model_id"
TIME_HEADER = "X-Server-Milliseconds"


def told_to_json(prompt: Prompt) -> dict[str, Any]:
    """Return a prompt as JSON, also one that says how to recall."""
    known = prompt_to_json(prompt)
    return {"recall": known} if isinstance(prompt, FromMemory) else known


def told_from_json(data: Mapping[str, Any]) -> Prompt:
    """Return what `told_to_json` wrote; KeyError, TypeError or ValueError if it is none."""
    return recall_from_json(data["recall"]) if "recall" in data else prompt_from_json(data)


def extended_digest(digest: str, prompt: Mapping[str, Any]) -> str:
    """Return the digest of a log with one more prompt, as JSON: SHA-256 in hexadecimal."""
    said = json.dumps(prompt, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{digest}{said}".encode()).hexdigest()


def mask_digest(mask: Mask) -> str:
    """Return what tells a mask from others: SHA-256 of its box and bits in hexadecimal."""
    digest = hashlib.sha256(json.dumps(box_to_json(mask.box)).encode())
    digest.update(np.packbits(mask.voxels.ravel(order="F")).data)
    return digest.hexdigest()


def step_to_json(step: Step, since: Mask | None) -> dict[str, Any]:
    """Return what a client needs of a step.

    Parameters
    ----------
    step : Step
    since : Mask or None
        A mask that the client has, source index: only what differs from it is sent.
    """
    crop = step.crop
    return {
        "changed": PackedMask.of(_difference(since or Mask.empty(), step.mask)).to_json(),
        "mask": mask_digest(step.mask),
        "crop": crop and {"centre": crop.centre, "spacing": crop.spacing, "size": crop.size},
        "predicted_iou": step.predicted_iou,
        "notes": step.notes,
        "in_air": step.in_air,
    }


def step_from_json(data: Mapping[str, Any], since: Mask, volume: Volume) -> Step:
    """Return the step that `step_to_json` wrote for a client that has the mask `since`.

    Raises
    ------
    KeyError, TypeError, ValueError
        If the data are damaged, or the client has another mask.
    """
    packed = data["changed"]
    bits = b64decode(packed["bits"], validate=True)
    changed = PackedMask(json_values.box(packed["box"]), bits).unpack()
    if any(a > b for a, b in zip(changed.box.stop, volume.shape, strict=True)):
        raise ValueError("a mask reaches beyond the volume")
    mask = _difference(since, changed)
    if mask_digest(mask) != data["mask"]:
        raise ValueError("a mask isn't the one that was sent")
    iou = data["predicted_iou"]
    return Step(
        mask,
        _crop(data["crop"], volume),
        predicted_iou=None if iou is None else float(iou),
        notes=tuple(map(str, data["notes"])),
        in_air=bool(data["in_air"]),
    )


def _difference(one: Mask, other: Mask) -> Mask:
    """Return the voxels that only one of two masks holds."""
    small, large = sorted((one, other), key=lambda mask: mask.box.size)
    if small.is_empty:
        return large
    # Laid out as the larger mask is: combining arrays of two layouts takes ten times as long.
    box = large.box.union(small.box)
    found = large.within(box)
    found[small.box.shifted([-at for at in box.start]).slices] ^= small.voxels
    return Mask.of(box, found)


def _crop(data: Mapping[str, Any] | None, volume: Volume) -> Crop | None:
    if data is None:
        return None
    r, a, s = map(float, data["centre"])
    x, y, z = (volume.spacing[axis] for axis in volume.canonical.axes)
    size = json_values.whole(data["size"])
    return Crop(volume.canonical, (x, y, z), (r, a, s), float(data["spacing"]), size)
