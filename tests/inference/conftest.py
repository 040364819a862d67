import pytest
from ball_and_slab import ball_and_slab
from brightness_model import BrightnessModel

from napari_fastsam3d.geometry import Volume


@pytest.fixture(scope="session")
def volume() -> Volume:
    return ball_and_slab()


@pytest.fixture
def model() -> BrightnessModel:
    return BrightnessModel()
