"""The grey window: chosen by what a scan is, and never by its padding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fastsam3d._napari.layers.contrast import (
    PRESETS,
    auto_window,
    is_ct,
    opening_window,
    value_range,
)
from napari_fastsam3d.geometry import Volume, torso_phantom
from napari_fastsam3d.geometry.source import Source

SOFT_TISSUE = (-160.0, 240.0)


def body(seed: int = 0, air: float = -1000.0, enhanced: float = 0.0) -> np.ndarray:
    """A trunk of soft tissue and fat with lungs and a spine in air, in Hounsfield units."""
    rng = np.random.default_rng(seed)
    i, j, _ = np.indices((48, 48, 12)) - 23.5
    radius = np.hypot(i, j)
    voxels = np.full(i.shape, air) + rng.normal(0, 15, i.shape)
    voxels[radius < 18] = rng.normal(-90, 15, (radius < 18).sum())
    voxels[radius < 15] = rng.normal(50, 15, (radius < 15).sum())
    voxels[np.hypot(i, j - 8) < 4] = rng.normal(-850, 40, (np.hypot(i, j - 8) < 4).sum())
    voxels[np.hypot(i, j + 10) < 3] = rng.normal(700, 200, (np.hypot(i, j + 10) < 3).sum())
    share = rng.random(i.shape) < enhanced
    voxels[(radius < 15) & share] = 400
    return voxels.round().astype(np.int16)


def scan(voxels: np.ndarray, modality: str | None = None) -> Volume:
    return Volume.from_array(voxels, np.eye(4), source=Source(modality=modality))


def test_a_ct_is_shown_in_the_window_of_soft_tissue() -> None:
    volume, _, _ = torso_phantom(spacing=(6.0, 6.0, 6.0))
    assert opening_window(volume).limits == SOFT_TISSUE
    assert opening_window(scan(body())).limits == SOFT_TISSUE


def test_a_ct_full_of_contrast_medium_is_shown_in_the_window_of_vessels() -> None:
    assert opening_window(scan(body(enhanced=0.4))) == PRESETS["angio"]


@given(
    seed=st.integers(0, 50),
    padding=st.sampled_from([-1500, -2000, -2048, -3024, -8192, -32768]),
    radius=st.integers(19, 23),
)
@settings(max_examples=25, deadline=None)
def test_padding_rules_neither_window_nor_range(seed: int, padding: int, radius: int) -> None:
    voxels = body(seed)
    i, j, _ = np.indices(voxels.shape) - 23.5
    padded = np.where(np.hypot(i, j) > radius, padding, voxels).astype(np.int16)
    volume = scan(padded)
    assert is_ct(volume)
    assert opening_window(volume).limits == SOFT_TISSUE
    low, high = value_range(volume)
    assert -1100 <= low <= -900
    assert high == voxels.max()


@pytest.mark.parametrize("padding", [-32768, -2000])
def test_padding_of_an_mr_rules_nothing_either(padding: int) -> None:
    rng = np.random.default_rng(0)
    voxels = rng.integers(20, 900, (30, 30, 30)).astype(np.int16)
    bare = value_range(scan(voxels))
    voxels[:6] = padding
    padded = scan(voxels)
    assert value_range(padded) == pytest.approx(bare, abs=10)
    assert opening_window(padded).limits[0] > 0


def test_the_range_is_that_of_the_data() -> None:
    voxels = body()
    assert value_range(scan(voxels)) == (voxels.min(), voxels.max())
    broken = voxels.astype(np.float32)
    broken[0, 0, 0], broken[1, 0, 0] = np.nan, np.inf
    low, high = value_range(scan(broken))
    assert low == voxels.min()
    assert high == voxels.max()


def test_what_dicom_says_comes_before_what_the_values_look_like() -> None:
    inside = np.random.default_rng(0).integers(-80, 120, (20, 20, 20)).astype(np.int16)
    assert is_ct(scan(inside)) is None
    assert opening_window(scan(inside, "CT")).limits == SOFT_TISSUE
    assert is_ct(scan(body(), "MR")) is False
    assert opening_window(scan(body(), "MR")).limits != SOFT_TISSUE


@pytest.mark.parametrize(
    "voxels",
    [
        np.random.default_rng(0).integers(-4096, 4096, (30, 30, 30)),  # phase
        np.random.default_rng(0).normal(0, 1, (30, 30, 30)),  # standardised
        body().clip(-160, 240) + 160,  # windowed
        np.random.default_rng(0).rayleigh(20, (30, 30, 30)),  # noise of MR
    ],
    ids=["phase", "standardised", "windowed", "noise"],
)
def test_other_scans_are_not_taken_for_ct(voxels: np.ndarray) -> None:
    assert not is_ct(scan(voxels.astype(np.float32)))


def test_an_mr_is_shown_by_percentiles_of_tissue() -> None:
    rng = np.random.default_rng(0)
    voxels = np.zeros((30, 30, 30), np.uint16)
    voxels[5:25, 5:25, 5:25] = rng.integers(200, 900, (20, 20, 20))
    voxels[10, 10, 10] = 60_000
    low, high = opening_window(scan(voxels)).limits
    assert 190 < low < 260
    assert 800 < high < 1000
    assert value_range(scan(voxels)) == (0, 60_000)


def test_a_part_inside_the_body_keeps_its_dark_tissue() -> None:
    rng = np.random.default_rng(0)
    voxels = np.where(rng.random((30, 30, 30)) < 0.5, 300, 600) + rng.normal(0, 40, (30, 30, 30))
    low, high = auto_window(scan(voxels.astype(np.float32))).limits
    assert low < 280
    assert high > 650


def test_an_image_of_two_values_shows_both() -> None:
    voxels = np.zeros((20, 20, 20), np.int16)
    voxels[5:10, 5:10, 5:10] = 300
    assert opening_window(scan(voxels)).limits == (0, 300)


@pytest.mark.parametrize("value", [0, 7, np.nan])
def test_a_constant_image_has_a_usable_window_and_range(value: float) -> None:
    volume = scan(np.full((4, 4, 4), value, np.float32))
    for low, high in (opening_window(volume).limits, value_range(volume)):
        assert high > low
