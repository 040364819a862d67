import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fastsam3d.model.normalisation import foreground_contrast

WHOLE = (np.ones(24, bool),) * 3


def torso():
    rng = np.random.default_rng(0)
    image = np.full((24, 24, 24), -1000, np.float32)
    image[4:20, 4:20] = 40
    image[8:12, 8:12, 8:12] = 120
    return image + rng.normal(0, 15, image.shape).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 50), st.floats(-2000, 2000))
def test_scale_and_offset_of_intensities_change_nothing(scale, offset):
    image = torso()
    changed = (image * scale + offset).astype(np.float32)
    np.testing.assert_allclose(
        foreground_contrast(changed, WHOLE), foreground_contrast(image, WHOLE), atol=0.02
    )


def test_soft_tissue_keeps_its_contrast_beside_air():
    out = foreground_contrast(torso(), WHOLE)
    assert out[9, 9, 9] - out[5, 5, 5] > 1
    assert out.min() > -8
    assert out.max() < 8


def test_what_lies_outside_the_volume_has_no_say():
    image = torso()
    inside = (np.arange(24) < 20, np.ones(24, bool), np.ones(24, bool))
    other = image.copy()
    other[20:] = 5e4
    got = foreground_contrast(other, inside)[:20]
    np.testing.assert_array_equal(got, foreground_contrast(image, inside)[:20])


@pytest.mark.parametrize("value", [0.0, -1024.0, 3e4])
def test_a_constant_image_is_finite(value):
    out = foreground_contrast(np.full((24, 24, 24), value, np.float32), WHOLE)
    assert np.isfinite(out).all()


def test_a_crop_beside_the_volume_is_zero():
    nowhere = (np.zeros(24, bool),) * 3
    assert (foreground_contrast(torso(), nowhere) == 0).all()
