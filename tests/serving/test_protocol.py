"""What client and server say to each other is exact to the bit, and damage is found."""

import json
from dataclasses import replace
from itertools import accumulate
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from served import digest_of

from napari_fastsam3d.geometry import Volume
from napari_fastsam3d.geometry.box import Box
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import BoxPrompt, MaskPrompt, Point, Prompt
from napari_fastsam3d.inference.step import Step
from napari_fastsam3d.session.remote.wire import (
    NO_PROMPTS,
    extended_digest,
    mask_digest,
    step_from_json,
    step_to_json,
    told_from_json,
    told_to_json,
)

quick = settings(max_examples=30, deadline=None)
SHAPE = (9, 8, 7)
VOLUME = Volume.from_array(np.zeros(SHAPE, np.int16), spacing=(1.0, 2.0, 3.0))

cells = arrays.arrays(np.bool_, SHAPE, elements=st.booleans(), fill=st.just(False))
layouts = st.sampled_from("CF")
masks = st.builds(lambda voxels, order: Mask.of_volume(voxels.copy(order)), cells, layouts)


def sent(data: Any) -> Any:
    """Return what arrives of JSON."""
    return json.loads(json.dumps(data, allow_nan=False))


@quick
@given(masks, masks, st.none() | st.floats(0, 1), st.booleans())
def test_a_mask_arrives_whatever_the_client_had(
    before: Mask, now: Mask, iou: float | None, in_air: bool
):
    step = Step(now, None, predicted_iou=iou, notes=("a", "b"), in_air=in_air)
    found = step_from_json(sent(step_to_json(step, before)), before, VOLUME)

    assert found.mask.equals(now)
    assert found.mask.box == now.box
    assert (found.predicted_iou, found.notes, found.in_air) == (iou, ("a", "b"), in_air)


@quick
@given(masks, masks)
def test_only_what_differs_is_sent(before: Mask, now: Mask):
    said = step_to_json(Step(now), before)["changed"]
    differs = before.volume(SHAPE) ^ now.volume(SHAPE)
    tight = Box.of_mask(differs)

    assert said["box"] == (
        [[0] * 3] * 2 if tight is None else [list(tight.start), list(tight.stop)]
    )


@quick
@given(masks, masks, masks)
def test_a_client_with_another_mask_notices(before: Mask, other: Mask, now: Mask):
    """The digest of the whole mask says whether both mean the same one."""
    said = step_to_json(Step(now), before)
    if other.equals(before):
        assert step_from_json(said, other, VOLUME).mask.equals(now)
        return
    with pytest.raises(ValueError, match="mask"):
        step_from_json(said, other, VOLUME)


@quick
@given(masks, masks)
def test_masks_have_one_digest_whatever_their_layout(one: Mask, other: Mask):
    again = Mask(one.box, np.asfortranarray(one.voxels))
    assert mask_digest(again) == mask_digest(one)
    assert (mask_digest(one) == mask_digest(other)) == one.equals(other)


BALL = Mask.of_volume(np.indices(SHAPE).sum(axis=0) < 9)


@pytest.mark.parametrize(
    ("part", "wrong"),
    [
        ("changed", {}),
        ("changed", None),
        ("changed", {"box": [[0, 0, 0], [9, 8, 7]], "bits": "AAAA"}),
        ("changed", {"box": [[0, 0, 0], [9, 8, 7]], "bits": "no base64!"}),
        ("changed", {"box": [[0, 0, 0], [9, 8, 2**70]], "bits": ""}),
        (
            "changed",
            {"box": [[0, 0, 0], [10, 8, 7]], "bits": PackedMask.of(BALL).to_json()["bits"]},
        ),
        ("mask", "0" * 64),
        ("mask", None),
        ("notes", 3),
        ("predicted_iou", "high"),
        ("crop", {"centre": [1, 2], "spacing": 1, "size": 8}),
        ("crop", {"centre": [1, 2, 3], "spacing": "x", "size": 8}),
    ],
)
def test_a_damaged_answer_is_told(part: str, wrong: object):
    said = step_to_json(Step(BALL), Mask.empty())
    assert step_from_json(said, Mask.empty(), VOLUME).mask.equals(BALL)
    with pytest.raises((KeyError, TypeError, ValueError)):
        step_from_json({**said, part: wrong}, Mask.empty(), VOLUME)


@pytest.mark.parametrize("cut", range(0, 40, 7))
def test_a_flipped_bit_of_a_mask_is_found(cut: int):
    from base64 import b64decode, b64encode

    said = sent(step_to_json(Step(BALL), Mask.empty()))
    bits = bytearray(b64decode(said["changed"]["bits"]))
    bits[cut % len(bits)] ^= 4
    said["changed"]["bits"] = b64encode(bits).decode()
    with pytest.raises(ValueError, match=r"mask|stream|data|bits|block"):
        step_from_json(said, Mask.empty(), VOLUME)


def test_what_the_model_looked_at_arrives(volume: Volume):
    from brightness_model import BrightnessModel

    from napari_fastsam3d.session import Session

    with Session(volume, BrightnessModel()) as session:
        session.add_point((20, 25, 20))
        crop, mask = session.crop(), session.region(1)
    assert crop is not None
    found = step_from_json(sent(step_to_json(Step(mask, crop), Mask.empty())), Mask.empty(), volume)

    assert found.crop == crop
    elsewhere = step_to_json(Step(mask, replace(crop, spacing=1 / 3)), Mask.empty())
    again = step_from_json(sent(elsewhere), Mask.empty(), volume).crop
    assert again is not None
    assert again.spacing == 1 / 3


points = st.builds(Point, st.integers(1, 99), st.tuples(*[st.integers(0, 6)] * 3), st.booleans())
boxes = st.builds(
    lambda number, start: BoxPrompt(number, Box(start, tuple(a + 2 for a in start))),
    st.integers(1, 99),
    st.tuples(*[st.integers(0, 4)] * 3),
)
drawn = st.builds(
    lambda number, mask: MaskPrompt(number, PackedMask.of(mask)),
    points.map(lambda point: point.id),
    masks,
)


@quick
@given(st.lists(points | boxes | drawn, max_size=6))
def test_a_log_arrives_and_has_one_digest(log: list[Prompt]):
    """Told whole or bit by bit, by whichever program wrote the JSON."""
    said = [told_to_json(prompt) for prompt in log]
    assert [told_from_json(each) for each in sent(said)] == log
    steps = list(accumulate(said, extended_digest, initial=NO_PROMPTS))

    assert steps[-1] == digest_of(said) == digest_of(sent(said))
    assert digest_of([dict(reversed(each.items())) for each in said]) == steps[-1]
    assert len(set(steps)) == len(said) + 1


@quick
@given(points, points)
def test_logs_that_differ_have_different_digests(one: Point, other: Point):
    both = [told_to_json(one), told_to_json(other)]
    assert digest_of(both) != digest_of(both[:1])
    assert (digest_of(both) == digest_of(both[::-1])) == (one == other)
