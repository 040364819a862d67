from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from feature_model import FeatureModel, scan
from hypothesis import given
from hypothesis import strategies as st
from remembered import remembered
from scipy.ndimage import map_coordinates

from napari_fastsam3d.inference.accepted import accepted_case
from napari_fastsam3d.inference.prompt import Point
from napari_fastsam3d.inference.recall_prompts import FromMemory
from napari_fastsam3d.inference.segmenter import Replay
from napari_fastsam3d.memory.bank import MemoryBank
from napari_fastsam3d.memory.case import Case, Tokens
from napari_fastsam3d.memory.readable_case import ReadableCase
from napari_fastsam3d.memory.reader import Reader
from napari_fastsam3d.memory.reading import load_reader, region, save_reader
from napari_fastsam3d.memory.recall import Recall
from napari_fastsam3d.model.layers.convolution import depth_to_space

WIDTH = 3
CELL = 6.0


def case_of(mask: np.ndarray, seed: int = 0, width: int = WIDTH) -> Case:
    """A case whose fine box begins one cell inside the first coarse cell, as in a crop."""
    rng = np.random.default_rng(seed)
    coarse = tuple(-(-(n + 1) // 2) + 1 for n in mask.shape)
    fine = Tokens(
        rng.normal(size=(*mask.shape, width)).astype(np.float16),
        mask.astype(np.float16),
        (-9.0, -12.0, -6.0),
        CELL,
    )
    low = tuple(o - CELL + CELL / 2 for o in fine.origin)
    tokens = Tokens(
        rng.normal(size=(*coarse, width)).astype(np.float16),
        np.zeros(coarse, np.float16),
        (low[0], low[1], low[2]),
        2 * CELL,
    )
    case = remembered("ball")
    vectors = rng.normal(size=(2, 4, width)).astype(np.float16)
    return Case(case.entry, case.descriptor, (fine, tokens), vectors[0], vectors[1])


def ball(shape=(5, 6, 4)) -> np.ndarray:
    grid = np.indices(shape)
    middle = [(n - 1) / 2 for n in shape]
    distance = sum((x - m) ** 2 for x, m in zip(grid, middle, strict=True))
    return np.clip(2.2 - np.sqrt(distance), 0, 1)


def test_the_eighths_of_coarse_cells_are_the_fine_mask():
    mask = ball()
    case = case_of(mask)
    readable = ReadableCase.of(case)
    coarse = case.tokens[1].places().reshape(-1, 3)

    told = {tuple(p): e for p, e in zip(readable.places.numpy(), readable.eighths, strict=True)}

    fine = case.tokens[0].places().reshape(-1, 3)
    steps = np.stack(np.meshgrid(*[[-CELL / 2, CELL / 2]] * 3, indexing="ij"), -1).reshape(-1, 3)
    there = {tuple(p + s): e[n] for p, e in told.items() for n, s in enumerate(steps)}
    for place, filled in zip(fine, mask.astype(np.float16).ravel(), strict=True):
        assert there.get(tuple(place), 0) == filled
    assert len(told) <= len(coarse)


@given(st.tuples(*[st.floats(-3, 3)] * 3), st.sampled_from([4.0, 6.0, 7.5]))
def test_a_remembered_mask_is_moved_and_scaled_as_scipy_does(click, cell):
    readable = ReadableCase.of(case_of(ball())).measured_in(cell)
    axes = [torch.arange(-5, 6, dtype=torch.float32) - c for c in click]

    moved = readable.mask_on(axes)

    places = [
        (axis.double().numpy() - o) / readable.step
        for axis, o in zip(axes, readable.origin, strict=True)
    ]
    at = np.meshgrid(*places, indexing="ij")
    wanted = map_coordinates(readable.mask.double().numpy(), at, order=1, mode="grid-constant")
    np.testing.assert_allclose(moved, wanted, atol=1e-5)


def test_attention_is_a_plain_sum_over_tokens():
    torch.manual_seed(0)
    reader = Reader(WIDTH, WIDTH).double()
    cases = [ReadableCase.of(case_of(ball(), seed)).measured_in(CELL) for seed in (1, 2)]
    cases = [
        ReadableCase(*(v.double() if torch.is_tensor(v) else v for v in vars(case).values()))
        for case in cases
    ]
    axes = [torch.arange(4, dtype=torch.float64) - 1.3] * 3
    weights = torch.tensor([0.7, 0.3], dtype=torch.float64)
    coarse = reader.norm_coarse(torch.randn(2, 2, 2, WIDTH, dtype=torch.float64))

    told = reader._attend(coarse, axes, cases, weights)

    def heads(layer, x):
        out = layer(x).view(len(x), 4, 16)
        return out / out.norm(dim=-1, keepdim=True)

    here = torch.tensor([axis.view(2, 2).mean(1)[1].item() for axis in axes])
    query = heads(reader.queries, coarse[1, 1, 1][None])[0]
    for head in range(4):
        shares, values = [], []
        for case, weight in zip(cases, weights, strict=True):
            tokens = reader.norm_coarse(case.tokens)
            keys = heads(reader.keys, tokens)[:, head]
            more = reader.values(tokens).view(len(tokens), 4, -1)[:, head]
            for n, place in enumerate(case.places):
                like = reader.sharpness[head].exp() * (query[head] @ keys[n])
                far = (reader.reach[head].neg().exp() * (place - here)).square().sum() / 2
                shares.append(weight * torch.exp(like - far))
                values.append(torch.cat([case.eighths[n], (place - here) / 4, more[n]]))
        share = torch.stack(shares) / torch.stack(shares).sum()
        wanted = share @ torch.stack(values)
        torch.testing.assert_close(told[1, 1, 1, head], wanted, atol=1e-5, rtol=1e-5)


@given(st.tuples(*[st.floats(0, 31)] * 3))
def test_a_region_is_in_pairs_of_cells_and_holds_the_click(click):
    cases = [ReadableCase.of(case_of(ball())).measured_in(CELL)]
    box = region(np.array(click), cases, 32)
    assert all(a % 2 == 0 and b % 2 == 0 for a, b in zip(box.start, box.stop, strict=True))
    assert all(0 <= a < b <= 32 for a, b in zip(box.start, box.stop, strict=True))
    assert all(a - 1 <= x < b + 1 for a, x, b in zip(box.start, click, box.stop, strict=True))


def told(match: float) -> Reader:
    """A reader of three channels that is as sure of a match as it is told."""
    torch.manual_seed(0)
    reader = Reader(WIDTH, WIDTH).eval().requires_grad_(False)
    reader.match[-1].weight.zero_()
    reader.match[-1].bias.fill_(match)
    return reader


@pytest.fixture
def bank(tmp_path: Path):
    with MemoryBank(tmp_path) as bank:
        for seed, centre in enumerate(((25, 20, 18), (22, 22, 18)), start=1):
            volume, mask = scan(centre, seed)
            bank.add(accepted_case(FeatureModel(size=64), volume, mask, "ball"))
        yield bank


CLICKS = [Point(1, (21, 24, 20)), Point(2, (30, 25, 20), False), Point(3, (24, 27, 21))]


@pytest.mark.parametrize("name", ["ball", None])
def test_where_cases_do_not_match_masks_are_those_of_the_model_alone(bank: MemoryBank, name):
    volume, _ = scan()
    model = FeatureModel(size=64)
    shut = Replay(volume, model, recall=Recall(bank, model, volume, reader=told(-5)))
    alone = Replay(volume, model)
    for count in (1, 2, 3):
        step = shut.step([FromMemory("reader", name), *CLICKS[:count]])
        assert step.recalled == ()
        assert step.mask.equals(alone.step(CLICKS[:count]).mask)
        np.testing.assert_array_equal(
            step.low_res_logits, alone.step(CLICKS[:count]).low_res_logits
        )


def test_where_they_match_the_mask_is_drawn_with_them(bank: MemoryBank):
    volume, _ = scan()
    model = FeatureModel(size=64)
    replay = Replay(volume, model, recall=Recall(bank, model, volume, reader=told(1)))
    step = replay.step([FromMemory("reader", "ball"), CLICKS[0]])
    assert {each.entry.name for each in step.recalled} == {"ball"}
    assert not np.array_equal(
        step.low_res_logits, Replay(volume, model).step(CLICKS[:1]).low_res_logits
    )


def test_what_is_a_thread_in_its_cells_is_left_to_the_model(tmp_path: Path):
    model = FeatureModel(size=64)
    with MemoryBank(tmp_path) as bank:
        for seed, centre in enumerate(((25, 20, 18), (22, 22, 18)), start=1):
            case = accepted_case(model, *scan(centre, seed), "ball")
            thin = (replace(each, mask=each.mask * np.float16(0.4)) for each in case.tokens)
            bank.add(replace(case, tokens=tuple(thin)))
        volume, _ = scan()
        replay = Replay(volume, model, recall=Recall(bank, model, volume, reader=told(1)))
        step = replay.step([FromMemory("reader", "ball"), CLICKS[0]])
        assert step.recalled == ()
        np.testing.assert_array_equal(
            step.low_res_logits, Replay(volume, model).step(CLICKS[:1]).low_res_logits
        )


def test_a_reader_belongs_to_the_encoder_that_it_was_trained_with(tmp_path: Path):
    reader = told(1)
    save_reader(reader, tmp_path / "reader.safetensors", "ours")
    again = load_reader(tmp_path / "reader.safetensors", "ours")
    assert again is not None
    for name, value in reader.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value.half().float())
    assert load_reader(tmp_path / "reader.safetensors", "another") is None


def test_a_mask_of_eighths_is_a_mask_again():
    readable = ReadableCase.of(case_of(np.ones((5, 5, 5))))
    sides = [len({p[d] for p in readable.places.tolist()}) for d in range(3)]
    whole = depth_to_space(readable.eighths.view(1, *sides, 8))
    assert whole.sum() == 125
